"""
What one person may still give alone, and requests that wait for a second person.

Callers lock the person first (:func:`app.db.approvals.lock_person`) and then the subscriber, so that concurrent requests are
added up.
"""

from datetime import datetime

from app.db import approvals, audit, back_issues, claims, outbox, subscribers
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.approvals import (
    ApprovalKind,
    ApprovalRequest,
    ApprovalStatus,
    check_decision,
    goodwill_given,
    start_of_day,
)
from app.domain.dated_policies import COPIES, DAYS, ISSUES, Given
from app.domain.errors import NotFound
from app.domain.outbox import OutboxReader, claim_decided
from app.domain.quotes import RefundContext
from app.domain.rules import Rules


async def goodwill_left(session: Session, rules: Rules, case: RefundContext, *, by: str, now: datetime) -> int:
    """Return how much goodwill a person may still give alone on a payment, in minor units of its currency."""
    limits = rules.catalogue.policies.goodwill_limits(now.astimezone(rules.zone).date())
    currency = case.payment.currency
    given = goodwill_given(case.payment, case.refunds, since=limits.counts_since(now))
    today = await approvals.goodwill_by(session, by, currency, since=start_of_day(now, rules.zone))
    return limits.left(currency, Given(on_payment=given.on_payment, to_reader=given.to_reader, today=today))


async def comp_days_left(session: Session, rules: Rules, subscriber_id: str, *, by: str, now: datetime) -> int:
    """Return for how many days a person may still give a reader complimentary access alone."""
    limits = rules.catalogue.policies.comp_limits(now.astimezone(rules.zone).date())
    given = Given(
        to_reader=await approvals.comp_days_to(session, subscriber_id, since=limits.counts_since(now)),
        today=await approvals.comp_days_by(session, by, since=start_of_day(now, rules.zone)),
    )
    return limits.left(DAYS, given)


async def issues_left(session: Session, rules: Rules, subscriber_id: str, *, by: str, now: datetime) -> int:
    """Return how many issues a person may still add to a reader's terms alone."""
    limits = rules.catalogue.policies.extension_limits(now.astimezone(rules.zone).date())
    given = Given(
        to_reader=await approvals.issues_to(session, subscriber_id, since=limits.counts_since(now)),
        today=await approvals.issues_by(session, by, since=start_of_day(now, rules.zone)),
    )
    return limits.left(ISSUES, given)


async def copies_left(session: Session, rules: Rules, subscriber_id: str, *, by: str, now: datetime) -> int:
    """Return how many of a reader's copies a person may still claim without a second person."""
    limits = rules.catalogue.policies.claim_policy(now.astimezone(rules.zone).date()).limits
    given = Given(
        to_reader=await claims.count_to(session, subscriber_id, since=limits.counts_since(now)),
        today=await claims.count_by(session, by, since=start_of_day(now, rules.zone)),
    )
    return limits.left(COPIES, given)


async def back_issues_left(session: Session, rules: Rules, subscriber_id: str, *, by: str, now: datetime) -> int:
    """Return how many back issues a person may still order for a reader without a second person."""
    limits = rules.catalogue.policies.back_issue_limits(now.astimezone(rules.zone).date())
    given = Given(
        to_reader=await back_issues.count_to(session, subscriber_id, since=limits.counts_since(now)),
        today=await back_issues.count_by(session, by, since=start_of_day(now, rules.zone)),
    )
    return limits.left(COPIES, given)


async def request(session: Session, wanted: ApprovalRequest) -> None:
    """Store a request that waits for a second person."""
    await approvals.insert(session, wanted)
    await audit.record(
        session,
        actor=wanted.requested_by,
        action=f"{wanted.kind}.requested",
        object_id=wanted.id,
        subscriber_id=wanted.subscriber_id,
        reason=wanted.reason,
        note=wanted.note,
        after={
            "plan": wanted.plan,
            "until": wanted.until.isoformat() if wanted.until else None,
            "issues": wanted.issues,
            "subscription": wanted.subscription_id,
            "status": wanted.status,
        },
    )


async def locked(session: Session, request_id: str, kind: str | None = None) -> tuple[ApprovalRequest, Subscriber]:
    """
    Return a request under its subscriber's lock, and the subscriber.

    :raises NotFound: no such request of this kind exists.
    """
    found = await approvals.by_id(session, request_id)
    if found is None or kind not in (None, found.kind):
        raise NotFound("No such request")
    subscriber = await subscribers.lock(session, found.subscriber_id)
    return await approvals.by_id(session, request_id) or found, subscriber


async def approve(session: Session, request_id: str, kind: str, *, by: str, now: datetime) -> ApprovalRequest | None:
    """
    Mark a request as approved, in the transaction that gives what was requested.

    :returns: None if the same person approved it before, so that a repeated approval has no further effect.
    :raises NotFound: the request does not exist.
    :raises OwnRequest: the approver has requested it.
    :raises OwnAccount: the approver would get it.
    :raises NotAwaitingApproval: it was already decided.
    """
    found, subscriber = await locked(session, request_id, kind)
    if found.status == ApprovalStatus.APPROVED and found.decided_by == by:
        return None
    check_decision(requested_by=found.requested_by, status=found.status, sub=subscriber.sub, by=by)
    await approvals.settle(session, request_id, ApprovalStatus.APPROVED, by=by, note=None, now=now)
    return found


async def reject(session: Session, request_id: str, *, by: str, note: str | None, now: datetime) -> None:
    """
    Reject a request. A repeated rejection has no further effect.

    :raises NotFound: the request does not exist.
    :raises OwnRequest: the one who rejects it has requested it.
    :raises OwnAccount: the one who rejects it would get it.
    :raises NotAwaitingApproval: it was already decided.
    """
    found, subscriber = await locked(session, request_id)
    if found.status == ApprovalStatus.REJECTED and found.decided_by == by:
        return
    check_decision(requested_by=found.requested_by, status=found.status, sub=subscriber.sub, by=by)
    await approvals.settle(session, request_id, ApprovalStatus.REJECTED, by=by, note=note, now=now)
    claim = await claims.by_id(session, request_id) if found.kind == ApprovalKind.CLAIM else None
    if claim is not None:
        reader = OutboxReader.of(subscriber.id, subscriber.sub)
        await outbox.add(session, [claim_decided(reader, claim, granted=False)])
    await audit.record(
        session,
        actor=by,
        action=f"{found.kind}.rejected",
        object_id=found.id,
        subscriber_id=found.subscriber_id,
        note=note,
        before={"status": found.status},
        after={"status": ApprovalStatus.REJECTED},
    )
