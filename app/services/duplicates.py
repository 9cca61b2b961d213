"""
Duplicates: a reader who paid twice keeps one subscription, and the other is refunded.

When a sync finds two live subscriptions of one subscriber, it requests a refetch for the subscriber. All of their
subscriptions are then fetched, because one that is live in our copy may have ended at Stripe. The decision is made under the
subscriber's lock, on exactly the fetched states.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial

from app.aggregates import cancellations, sync_subscription
from app.aggregates import duplicates as aggregate
from app.aggregates.retries import retry_on_conflict
from app.context import Context
from app.db import audit, subscribers, subscriptions
from app.db.engine.session import Session
from app.domain.duplicates import resolve as resolve_candidates
from app.domain.errors import ConcurrentUpdate
from app.domain.rules import Rules
from app.domain.subscriptions import ForeignStripeObject
from app.gateway import subscriptions as at_stripe
from app.gateway.client import Gone


async def resolve(ctx: Context, subscriber_id: str, *, now: datetime) -> None:
    """
    Sync all live subscriptions of a subscriber, and end the duplicates.

    :raises ConcurrentUpdate: our copies kept changing.
    """

    async def attempt() -> None:
        async with ctx.sessions.begin() as session:
            live = await subscriptions.live_of(session, subscriber_id)
        versions: dict[str, int | None] = {}  # None: it is not ours, or gone
        for subscription in live:
            versions[subscription.id] = None
            fetch = partial(at_stripe.fetch, ctx.gateway, subscription.stripe_id)
            with suppress(ForeignStripeObject, Gone):
                saved = await sync_subscription.fetch_and_save_once(
                    ctx.sessions, ctx.rules, subscription.stripe_id, fetch, now=now, check_duplicates=False
                )
                versions[subscription.id] = saved.version
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, subscriber_id)
            await _end_duplicates(session, ctx.rules, subscriber_id, versions, now=now)

    await retry_on_conflict(attempt, what=f"The subscriptions of {subscriber_id}")


async def _end_duplicates(
    session: Session, rules: Rules, subscriber_id: str, versions: Mapping[str, int | None], *, now: datetime
) -> None:
    """
    End the duplicates.

    :raises ConcurrentUpdate: a subscription is new or was saved since.
    """
    live = await subscriptions.live_of(session, subscriber_id)
    if any(one.id not in versions or versions[one.id] not in {None, one.version} for one in live):
        raise ConcurrentUpdate(subscriber_id)
    resolution = resolve_candidates(
        [await aggregate.candidate(session, rules, one, now=now) for one in live if versions[one.id] is not None]
    )
    for duplicate, ended_by in resolution.ends:
        if await cancellations.end(session, rules, duplicate.id, by=ended_by, now=now):
            await audit.record(
                session,
                actor="policy",
                action="subscription.duplicate",
                object_id=duplicate.id,
                subscriber_id=subscriber_id,
                reason=ended_by,
                before={
                    "status": duplicate.status,
                    "paid_at": duplicate.paid_at.isoformat() if duplicate.paid_at else None,
                },
                after={"stays": resolution.stays.id if resolution.stays else None},
            )
