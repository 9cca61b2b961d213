"""Subscriptions whose access is over although they have not ended: they are ended before their reader starts a new one."""

from datetime import datetime

from app.aggregates import cancellations
from app.db import audit, subscriptions
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.access_status import access_status, must_end_first
from app.domain.reasons import EndReason
from app.domain.rules import Rules
from app.domain.subscriptions import AlreadySubscribed


async def end_all(session: Session, rules: Rules, subscriber: Subscriber, *, now: datetime) -> None:
    """
    End a reader's subscriptions whose access is over, so that only a new one is charged.

    Issues that their terms still owe are served. The caller holds the subscriber's lock.

    :raises AlreadySubscribed: one of them gives access, or its payment is on its way.
    """
    earlier = await subscriptions.of_subscriber(session, subscriber.id)
    for one in earlier:
        terms = await subscriptions.terms_of(session, one.id)
        if not access_status(one, terms, rules.access, now=now).may_subscribe:
            raise AlreadySubscribed(subscription=one.id)
    for one in filter(must_end_first, earlier):
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
