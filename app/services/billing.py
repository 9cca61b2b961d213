"""Billing pages at Stripe: the portal, where readers update their cards, and their invoices."""

from app.context import Context
from app.db import inbox, intents, subscribers
from app.db.engine import leases
from app.domain import return_urls
from app.domain.events import RefetchKind
from app.domain.invoices import InvoiceSummary
from app.domain.pages import Page
from app.domain.subscriptions import NoSubscription
from app.gateway import invoices, portal
from app.gateway.client import Gone


async def open_portal(ctx: Context, sub: str, *, return_url: str, own_url: str | None = None) -> str:
    """
    Return a URL that opens Stripe's portal for a reader. It expires after some minutes.

    :param own_url: a page of this service, if that is where the reader returns to.
    :raises ReturnUrlNotAllowed: the return URL is not on an allowed host.
    :raises NoSubscription: the reader has no Stripe customer.
    """
    return_urls.check(return_url, ctx.settings.allowed_return_hosts, field="return_url", own_url=own_url)
    async with ctx.sessions.begin() as session:
        found = await subscribers.by_sub(session, sub)
        if found is None:
            raise NoSubscription
        owner = await subscribers.lock(session, found.id)
        if owner.stripe_customer_id is None:
            raise NoSubscription
        parameters = {"customer": owner.stripe_customer_id, "return_url": return_url}
        # Settled immediately, because each click opens a new portal session.
        intent = await intents.record(session, owner.id, "portal", parameters)
        await intents.settle(session, intent.key)
    try:
        return await portal.open_session(ctx.gateway, intent.parameters, key=intent.key)
    except Gone:
        async with ctx.sessions.begin() as session:
            await inbox.request_refetch(session, f"{RefetchKind.CUSTOMER}:{owner.stripe_customer_id}", why="gone")
            await leases.notify(session, "events")
        raise NoSubscription from None


async def invoices_of(ctx: Context, sub: str, *, after: str | None, limit: int) -> Page[InvoiceSummary]:
    """Return a reader's invoices, the newest first. A reader without a Stripe customer has none."""
    async with ctx.sessions.begin() as session:
        owner = await subscribers.by_sub(session, sub)
    if owner is None or owner.stripe_customer_id is None:
        return Page(items=[], next=None)
    return await invoices.of_customer(ctx.gateway, owner.stripe_customer_id, after=after, limit=limit)
