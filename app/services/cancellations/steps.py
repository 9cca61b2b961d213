"""
One request to Stripe in the completion of an end: stored, sent, and settled.

The request that ended the subscription and a worker may both complete the end at the same time. A request that moves money
is therefore decided and stored in one transaction under the subscriber's lock, and its result is saved in the transaction
that settles it: whoever comes later either repeats the same key or finds the result.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from app.aggregates import intents as stored
from app.context import Context
from app.db import audit, intents, subscribers
from app.db.engine.session import Session
from app.domain.errors import StripeRefused
from app.domain.subscriptions import Subscription
from app.gateway.client import Gone

T = TypeVar("T")


async def record_intent(
    ctx: Context, subscription: Subscription, object_id: str, action: str, facts: Mapping[str, object]
) -> intents.Intent:
    """Do as :func:`intend`, without parameters, in a transaction of its own."""
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, subscription.subscriber_id)
        return await intend(session, subscription, object_id, action, facts, {})


async def intend(
    session: Session,
    subscription: Subscription,
    object_id: str,
    action: str,
    facts: Mapping[str, object],
    parameters: Mapping[str, object],
) -> intents.Intent:
    """
    Store a request before it is sent to Stripe, and the first time in the audit log too.

    The caller holds the subscriber's lock.

    :param action: ``<kind of object>.<action>``, as in the audit log.
    :param facts: what the audit log says about the object.
    """
    intent = await intents.record(session, object_id, action, parameters)
    if intent.parameters != parameters:  # an earlier one, whose effect is known by now
        await intents.settle(session, intent.key)
        intent = await intents.record(session, object_id, action, parameters)
    if intent.first:
        await audit.record(
            session,
            actor="policy",
            action=action,
            object_id=object_id,
            subscriber_id=subscription.subscriber_id,
            reason=f"ended:{cause_of(subscription)}",
            before={**facts, "subscription": subscription.id},
        )
    return intent


def cause_of(subscription: Subscription) -> str:
    """Return why a subscription ended, for the audit log."""
    return str(subscription.ended_by or subscription.end_reason or subscription.status)


async def send(
    ctx: Context,
    subscription: Subscription,
    intent: intents.Intent,
    request: Awaitable[T],
    *,
    save: Callable[[Session, T], Awaitable[None]] | None = None,
) -> None:
    """
    Send the request of a stored intent, and settle the intent after any response.

    The audit log records the first refusal of an action, and not those of a worker that repeats it.
    Raises as :func:`app.aggregates.intents.send` does.

    :param save: saves the response, in the transaction that settles the intent.
    """
    recorded = stored.RecordedAction(
        actor="policy",
        name=intent.action,
        object_id=intent.row_id,
        subscriber_id=subscription.subscriber_id,
        before={"subscription": subscription.id},
        after={},
    )

    async def record_refusal(session: Session, refusal: StripeRefused | Gone) -> None:
        await subscribers.lock(session, subscription.subscriber_id)
        if intent.attempt == 1 and await intents.is_open(session, intent.key):
            await recorded.record_refusal(session, refusal)

    answer = await stored.send(ctx.sessions, intent, request, on_refusal=record_refusal)
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, subscription.subscriber_id)
        await intents.settle(session, intent.key)
        if save is not None:
            await save(session, answer)
