"""
Duplicates: a reader who paid in two tabs keeps one subscription, and the other is refunded.

When a sync finds two live subscriptions of one subscriber, it requests a refetch for the subscriber. All of their
subscriptions are then fetched, since one that is live in our copy may have ended at Stripe. The decision is made under the
subscriber's lock, on exactly the fetched state.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial

from app.aggregates import cancellations, sync_subscription
from app.context import Context
from app.db import audit, payments, subscribers, subscriptions
from app.db.engine.session import Session
from app.db.subscriptions import ConcurrentUpdate
from app.domain.duplicates import DuplicateCandidate, resolve
from app.domain.rules import Rules
from app.domain.subscriptions import ForeignStripeObject, Subscription
from app.gateway import subscriptions as at_stripe
from app.gateway.client import Gone

LOOKS = 5


async def settle(ctx: Context, subscriber_id: str, *, now: datetime) -> None:
    """
    Look at all live subscriptions of a reader, and end those that the rule does not let stay.

    :raises ConcurrentUpdate: others kept saving while we looked.
    """
    for _ in range(LOOKS):
        async with ctx.sessions.begin() as session:
            live = await subscriptions.live_of(session, subscriber_id)
        seen: dict[str, int | None] = {}
        for held in live:
            seen[held.id] = None
            look = partial(at_stripe.fetch, ctx.gateway, held.stripe_id)
            with suppress(ForeignStripeObject, Gone):  # then it is nobody's candidate
                seen[held.id] = (
                    await sync_subscription.keep(ctx.sessions, ctx.rules, held.stripe_id, look, now=now, alone=True)
                ).version
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, subscriber_id)
            if await _settled(session, ctx.rules, subscriber_id, seen, now=now):
                return
    raise ConcurrentUpdate(subscriber_id)


async def _settled(
    session: Session, rules: Rules, subscriber_id: str, seen: Mapping[str, int | None], *, now: datetime
) -> bool:
    """Pass the verdict, unless there is something newer than what was seen."""
    live = await subscriptions.live_of(session, subscriber_id)
    if any(held.id not in seen or seen[held.id] not in {None, held.version} for held in live):
        return False
    verdict = resolve([await _rival(session, held) for held in live if seen[held.id] is not None])
    for loser, ended_by in verdict.ends:
        if await cancellations.end(session, rules, loser.id, by=ended_by, now=now):
            await audit.record(
                session,
                actor="policy",
                action="subscription.duplicate",
                object_id=loser.id,
                subscriber_id=subscriber_id,
                reason=ended_by,
                before={"status": loser.status, "paid_at": loser.paid_at.isoformat() if loser.paid_at else None},
                after={"stays": verdict.stays.id if verdict.stays else None},
            )
    return True


async def _rival(session: Session, held: Subscription) -> DuplicateCandidate:
    paid = [payment.paid_at for payment in await payments.of_subscription(session, held.id)]
    opened = [term.starts_at for term in await subscriptions.terms_of(session, held.id) if term.refunded_as is None]
    first = min(opened, default=None)
    return DuplicateCandidate(
        id=held.id,
        stripe_id=held.stripe_id,
        status=held.status,
        created_at=held.created_at,
        paid_at=min(paid, default=first) if first is not None else None,  # one made free has a term, and no payment
    )
