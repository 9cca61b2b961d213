"""The completion of an erasure by a worker. Each step can be repeated; one that was killed continues where it stopped."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

import structlog

from app.aggregates import cancellations, sync_subscription
from app.aggregates.intents import send
from app.context import Context
from app.db import audit, checkouts, erasures, intents, outbox, payments, refunds, subscribers, subscriptions
from app.db.engine.session import Session
from app.domain.erasures import ERASED, LAST_TRACE, Erasure, Kept
from app.domain.errors import NotFound, StripeFault, StripeRefused, StripeUnavailable
from app.domain.outbox import OutboxReader, reader_erased
from app.domain.reasons import EndReason
from app.domain.refunds import RefundStatus
from app.domain.subscriptions import OVER, ForeignStripeObject
from app.gateway import checkouts as checkouts_at_stripe
from app.gateway import personal_data as at_stripe
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gone

DONE = "reader.erased"
UNFINISHED = frozenset({RefundStatus.PROCESSING, RefundStatus.AWAITING_APPROVAL})
log = structlog.get_logger()


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
    await _expire_checkout(ctx, erasure)
    await _sync_new(ctx, erasure, now=now)
    await _end_all(ctx, erasure, now=now)
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
    if erasure.sub is not None:  # who was announced before has no `sub` anymore
        await outbox.add(session, [reader_erased(OutboxReader.of(subscriber_id, erasure.sub))])
    await erasures.finish(session, erasure.id, erased=erased, kept=kept, last_trace_in=LAST_TRACE)


async def _sync_new(ctx: Context, erasure: Erasure, *, now: datetime) -> None:
    """Sync subscriptions that were paid just before the checkout was expired, and whose events have not arrived yet."""
    for customer_id in erasure.customer_ids:
        for stripe_id in await at_stripe.running_subscriptions(ctx.gateway, customer_id):
            async with ctx.sessions.begin() as session:
                is_known = await subscriptions.by_stripe_id(session, stripe_id) is not None
            if not is_known:
                fetch = partial(subscriptions_at_stripe.fetch, ctx.gateway, stripe_id)
                with suppress(ForeignStripeObject):  # to another product: it ends with the customer
                    await sync_subscription.fetch_and_save(ctx.sessions, ctx.rules, stripe_id, fetch, now=now)


async def _end_all(ctx: Context, erasure: Erasure, *, now: datetime) -> None:
    """
    Check that every subscription has ended, here and at Stripe, and that no refund is unfinished.

    The order has ended all that were known. One that still runs was paid at the same time: it is refunded in full.

    :raises StripeUnavailable: one has not; the worker completes it.
    """
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, erasure.subscriber_id)
        own = await subscriptions.of_subscriber(session, erasure.subscriber_id)
        for one in own:
            if one.can_be_canceled:
                await cancellations.end(session, ctx.rules, one.id, by=EndReason.ERASED, now=now)
        unfinished = [
            one.id for one in await refunds.of_subscriber(session, erasure.subscriber_id) if one.status in UNFINISHED
        ]
        due = await erasures.unclosed_subscriptions(session, erasure.subscriber_id)
    if due or unfinished or any(one.status not in OVER for one in own):
        raise StripeUnavailable("A subscription has not ended at Stripe yet, or a refund is not complete")


async def _expire_checkout(ctx: Context, erasure: Erasure) -> None:
    """
    Expire the reader's open checkout, so that it can't be paid anymore.

    :raises StripeUnavailable: it is still open; call again.
    """
    async with ctx.sessions.begin() as session:
        checkout = await checkouts.find_open(session, erasure.subscriber_id)
        if checkout is None:
            return
        intent = await intents.record(session, checkout.id, "expire", {})
    if checkout.stripe_id is not None:
        with suppress(StripeRefused, StripeFault, Gone):  # whether it is still open is looked up next
            await send(
                ctx.sessions, intent, checkouts_at_stripe.expire(ctx.gateway, checkout.stripe_id, key=intent.key)
            )
        with suppress(Gone):
            if (await checkouts_at_stripe.fetch(ctx.gateway, checkout.stripe_id)).status == checkouts.OPEN:
                raise StripeUnavailable("The reader's checkout is still open at Stripe")
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
