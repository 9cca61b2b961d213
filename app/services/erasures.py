"""
Erasing a reader: ordered in one transaction, and completed by a worker in steps that can each be repeated.

1. The order ends what is running, and makes the reader unknown here at once: nobody finds them by their ``sub`` anymore, so
   nothing new can begin for them.
2. The ends are completed at Stripe, as after any cancellation.
3. At Stripe, an open checkout is expired, billing details and comments are emptied, and the customer is deleted.
4. Here, every column of :mod:`app.db.personal_data` is emptied, replaced, deleted or kept, in one transaction.
5. Two hours later, when every token of the reader has expired, their ``sub`` is removed from the feed of revocations.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from app.aggregates import cancellations, grants
from app.aggregates import quotes as cases
from app.aggregates.intents import send
from app.context import Context
from app.db import (
    approvals,
    audit,
    checkouts,
    comps,
    disputes,
    erasures,
    intents,
    payments,
    refunds,
    subscribers,
    subscriptions,
)
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.comps import grant_of
from app.domain.erasures import (
    ERASED,
    LAST_TRACE,
    Erasure,
    ErasureBlocked,
    ErasurePreview,
    Kept,
    RefundDue,
    blockers,
    refundable,
)
from app.domain.errors import NotFound, StripeFault, StripeRefused, StripeUnavailable
from app.domain.money import Money
from app.domain.quotes import quotes
from app.domain.reasons import EndReason
from app.domain.refunds import RefundBasis, RefundStatus
from app.domain.subscriptions import OVER
from app.gateway import checkouts as checkouts_at_stripe
from app.gateway import customers as customers_at_stripe
from app.gateway import personal_data as at_stripe
from app.gateway.client import Gone

ORDERED, DONE = "reader.erasure_requested", "reader.erased"
BASES = (RefundBasis.GUARANTEE, RefundBasis.UNSERVED_ISSUES)
POLICY = "policy"
PAGE_SIZE, MAX_INACTIVE = 100, 500  # readers; more in the next night, because each needs several calls to Stripe
UNFINISHED = frozenset({RefundStatus.PROCESSING, RefundStatus.AWAITING_APPROVAL})
log = structlog.get_logger()


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


async def order(ctx: Context, subscriber_id: str, *, without_refund: bool, by: str, now: datetime) -> Erasure:
    """
    Order the erasure of a reader. A repeated order has no further effect.

    :param without_refund: whether the caller knows that money can be refunded, and is not.
    :raises NotFound: the reader does not exist.
    :raises ErasureBlocked: a refund, a dispute or a request is undecided.
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


async def order_inactive(ctx: Context, *, now: datetime) -> int:
    """
    Order the erasure of readers whose last access ended long ago, as the setting says. Return how many.

    A reader to whom money may be owed, or about whom something is undecided, is left alone.
    """
    kept_for = ctx.settings.former_readers_kept
    ordered, after = 0, ""
    while kept_for is not None and ordered < MAX_INACTIVE:
        async with ctx.sessions.begin() as session:
            found = await erasures.inactive(session, before=now - kept_for, after=after, limit=PAGE_SIZE)
        for subscriber_id in found:
            try:
                await order(ctx, subscriber_id, without_refund=False, by=POLICY, now=now)
                ordered += 1
            except (ErasureBlocked, RefundDue) as reason:
                log.info("inactive_reader_kept", subscriber=subscriber_id, reason=reason.code)
        if len(found) < PAGE_SIZE:
            break
        after = found[-1]
    return ordered


async def get(ctx: Context, erasure_id: str) -> Erasure:
    """
    Return an erasure.

    :raises NotFound: it does not exist.
    """
    async with ctx.sessions.begin() as session:
        found = await erasures.by_id(session, erasure_id)
    if found is None:
        raise NotFound("No such erasure")
    return found


async def find(ctx: Context, reader: str) -> Erasure | None:
    """Return the erasure of a reader, by their ID, or by their ``sub`` until two hours after it was complete."""
    async with ctx.sessions.begin() as session:
        return await erasures.find(session, reader)


async def finish(ctx: Context, erasure_id: str, *, now: datetime) -> None:
    """
    Complete the remaining steps of an erasure.

    :raises StripeUnavailable: some are still left; call again.
    """
    erasure = await get(ctx, erasure_id)
    if erasure.finished_at is not None:
        async with ctx.sessions.begin() as session:
            await erasures.remove_last_trace(session, erasure)
        return
    await _end_all(ctx, erasure, now=now)
    await _expire_checkout(ctx, erasure)
    for customer_id in erasure.customer_ids:
        await _erase_customer(ctx, erasure, customer_id)
    kept = [one for customer_id in erasure.customer_ids for one in await _kept_at_stripe(ctx, customer_id)]
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.lock(session, erasure.subscriber_id)
        current = await erasures.by_id(session, erasure_id)
        if current is None or current.finished_at is not None:
            return
        latest = subscriber.stripe_customer_id
        is_new = latest is not None and latest not in current.customer_ids
        if is_new:  # a checkout that had begun before made it
            await erasures.add_customer(session, current, str(latest))
        else:
            await _erase_here(session, current, kept)
    if is_new:
        raise StripeUnavailable("The reader has another customer at Stripe")
    log.info("reader_erased", erasure=erasure_id)


async def _erase_here(session: Session, erasure: Erasure, kept: Sequence[Kept]) -> None:
    """Erase every row of the reader as the register says, and record the result."""
    subscriber_id = erasure.subscriber_id
    sub = (
        erasure.sub or f"{ERASED}{subscriber_id}"
    )  # the last trace was removed; an empty one would match other readers
    kept = [*await _kept_here(session, subscriber_id), *kept]
    erased = await erasures.erase_rows(session, subscriber_id, sub=sub)
    await audit.replace_actor(session, sub, subscriber_id=subscriber_id, by=erasure.requested_by)
    await audit.record(
        session,
        actor=erasure.requested_by,
        action=DONE,
        object_id=subscriber_id,
        subscriber_id=subscriber_id,
        after={"erased": erased},
    )
    await erasures.finish(session, erasure.id, erased=erased, kept=kept, last_trace_in=LAST_TRACE)


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


async def _end_all(ctx: Context, erasure: Erasure, *, now: datetime) -> None:
    """
    Check that every subscription has ended, here and at Stripe, and that no refund is unfinished.

    A checkout that was being paid when the erasure was ordered may have made one since.

    :raises StripeUnavailable: one has not; the worker completes it.
    """
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, erasure.subscriber_id)
        own = await subscriptions.of_subscriber(session, erasure.subscriber_id)
        for one in own:
            if one.can_be_canceled:
                await cancellations.end(session, ctx.rules, one.id, by=EndReason.CANCEL_NOW, now=now)
        unfinished = [
            one.id for one in await refunds.of_subscriber(session, erasure.subscriber_id) if one.status in UNFINISHED
        ]
        due = await erasures.unclosed_subscriptions(session, erasure.subscriber_id)
    if due or unfinished or any(one.status not in OVER for one in own):
        raise StripeUnavailable("A subscription has not ended at Stripe yet, or a refund is not complete")


async def _expire_checkout(ctx: Context, erasure: Erasure) -> None:
    """Expire the reader's open checkout, so that it can't be paid anymore."""
    async with ctx.sessions.begin() as session:
        checkout = await checkouts.find_open(session, erasure.subscriber_id)
        if checkout is None:
            return
        intent = await intents.record(session, checkout.id, "expire", {})
    if checkout.stripe_id is not None:
        with suppress(StripeRefused, StripeFault, Gone):  # it is not open anymore; deleting the customer ends it too
            await send(
                ctx.sessions, intent, checkouts_at_stripe.expire(ctx.gateway, checkout.stripe_id, key=intent.key)
            )
    async with ctx.sessions.begin() as session:
        await intents.settle(session, intent.key)
        await checkouts.abandon(session, erasure.subscriber_id)


async def _erase_customer(ctx: Context, erasure: Erasure, customer_id: str) -> None:
    """Empty what Stripe lets us empty, and delete the customer."""
    if await at_stripe.is_deleted(ctx.gateway, customer_id):
        return
    for subscription_id in await at_stripe.commented_subscriptions(ctx.gateway, customer_id):
        await _change(ctx, erasure, subscription_id, f"/v1/subscriptions/{subscription_id}", at_stripe.NO_COMMENT)
    for method in await at_stripe.payment_methods(ctx.gateway, customer_id):
        await _change(ctx, erasure, method.id, f"/v1/payment_methods/{method.id}", at_stripe.NO_BILLING_DETAILS)
    await _change(ctx, erasure, customer_id, f"/v1/customers/{customer_id}", at_stripe.NOBODY)
    await at_stripe.delete_customer(ctx.gateway, customer_id)


async def _change(ctx: Context, erasure: Erasure, row_id: str, path: str, parameters: Mapping[str, object]) -> None:
    """Change an object at Stripe. One that can't be changed is logged: deleting the customer matters more."""
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, erasure.subscriber_id)
        intent = await intents.record(session, row_id, "erase", parameters)
    try:
        await send(ctx.sessions, intent, at_stripe.change(ctx.gateway, path, intent.parameters, key=intent.key))
    except (StripeRefused, Gone) as refusal:
        log.warning("not_erased_at_stripe", object=row_id, reason=str(refusal))
    async with ctx.sessions.begin() as session:
        await intents.settle(session, intent.key)


async def _kept_here(session: Session, subscriber_id: str) -> list[Kept]:
    paid = await payments.of_subscriber(session, subscriber_id)
    repaid = await refunds.of_subscriber(session, subscriber_id)
    books = "Tax law requires the books to be kept. They name the reader only by our own ID."
    counted = (
        ("payments", books, len(paid)),
        ("refunds, without notes", books, len(repaid)),
        (
            "entries of the audit log, without notes",
            "They say what staff did. They name the reader only by our own ID.",
            await audit.count_of(session, subscriber_id),
        ),
        ("revocations of access", "Edge servers refuse the reader's tokens until these expire, in two hours.", 1),
    )
    return [Kept(what=what, why=why, count=count) for what, why, count in counted if count]


async def _kept_at_stripe(ctx: Context, customer_id: str) -> list[Kept]:
    """Return what Stripe keeps of a deleted customer."""
    found: dict[str, int] = {}
    with suppress(Gone, StripeRefused):
        found = await at_stripe.count_kept(ctx.gateway, customer_id)
    why = (
        f"Stripe keeps what was billed to {customer_id} as it was billed, with name and address, and its API can't change"
        " it. Once you don't have to keep it anymore, use a redaction job of Stripe's."
    )
    return [Kept(what=f"{name} at Stripe", why=why, count=count) for name, count in found.items() if count]
