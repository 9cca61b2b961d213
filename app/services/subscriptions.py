"""
Subscriptions: synced with Stripe, and shown to their reader.

An event only says that a subscription may have changed: its state is fetched, and saved if our copy has not changed since.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from app.aggregates import quotes, sync_subscription
from app.context import Context
from app.db import inbox, issues, payments, subscribers, subscriptions
from app.db.engine.session import Session
from app.domain.cancellations import EndPreview, preview_period_end
from app.domain.events import RefetchInstead, RefetchKind
from app.domain.issues import Ledger, ledgers_of
from app.domain.quotes import Quote, guarantee_quote
from app.domain.status_table import Notice, notice_of
from app.domain.subscriptions import NoSubscription, StripeSubscriptionState, Subscription, Term
from app.gateway import subscriptions as at_stripe


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionDetails:
    """A subscription as its reader sees it."""

    subscription: Subscription
    term: Term | None  # the current one, or the newest
    guarantee: Quote | None
    ledger: Ledger | None  # of the term; None while the calendar is empty
    notice: Notice | None
    period_end: EndPreview  # the effect of canceling at the end of the period


async def sync(
    ctx: Context,
    stripe_id: str,
    *,
    now: datetime,
    version: int | None = None,
    fetched: StripeSubscriptionState | None = None,
) -> Subscription:
    """
    Bring our copy of a subscription, its terms, payments and grants up to date with Stripe's.

    :param version: of our copy, if the caller has just read it.
    :param fetched: the subscription's state, if the caller has fetched it since.
    :raises ForeignStripeObject: it is for another product, or its customer is not one of our subscribers.
    :raises Gone: Stripe has no such subscription.
    :raises UnknownPlan: the catalogue no longer has its plan.
    :raises ConcurrentUpdate: others kept saving it.
    """
    fetch = partial(at_stripe.fetch, ctx.gateway, stripe_id)
    return await sync_subscription.sync(
        ctx.sessions, ctx.rules, stripe_id, fetch, now=now, version=version, fetched=fetched
    )


async def fetch_all(ctx: Context, stripe_ids: Collection[str]) -> Mapping[str, StripeSubscriptionState]:
    """Return the states of many subscriptions by listing; see :func:`app.gateway.subscriptions.fetch_all`."""
    return await at_stripe.fetch_all(ctx.gateway, stripe_ids)


async def redirect_invoice(ctx: Context, invoice_id: str) -> None:
    """
    Redirect an event about an invoice to its subscription, so that the worker with that lease handles it.

    :raises RefetchInstead: always.
    :raises ForeignStripeObject: the invoice has no subscription.
    """
    raise RefetchInstead(f"{RefetchKind.SUBSCRIPTION}:{await at_stripe.of_invoice(ctx.gateway, invoice_id)}")


async def sync_credited_invoice(ctx: Context, invoice_id: str, *, now: datetime) -> None:
    """Sync the subscription of an invoice that has a new credit note, and request a refetch of the invoice's payments."""
    await sync(ctx, await at_stripe.of_invoice(ctx.gateway, invoice_id), now=now)
    async with ctx.sessions.begin() as session:
        for payment in await payments.of_invoice(session, invoice_id):
            await inbox.request_refetch(session, f"{RefetchKind.PAYMENT}:{payment.id}", why="credited")


async def current(ctx: Context, sub: str, *, now: datetime) -> SubscriptionDetails:
    """
    Return a reader's current subscription.

    :raises NoSubscription: the reader has never had one.
    """
    async with ctx.sessions.begin() as session:
        subscription = await _current(session, sub)
        terms = await subscriptions.terms_of(session, subscription.id)
        quotable = await quotes.of_subscription(session, ctx.rules, subscription.id, now=now)
        calendar = await issues.calendar(session, ctx.rules.zone)
    running = [term for term in terms if term.starts_at <= now < term.ends_at]
    guarantee = guarantee_quote(quotable.case, now=now, zone=ctx.rules.zone)[1] if quotable is not None else None
    term = next(reversed(running or terms), None)
    ledgers = ledgers_of(subscription, terms, calendar, ctx.rules.catalogue, now=now) if len(calendar) else []
    ledger = next((one for one in ledgers if term is not None and one.invoice_id == term.invoice_id), None)
    return SubscriptionDetails(
        subscription=subscription,
        term=term,
        guarantee=guarantee,
        ledger=ledger,
        notice=notice_of(subscription, terms, ctx.rules.access),
        period_end=preview_period_end(subscription, terms),
    )


async def _current(session: Session, sub: str) -> Subscription:
    subscriber = await subscribers.by_sub(session, sub)
    subscription = await subscriptions.current(session, subscriber.id) if subscriber else None
    if subscription is None:
        raise NoSubscription
    return subscription
