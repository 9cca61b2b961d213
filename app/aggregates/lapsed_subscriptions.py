"""Subscriptions whose access is over although they have not ended: they are ended before their reader starts a new one."""

from datetime import datetime

from app.aggregates import cancellations
from app.db import audit, subscriptions
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.access_status import access_status, must_end_first
from app.domain.reasons import EndReason
from app.domain.rules import Rules
from app.domain.subscriptions import AlreadySubscribed, Subscription


async def find_running(session: Session, rules: Rules, subscriber_id: str, *, now: datetime) -> Subscription | None:
    """Return a reader's subscription that gives access, or whose payment is on its way; None if there is none."""
    for one in await subscriptions.of_subscriber(session, subscriber_id):
        terms = await subscriptions.terms_of(session, one.id)
        if not access_status(one, terms, rules.access, now=now).may_subscribe:
            return one
    return None


async def to_be_ended(session: Session, subscriber_id: str) -> list[Subscription]:
    """Return a reader's subscriptions that must be ended before they start a new one."""
    return [one for one in await subscriptions.of_subscriber(session, subscriber_id) if must_end_first(one)]


async def end_all(session: Session, rules: Rules, subscriber: Subscriber, *, now: datetime) -> None:
    """
    End a reader's subscriptions whose access is over, so that only a new one is charged.

    Issues that their terms still owe are served. The caller holds the subscriber's lock, and has fetched the subscriptions
    since ``now``: a renewal that was just paid must be known, because it would buy nothing.

    :raises AlreadySubscribed: one of them gives access, or its payment is on its way.
    """
    running = await find_running(session, rules, subscriber.id, now=now)
    if running is not None:
        raise AlreadySubscribed(subscription=running.id)
    for one in await to_be_ended(session, subscriber.id):
        await cancellations.end(session, rules, one.id, by=EndReason.SUBSCRIBED_AGAIN, now=now)
        await audit.record(
            session,
            actor=f"reader:{subscriber.sub}",
            action="subscription.subscribe_again",
            object_id=one.id,
            subscriber_id=subscriber.id,
            before={"status": one.status},
            after={"ended_at": now.isoformat()},
        )
