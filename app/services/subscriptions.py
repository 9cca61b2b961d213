"""
Subscriptions: kept as Stripe has them, and shown to their reader.

An event is only a refetch on the door: the state is fetched afresh, and saved only if nobody saved since we looked.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from app.aggregates import quotes, sync_subscription
from app.context import Context
from app.db import inbox, issues, payments, subscribers, subscriptions
from app.db.engine.session import Session
from app.domain.cancellations import EndPreview, preview_period_end
from app.domain.events import SUBSCRIPTION, RefetchInstead
from app.domain.issues import Ledger, ledgers_of
from app.domain.quotes import Quote, guarantee_quote
from app.domain.status_table import Notice, notice_of
from app.domain.subscriptions import ForeignStripeObject, NoSubscription, StripeSubscriptionState, Subscription, Term
from app.gateway import subscriptions as at_stripe


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    """A subscription as its reader sees it."""

    subscription: Subscription
    term: Term | None
    guarantee: Quote | None
    ledger: Ledger | None  # of the term; None until there is a calendar
    notice: Notice | None
    end_of_what_is_paid: EndPreview  # if it were cancelled now, to end so


async def refresh(
    ctx: Context,
    stripe_id: str,
    *,
    now: datetime,
    version: int | None = None,
    seen: StripeSubscriptionState | None = None,
) -> Subscription:
    """
    Bring our copy of a subscription, its terms, payments and grants up to Stripe's state.

    :param version: what our copy has, if the caller has just read it.
    :param seen: what Stripe told after that, if the caller has listed it already.
    :raises NotOurs: it is of another product of the account, or of a customer we do not know.
    :raises Gone: Stripe has none of that id.
    :raises UnknownPlan: it is of a plan that the catalogue no longer has.
    :raises ConcurrentUpdate: others kept saving while we looked.
    """
    last = seen

    async def look() -> StripeSubscriptionState:
        nonlocal last
        last = await at_stripe.fetch(ctx.gateway, stripe_id)
        return last

    try:
        return await sync_subscription.keep(
            ctx.sessions, ctx.rules, stripe_id, look, now=now, version=version, seen=seen
        )
    except ForeignStripeObject as refusal:
        if last is not None:
            async with ctx.sessions.begin() as session:
                await sync_subscription.report_foreign(session, ctx.rules, last, refusal)
        raise


async def listed(ctx: Context, stripe_ids: Collection[str]) -> Mapping[str, StripeSubscriptionState]:
    """Return how many subscriptions stand, by listing; see :func:`app.gateway.subscriptions.fetch_all`."""
    return await at_stripe.fetch_all(ctx.gateway, stripe_ids)


async def look_from_invoice(ctx: Context, invoice_id: str) -> None:
    """
    Find whose an invoice is.

    :raises RefetchInstead: always: at that subscription, by whoever has its lease.
    :raises NotOurs: it is of none.
    """
    raise RefetchInstead(f"{SUBSCRIPTION}:{await at_stripe.of_invoice(ctx.gateway, invoice_id)}")


async def refresh_credited(ctx: Context, invoice_id: str, *, now: datetime) -> None:
    """Look at the subscription of an invoice that was credited, and have its payments' refunds looked at."""
    await refresh(ctx, await at_stripe.of_invoice(ctx.gateway, invoice_id), now=now)
    async with ctx.sessions.begin() as session:
        for payment in await payments.of_invoice(session, invoice_id):
            await inbox.request_refetch(session, f"payment:{payment.id}", why="credited")


async def mine(ctx: Context, sub: str, *, now: datetime) -> Mine:
    """
    Return a reader's subscription with its running (else newest) term and what the guarantee would pay.

    :raises NoSubscription: if they never had one.
    """
    async with ctx.sessions.begin() as session:
        held = await _current(session, sub)
        terms = await subscriptions.terms_of(session, held.id)
        asked = await quotes.of_subscription(session, ctx.rules, held.id, now=now)
        calendar = await issues.calendar(session, ctx.rules.zone)
    running = [term for term in terms if term.starts_at <= now < term.ends_at]
    quote = guarantee_quote(asked.case, now=now, zone=ctx.rules.zone)[1] if asked is not None else None
    latest = running or terms
    term = latest[-1] if latest else None
    ledgers = ledgers_of(held, terms, calendar, ctx.rules.catalogue, now=now) if len(calendar) else []
    ledger = next((one for one in ledgers if term is not None and one.invoice_id == term.invoice_id), None)
    return Mine(
        subscription=held,
        term=term,
        guarantee=quote,
        ledger=ledger,
        notice=notice_of(held, terms, ctx.rules.access),
        end_of_what_is_paid=preview_period_end(held, terms),
    )


async def _current(session: Session, sub: str) -> Subscription:
    subscriber = await subscribers.by_sub(session, sub)
    held = await subscriptions.current(session, subscriber.id) if subscriber else None
    if held is None:
        raise NoSubscription
    return held
