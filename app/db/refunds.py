"""Refunds: the request, the result at Stripe, and the follow-up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, func, select, tuple_, update

from app.db.engine import leases
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import Refund as Row
from app.db.models import table_of
from app.domain.refunds import Refund, RefundStatus

_ROWS = table_of(Row)
_OF_SUBSCRIBER = (
    select(*_ROWS.c).where(_ROWS.c.subscriber_id == bindparam("subscriber")).order_by(_ROWS.c.created_at, _ROWS.c.id)
)


async def insert(session: Session, refund: Refund, *, unfinished: bool) -> None:
    """Insert a refund. An unfinished one is due immediately."""
    session.add(
        Row(
            id=refund.id,
            act_id=refund.group_id if refund.group_id != refund.id else None,
            payment_id=refund.payment_id,
            subscriber_id=refund.subscriber_id,
            basis=refund.basis,
            amount=refund.amount,
            tax=refund.tax,
            currency=refund.currency,
            reason=refund.reason,
            note=refund.note,
            requested_by=refund.requested_by,
            status=refund.status,
            stripe_refund_id=refund.stripe_refund_id,
            failure_reason=refund.failure_reason,
            created_at=refund.created_at,
            made_at=refund.made_at,
            recorded_at=refund.recorded_at,
            is_history=refund.is_history,
            request_hash=refund.request_hash,
            work_key=work_key(refund.payment_id),
            due_at=func.now() if unfinished else None,
        )
    )
    await session.flush()


def work_key(payment_id: str) -> str:
    """Return the work key of a payment's refunds, so that one worker at a time handles them."""
    return f"payment:{payment_id}"


async def by_id(session: Session, refund_id: str) -> Refund | None:
    """Return a refund with its current state."""
    row = await session.get(Row, refund_id, populate_existing=True)
    return _refund(row) if row is not None else None


async def by_ids(session: Session, ids: Sequence[str]) -> dict[str, Refund]:
    """Return the refunds with these ids, by id."""
    return {refund.id: refund for refund in await _all(session, Row.id.in_(ids))}


async def at_stripe(session: Session, stripe_id: str, *, ours: str | None, payment_id: str) -> Refund | None:
    """Return the refund with a Stripe ID, or else the one of a payment that Stripe's metadata names."""
    found = await _all(session, Row.stripe_refund_id == stripe_id)
    if not found and ours is not None:
        found = await _all(session, (Row.id == ours) & (Row.payment_id == payment_id) & Row.stripe_refund_id.is_(None))
    return found[0] if found else None


async def of_payment(session: Session, payment_id: str) -> list[Refund]:
    """Return a payment's refunds, earliest first."""
    return await _all(session, Row.payment_id == payment_id)


async def restored(session: Session, payment_id: str, *, request_hash: str) -> Refund | None:
    """Return a payment's refund that was made for a request before a backup was restored, and was found at Stripe."""
    found = await _all(
        session, (Row.payment_id == payment_id) & (Row.request_hash == request_hash) & Row.is_history.is_(True)
    )
    return found[0] if found else None


async def of_subscriber(session: Reads, subscriber_id: str) -> list[Refund]:
    """Return a subscriber's refunds, earliest first."""
    rows = await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})
    return [_refund(row) for row in rows]


@dataclass(frozen=True, slots=True)
class LeasedGroup:
    """Refunds that were requested together, and the IDs of those whose payments are now leased to ``owner``."""

    refunds: list[Refund]
    leased: frozenset[str]
    owner: str


async def lease_group(session: Session, group_id: str, *, owner: str, lease: timedelta) -> LeasedGroup:
    """Lease the payments of a request in the transaction that makes it due, so that no worker takes it."""
    group = await of_group(session, group_id)
    leased = [
        refund.id
        for refund in group
        if refund.status != RefundStatus.AWAITING_APPROVAL
        and await leases.take(session, work_key(refund.payment_id), owner=owner, lease=lease)
    ]
    return LeasedGroup(group, frozenset(leased), owner)


async def of_group(session: Session, group_id: str) -> list[Refund]:
    """Return the refunds of one request; the one that gives the group its ID comes first."""
    found = await _all(session, (Row.id == group_id) | (Row.act_id == group_id))
    return sorted(found, key=lambda refund: refund.id != group_id)


async def unresolved(session: Session, payment_id: str) -> Refund | None:
    """Return the refund of a payment that is being processed."""
    row = await session.scalar(select(Row).where(Row.payment_id == payment_id, Row.status == RefundStatus.PROCESSING))
    return _refund(row) if row is not None else None


async def set_credit_note(session: Session, refund_id: str, credit_note_id: str) -> None:
    """Store the ID of the credit note at Stripe."""
    await session.execute(update(Row).where(Row.id == refund_id).values(credit_note_id=credit_note_id, attention=None))


async def set_status(
    session: Session,
    refund_id: str,
    status: str,
    *,
    seen: tuple[str, datetime] | None = None,
    failure_reason: str | None = None,
) -> None:
    """Store the status of a refund at Stripe. ``seen`` is its Stripe ID and creation time."""
    values: dict[str, object] = {"status": status, "failure_reason": failure_reason}
    if seen is not None:
        values |= {"stripe_refund_id": seen[0], "made_at": seen[1]}
    await session.execute(update(Row).where(Row.id == refund_id).values(**values))


async def mark_recorded(session: Session, refund_id: str, *, now: datetime) -> bool:
    """Mark the follow-up of a refund as done by this transaction. Return False if it was done before."""
    marked = await session.scalar(
        update(Row).where(Row.id == refund_id, Row.recorded_at.is_(None)).values(recorded_at=now).returning(Row.id)
    )
    return marked is not None


async def finish(session: Session, refund_id: str, *, again_in: timedelta | None = None) -> None:
    """Mark the work on a refund as complete, or as due again later while the refund is pending."""
    due = None if again_in is None else func.now() + again_in
    await session.execute(update(Row).where(Row.id == refund_id).values(due_at=due, attempts=0, last_error=None))


async def set_attention(session: Session, refund_id: str, *, attention: str, again_in: timedelta | None) -> None:
    """Set the reason why a refund needs attention, and when to retry (None: never)."""
    due = None if again_in is None else func.now() + again_in
    await session.execute(
        update(Row).where(Row.id == refund_id).values(due_at=due, attention=attention, last_error=attention)
    )


async def make_due(session: Session, refund_id: str) -> None:
    """Make a refund due unless it is already."""
    await session.execute(
        update(Row).where(Row.id == refund_id, Row.due_at.is_(None)).values(due_at=func.now(), attempts=0)
    )


async def attempts(session: Session, refund_id: str) -> int:
    """Return the number of attempts since the last success."""
    return await session.scalar(select(Row.attempts).where(Row.id == refund_id)) or 0


async def settle_decision(session: Session, refund_id: str, status: str, *, by: str, now: datetime) -> None:
    """Store a decision and who made it. An approved refund becomes due."""
    due = func.now() if status == RefundStatus.PROCESSING else None
    await session.execute(
        update(Row).where(Row.id == refund_id).values(status=status, decided_by=by, decided_at=now, due_at=due)
    )


async def page(session: Session, *, status: str | None, attention: bool, after: str | None, limit: int) -> list[Refund]:
    """Return refunds after a refund ID, newest first."""
    query = select(Row).order_by(Row.created_at.desc(), Row.id.desc()).limit(limit)
    if status is not None:
        query = query.where(Row.status == status)
    if attention:
        query = query.where(Row.attention.is_not(None))
    if after is not None:  # a range of the index; with a join, each page would read all those before it
        position = select(Row.created_at).where(Row.id == after).scalar_subquery()
        query = query.where(tuple_(Row.created_at, Row.id) < tuple_(position, after))
    return [_refund(row) for row in await session.scalars(query)]


async def _all(session: Session, condition: ColumnElement[bool]) -> list[Refund]:
    rows = await session.scalars(
        select(Row).where(condition).order_by(Row.created_at, Row.id).execution_options(populate_existing=True)
    )
    return [_refund(row) for row in rows]


def _refund(row: Row | Record) -> Refund:
    return Refund(
        id=row.id,
        group_id=row.act_id or row.id,
        payment_id=row.payment_id,
        subscriber_id=row.subscriber_id,
        basis=row.basis,
        amount=row.amount,
        tax=row.tax,
        currency=row.currency,
        reason=row.reason,
        note=row.note,
        requested_by=row.requested_by,
        status=row.status,
        stripe_refund_id=row.stripe_refund_id,
        credit_note_id=row.credit_note_id,
        failure_reason=row.failure_reason,
        attention=row.attention,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        created_at=row.created_at,
        made_at=row.made_at,
        recorded_at=row.recorded_at,
        is_history=row.is_history,
        request_hash=row.request_hash,
    )
