"""Approvals: requests that wait for a second person, and what was given before. See :mod:`app.domain.approvals`."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_, union_all, update
from sqlalchemy.orm import InstrumentedAttribute

from app.db import comps, refunds
from app.db.engine.session import Session
from app.db.models import ApprovalRequest as Row
from app.db.models import Comp, IssueAdjustment, Refund, Subscription
from app.domain.adjustments import AdjustmentKind
from app.domain.approvals import ApprovalKind, ApprovalRequest, ApprovalStatus, PendingApproval, days_of
from app.domain.refunds import COUNTED, RefundBasis, RefundStatus

LOCK_CLASS = 6_207_112  # of the advisory locks on persons; any number that no other lock with two numbers uses


async def lock_person(session: Session, actor: str) -> None:
    """
    Lock what one person gives until this transaction ends, so that concurrent requests of theirs are added up.

    A transaction takes this lock before it locks a subscriber.
    """
    await session.execute(select(func.pg_advisory_xact_lock(LOCK_CLASS, func.hashtext(actor))))


async def goodwill_by(session: Session, actor: str, currency: str, *, since: datetime) -> int:
    """Return the goodwill that a person gave alone, in minor units of a currency."""
    query = select(func.coalesce(func.sum(Refund.amount), 0)).where(
        Refund.requested_by == actor,
        Refund.created_at >= since,
        Refund.basis == RefundBasis.GOODWILL,
        Refund.currency == currency,
        Refund.decided_by.is_(None),
        Refund.status.in_(COUNTED - {RefundStatus.AWAITING_APPROVAL}),
    )
    return int(await session.scalar(query) or 0)


async def comp_days_by(session: Session, actor: str, *, since: datetime) -> int:
    """Return the days of complimentary access that a person gave alone."""
    given = await session.execute(
        select(Comp.starts_at, Comp.until).where(
            Comp.given_by == actor, Comp.starts_at >= since, ~_was_requested(Comp.id)
        )
    )
    return sum(days_of(row.starts_at, row.until) for row in given)


async def comp_days_to(session: Session, subscriber_id: str, *, since: datetime | None) -> int:
    """Return the days of complimentary access that a reader got or that wait for approval, without revoked ones."""
    given = [
        days_of(comp.starts_at, min(comp.until, comp.removed_at or comp.until))
        for comp in await comps.of_subscriber(session, subscriber_id)
        if since is None or comp.starts_at >= since
    ]
    return sum(given) + await _awaiting(session, subscriber_id, ApprovalKind.COMP)


async def issues_by(session: Session, actor: str, *, since: datetime) -> int:
    """Return the issues that a person added to terms alone."""
    query = select(func.coalesce(func.sum(IssueAdjustment.issues), 0)).where(
        IssueAdjustment.by == actor,
        IssueAdjustment.created_at >= since,
        IssueAdjustment.kind == AdjustmentKind.EXTENSION,
        ~_was_requested(IssueAdjustment.id),
    )
    return int(await session.scalar(query) or 0)


async def issues_to(session: Session, subscriber_id: str, *, since: datetime | None) -> int:
    """Return the issues that were added to a reader's terms, or that wait for approval."""
    query = (
        select(func.coalesce(func.sum(IssueAdjustment.issues), 0))
        .join(Subscription, Subscription.id == IssueAdjustment.subscription_id)
        .where(Subscription.subscriber_id == subscriber_id, IssueAdjustment.kind == AdjustmentKind.EXTENSION)
    )
    if since is not None:
        query = query.where(IssueAdjustment.created_at >= since)
    return int(await session.scalar(query) or 0) + await _awaiting(session, subscriber_id, ApprovalKind.EXTENSION)


def _was_requested(object_id: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Whether a second person approved something: then there was a request with its ID."""
    return select(Row.id).where(Row.id == object_id).exists()


async def _awaiting(session: Session, subscriber_id: str, kind: str) -> int:
    query = select(func.coalesce(func.sum(Row.amount), 0)).where(
        Row.subscriber_id == subscriber_id, Row.kind == kind, Row.status == ApprovalStatus.AWAITING_APPROVAL
    )
    return int(await session.scalar(query) or 0)


async def insert(session: Session, request: ApprovalRequest) -> None:
    """Insert a request."""
    session.add(
        Row(
            id=request.id,
            kind=request.kind,
            subscriber_id=request.subscriber_id,
            subscription_id=request.subscription_id,
            amount=request.amount,
            plan=request.plan,
            until=request.until,
            issues=request.issues,
            reason=request.reason,
            note=request.note,
            requested_by=request.requested_by,
            status=request.status,
            created_at=request.created_at,
        )
    )
    await session.flush()


async def by_id(session: Session, request_id: str) -> ApprovalRequest | None:
    """Return a request with its current state."""
    row = await session.get(Row, request_id, populate_existing=True)
    return _request(row) if row is not None else None


async def of_subscriber(session: Session, subscriber_id: str) -> list[ApprovalRequest]:
    """Return a reader's requests, earliest first."""
    rows = await session.scalars(select(Row).where(Row.subscriber_id == subscriber_id).order_by(Row.created_at, Row.id))
    return [_request(row) for row in rows]


async def settle(session: Session, request_id: str, status: str, *, by: str, note: str | None, now: datetime) -> None:
    """Store the decision about a request."""
    await session.execute(
        update(Row).where(Row.id == request_id).values(status=status, decided_by=by, decided_at=now, decision_note=note)
    )


async def pending(session: Session, *, after: str | None, limit: int) -> list[PendingApproval]:
    """Return everything that waits for a second person after an ID, newest first."""
    waiting = union_all(
        _columns(Refund, literal(ApprovalKind.REFUND.value)).where(Refund.status == RefundStatus.AWAITING_APPROVAL),
        _columns(Row, Row.kind).where(Row.status == ApprovalStatus.AWAITING_APPROVAL),
    ).subquery()
    query = select(waiting).order_by(waiting.c.created_at.desc(), waiting.c.id.desc()).limit(limit)
    if after is not None:  # its row may have been decided meanwhile
        positions = union_all(
            _columns(Refund, literal("")).where(Refund.id == after), _columns(Row, literal("")).where(Row.id == after)
        ).subquery()
        query = query.join(
            positions, tuple_(waiting.c.created_at, waiting.c.id) < tuple_(positions.c.created_at, positions.c.id)
        )
    found = (await session.execute(query)).all()
    refunds_by_id = await refunds.by_ids(session, [row.id for row in found if row.kind == ApprovalKind.REFUND])
    requests_by_id = await _by_ids(session, [row.id for row in found if row.kind != ApprovalKind.REFUND])
    return [
        PendingApproval(
            id=row.id,
            kind=row.kind,
            subscriber_id=row.subscriber_id,
            created_at=row.created_at,
            refund=refunds_by_id.get(row.id),
            request=requests_by_id.get(row.id),
        )
        for row in found
    ]


def _columns(
    table: type[Refund | Row], kind: ColumnElement[str] | InstrumentedAttribute[str]
) -> "Select[str, str, str, datetime]":
    return select(table.id, kind.label("kind"), table.subscriber_id, table.created_at)


async def _by_ids(session: Session, ids: Sequence[str]) -> Mapping[str, ApprovalRequest]:
    return {row.id: _request(row) for row in await session.scalars(select(Row).where(Row.id.in_(ids)))}


def _request(row: Row) -> ApprovalRequest:
    return ApprovalRequest(
        id=row.id,
        kind=row.kind,
        subscriber_id=row.subscriber_id,
        subscription_id=row.subscription_id,
        amount=row.amount,
        plan=row.plan,
        until=row.until,
        issues=row.issues,
        reason=row.reason,
        note=row.note,
        requested_by=row.requested_by,
        status=row.status,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        decision_note=row.decision_note,
        created_at=row.created_at,
    )
