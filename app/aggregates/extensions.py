"""Issues that are added to a subscription's newest term. The caller holds the subscriber's lock."""

from datetime import datetime

from app.aggregates import cutoffs, grants
from app.db import editions, issues, subscriptions
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.adjustments import AdjustmentKind
from app.domain.issues import ScheduledTerm, schedule_terms
from app.domain.ledgers import Ledger
from app.domain.rules import Rules
from app.domain.subscriptions import AlreadyEnded, Subscription


async def newest_term(session: Session, rules: Rules, subscription: Subscription) -> ScheduledTerm:
    """
    Return a subscription's newest term with its issues.

    :raises AlreadyEnded: no issues are owed.
    """
    calendar = (await editions.locked(session, rules.zone)).calendar
    runs = schedule_terms(
        subscription,
        await subscriptions.terms_of(session, subscription.id),
        calendar,
        rules.catalogue,
        grace=rules.access.grace_period,
    )
    if not runs:
        raise AlreadyEnded("The subscription has no paid term")
    if runs[-1].ended_at is not None:
        raise AlreadyEnded("The subscription was canceled immediately or refunded, so no issues are owed")
    return runs[-1]


async def add(
    session: Session,
    rules: Rules,
    subscriber: Subscriber,
    subscription: Subscription,
    *,
    adjustment_id: str,
    kind: AdjustmentKind,
    term: str,
    more: int,
    reason: str,
    note: str | None,
    by: str,
    now: datetime,
) -> tuple[bool, Ledger]:
    """Add issues to the newest term, once for each ``adjustment_id``. Return whether it is new, and the term's ledger."""
    now = await cutoffs.settle(session, rules.zone, now=now)
    is_new = await issues.add_adjustment(
        session,
        adjustment_id,
        invoice_id=term,
        subscription_id=subscription.id,
        kind=kind,
        issues=more,
        reason=reason,
        note=note,
        by=by,
        now=now,
    )
    after = (await newest_term(session, rules, subscription)).ledger(now)
    if is_new:
        await grants.derive(session, rules, subscriber, subscription, now=now)
    return is_new, after
