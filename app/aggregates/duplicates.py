"""A reader's concurrent subscriptions: the facts by which one of them stays, and what staff see if several do."""

from collections.abc import Sequence
from datetime import datetime

from app.db import anomalies, payments, subscriptions
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.access_status import access_status
from app.domain.duplicates import DuplicateCandidate, resolve
from app.domain.imports import SEVERAL_SUBSCRIPTIONS, several_subscriptions
from app.domain.rules import Rules
from app.domain.subscriptions import Subscription


async def candidate(session: Session, rules: Rules, subscription: Subscription, *, now: datetime) -> DuplicateCandidate:
    """Return what decides whether a live subscription stays."""
    paid_at = [payment.paid_at for payment in await payments.of_subscription(session, subscription.id)]
    terms = await subscriptions.terms_of(session, subscription.id)
    first_start = min((term.starts_at for term in terms if term.refunded_as is None), default=None)
    return DuplicateCandidate(
        id=subscription.id,
        stripe_id=subscription.stripe_id,
        status=subscription.status,
        created_at=subscription.created_at,
        # A free subscription has a term and no payment.
        paid_at=min(paid_at, default=first_start) if first_start is not None else None,
        has_lapsed=access_status(subscription, terms, rules.access, now=now).has_lapsed,
        followed_since=subscription.followed_since,
    )


async def report(
    session: Session,
    rules: Rules,
    subscriber: Subscriber,
    all_subscriptions: Sequence[Subscription],
    *,
    now: datetime,
) -> None:
    """Show staff a reader with several subscriptions that no policy ends. The caller holds the subscriber's lock."""
    live = [one for one in all_subscriptions if one.is_live]
    found = {}
    if len(live) > 1:
        resolution = resolve([await candidate(session, rules, one, now=now) for one in live])
        if resolution.left and resolution.stays is not None:
            ids = [resolution.stays.stripe_id, *(one.stripe_id for one in resolution.left)]
            found = {SEVERAL_SUBSCRIPTIONS: several_subscriptions(ids)}
    await anomalies.report(
        session,
        subscriber.stripe_customer_id or subscriber.id,
        found,
        subscriber_id=subscriber.id,
        among=[SEVERAL_SUBSCRIPTIONS],
    )
