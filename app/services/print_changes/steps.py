"""One request to Stripe of a change: stored, sent and settled."""

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from app.aggregates import intents as stored
from app.aggregates import sync_subscription
from app.context import Context
from app.db import anomalies, audit, intents, print_changes, subscribers, subscriptions
from app.db.engine.session import Session
from app.domain.errors import ConcurrentUpdate, NotFound
from app.domain.print_changes import PrintChange, PrintChangeStatus
from app.domain.subscriptions import StripeSubscriptionState, Subscription
from app.gateway import subscriptions as at_stripe

T = TypeVar("T")


async def intend(ctx: Context, change: PrintChange, action: str, parameters: Mapping[str, object]) -> intents.Intent:
    """
    Store a request before it is sent. One whose parameters have changed since gets a new key.

    :raises ConcurrentUpdate: the change was decided meanwhile.
    """
    async with ctx.sessions.begin() as session:
        await lock_undecided(session, change)
        return await record_intent(session, change, action, parameters)


async def lock_undecided(session: Session, change: PrintChange) -> PrintChange:
    """
    Lock the subscriber of a change, and return the change as it is stored now. One that was decided before stays so.

    A process that was stopped for longer than its lease must not repeat what another has completed: the keys of settled
    requests are not used again, so Stripe would bill them a second time.

    :raises ConcurrentUpdate: it was decided meanwhile.
    """
    await subscribers.lock(session, change.subscriber_id)
    stored_now = await print_changes.by_id(session, change.id)
    if stored_now is None or not (stored_now.is_undecided or stored_now.status == change.status):
        raise ConcurrentUpdate("Another process has completed this change")
    return stored_now


async def record_intent(
    session: Session, change: PrintChange, action: str, parameters: Mapping[str, object]
) -> intents.Intent:
    """Store a request in the caller's transaction, as :func:`intend` does."""
    intent = await intents.record(session, change.id, action, parameters)
    if intent.parameters != parameters:
        await intents.settle(session, intent.key)
        intent = await intents.record(session, change.id, action, parameters)
    return intent


async def send(ctx: Context, intent: intents.Intent, request: Awaitable[T]) -> T:
    """Send a stored request, and settle it after any answer. Raises as :func:`app.aggregates.intents.send` does."""
    answer = await stored.send(ctx.sessions, intent, request)
    async with ctx.sessions.begin() as session:
        await intents.settle(session, intent.key)
    return answer


async def subscription_of(ctx: Context, change: PrintChange) -> Subscription:
    """Return the subscription of a change."""
    async with ctx.sessions.begin() as session:
        found = await subscriptions.by_id(session, change.subscription_id)
    if found is None:
        raise NotFound("No such subscription")
    return found


async def update(ctx: Context, change: PrintChange, stripe_id: str, action: str, parameters: Mapping[str, Any]) -> None:
    """Update the subscription at Stripe."""
    intent = await intend(ctx, change, action, parameters)
    await send(ctx, intent, at_stripe.update(ctx.gateway, stripe_id, intent.parameters, key=intent.key))


async def sync(ctx: Context, stripe_id: str, *, now: datetime) -> StripeSubscriptionState:
    """Fetch and save the subscription, and return its state at Stripe."""
    last: StripeSubscriptionState | None = None

    async def fetch() -> StripeSubscriptionState:
        nonlocal last
        last = await at_stripe.fetch(ctx.gateway, stripe_id)
        return last

    await sync_subscription.fetch_and_save(ctx.sessions, ctx.rules, stripe_id, fetch, now=now)
    assert last is not None
    return last


async def decide(
    session: Session,
    change: PrintChange,
    status: PrintChangeStatus,
    action: str,
    *,
    actor: str,
    reason: str | None = None,
) -> None:
    """Record the outcome of a change once. The caller holds the subscriber's lock."""
    if not await print_changes.set_status(session, change.id, status, failure_reason=reason):
        return
    await anomalies.report(session, change.id, {}, subscriber_id=change.subscriber_id)
    await audit.record(
        session,
        actor=actor,
        action=action,
        object_id=change.id,
        subscriber_id=change.subscriber_id,
        reason=reason,
        before={"status": change.status},
        after={"status": status, "amount": change.due or change.total, "currency": change.currency},
    )


async def decide_alone(
    ctx: Context, change: PrintChange, status: PrintChangeStatus, action: str, *, actor: str, reason: str | None = None
) -> None:
    """Do as :func:`decide`, in a transaction of its own."""
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, change.subscriber_id)
        await decide(session, change, status, action, actor=actor, reason=reason)
