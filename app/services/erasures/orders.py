"""The order of an erasure: what speaks against it, and what it ends at once."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from app.aggregates import cancellations, grants
from app.aggregates import quotes as cases
from app.context import Context
from app.db import approvals, audit, comps, disputes, erasures, payments, refunds, subscribers, subscriptions
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.comps import grant_of
from app.domain.erasures import ERASED, Erasure, ErasureBlocked, ErasurePreview, blockers, refundable
from app.domain.errors import NotFound
from app.domain.money import Money
from app.domain.quotes import quotes
from app.domain.reasons import EndReason
from app.domain.refunds import RefundBasis
from app.gateway import customers as customers_at_stripe
from app.gateway.client import Gone

ORDERED = "reader.erasure_requested"
BASES = (RefundBasis.GUARANTEE, RefundBasis.WITHDRAWAL, RefundBasis.UNSERVED_ISSUES)


async def preview(ctx: Context, subscriber_id: str, *, now: datetime) -> ErasurePreview:
    """
    Return what an erasure would end, what can be refunded before, and what blocks it.

    :raises NotFound: the reader does not exist, or was erased.
    """
    async with ctx.sessions.begin() as session:
        subscriber = await _find(session, subscriber_id)
    credit = await _credit(ctx, subscriber)
    async with ctx.sessions.begin() as session:
        return await _preview(ctx, session, subscriber, credit, now=now)


async def order(
    ctx: Context,
    subscriber_id: str,
    *,
    without_refund: bool,
    by: str,
    now: datetime,
    inactive_since: datetime | None = None,
) -> Erasure:
    """
    Order the erasure of a reader. A repeated order has no further effect.

    :param without_refund: whether the caller knows that money can be refunded, and is not.
    :param inactive_since: if given, only a reader without access since then is erased.
    :raises NotFound: the reader does not exist.
    :raises ErasureBlocked: a refund, a dispute or a request is undecided, or the reader has come back.
    :raises RefundDue: money can be refunded.
    """
    async with ctx.sessions.begin() as session:
        earlier = await erasures.find(session, subscriber_id)
        if earlier is not None:
            return earlier
        subscriber = await _find(session, subscriber_id)
    credit = await _credit(ctx, subscriber)
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.lock(session, subscriber_id)
        earlier = await erasures.find(session, subscriber_id)
        if earlier is not None:
            return earlier
        if inactive_since is not None and not await erasures.is_inactive(session, subscriber_id, before=inactive_since):
            raise ErasureBlocked("The reader has come back", objects=[])
        (await _preview(ctx, session, subscriber, credit, now=now)).check(without_refund=without_refund)
        for one in await subscriptions.of_subscriber(session, subscriber_id):
            if one.can_be_canceled:
                await cancellations.end(session, ctx.rules, one.id, by=EndReason.CANCEL_NOW, now=now)
        for comp in await comps.of_subscriber(session, subscriber_id):
            if comp.removed_at is None:
                await comps.remove(session, comp.id, grant_of(comp, ctx.rules.catalogue).id, by=by, at=now)
        await grants.rebuild(session, subscriber, now=now)
        await audit.record(
            session,
            actor=by,
            action=ORDERED,
            object_id=subscriber_id,
            subscriber_id=subscriber_id,
            after={"without_refund": without_refund},
        )
        customer_id = subscriber.stripe_customer_id
        return await erasures.start(session, subscriber_id, sub=subscriber.sub, customer_id=customer_id, by=by)


async def check_here(ctx: Context, subscriber_id: str, *, now: datetime) -> Subscriber:
    """
    Return a reader about whom nothing here speaks against an erasure, without asking Stripe.

    :raises NotFound: the reader does not exist, or was erased.
    :raises ErasureBlocked: a refund, a dispute or a request is undecided.
    :raises RefundDue: money can be refunded.
    """
    async with ctx.sessions.begin() as session:
        subscriber = await _find(session, subscriber_id)
        (await _preview(ctx, session, subscriber, (), now=now)).check(without_refund=False)
    return subscriber


async def _find(session: Session, subscriber_id: str) -> Subscriber:
    found = await subscribers.by_id(session, subscriber_id)
    if found is None or found.sub.startswith(ERASED):
        raise NotFound("No such reader")
    return found


async def _credit(ctx: Context, subscriber: Subscriber) -> tuple[Money, ...]:
    """Return what is left in the balance of the reader's customer at Stripe."""
    if subscriber.stripe_customer_id is None:
        return ()
    with suppress(Gone):
        state = await customers_at_stripe.fetch(ctx.gateway, subscriber.stripe_customer_id)
        return tuple(Money(amount, currency) for currency, amount in sorted(state.credit.items()) if amount > 0)
    return ()


async def _preview(
    ctx: Context, session: Session, subscriber: Subscriber, credit: Sequence[Money], *, now: datetime
) -> ErasurePreview:
    offers = []
    for payment in await payments.of_subscriber(session, subscriber.id):
        found = await cases.of_payment(session, ctx.rules, payment.id, now=now)
        if found is not None:
            offers.append((payment.id, quotes(found.case, now=now, zone=ctx.rules.zone)))
    return ErasurePreview(
        ends=[
            *(one.id for one in await subscriptions.of_subscriber(session, subscriber.id) if one.can_be_canceled),
            *(
                one.id
                for one in await comps.of_subscriber(session, subscriber.id)
                if one.removed_at is None and one.until > now
            ),
        ],
        refundable=refundable(offers, BASES),
        credit=credit,
        blockers=blockers(
            await refunds.of_subscriber(session, subscriber.id),
            await disputes.of_subscriber(session, subscriber.id),
            await approvals.of_subscriber(session, subscriber.id),
        ),
    )
