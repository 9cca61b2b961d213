"""Refunds: what was asked for, what Stripe answered, what followed."""

from datetime import datetime

from sqlalchemy import ColumnElement, func, select, update

from app.db.models import Refund as Row
from app.db.session import Session
from app.domain.refunds import PROCESSING, Refund


async def insert(session: Session, refund: Refund, *, unfinished: bool) -> None:
    """Record a refund; an unfinished one is due at once for whoever finishes it."""
    session.add(
        Row(
            id=refund.id,
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
            recorded_at=refund.recorded_at,
            work_key=work_key(refund.payment_id),
            due_at=func.now() if unfinished else None,
        )
    )
    await session.flush()


def work_key(payment_id: str) -> str:
    """Return the key under which a payment's refunds are worked on: one at a time for each payment."""
    return f"payment:{payment_id}"


async def by_id(session: Session, refund_id: str) -> Refund | None:
    """Return the refund, as it stands now."""
    row = await session.get(Row, refund_id, populate_existing=True)
    return _refund(row) if row is not None else None


async def of_payment(session: Session, payment_id: str) -> list[Refund]:
    """Return a payment's refunds, the earliest first."""
    return await _all(session, Row.payment_id == payment_id)


async def of_subscriber(session: Session, subscriber_id: str) -> list[Refund]:
    """Return a subscriber's refunds, the earliest first."""
    return await _all(session, Row.subscriber_id == subscriber_id)


async def unresolved(session: Session, payment_id: str) -> Refund | None:
    """Return the refund of a payment that is on its way."""
    row = await session.scalar(select(Row).where(Row.payment_id == payment_id, Row.status == PROCESSING))
    return _refund(row) if row is not None else None


async def set_credit_note(session: Session, refund_id: str, credit_note_id: str) -> None:
    """Keep the credit note that records the reversal at Stripe."""
    await session.execute(update(Row).where(Row.id == refund_id).values(credit_note_id=credit_note_id))


async def set_status(
    session: Session,
    refund_id: str,
    status: str,
    *,
    stripe_refund_id: str | None = None,
    failure_reason: str | None = None,
) -> None:
    """Keep what became of a refund at Stripe."""
    values: dict[str, object] = {"status": status, "failure_reason": failure_reason}
    if stripe_refund_id is not None:
        values["stripe_refund_id"] = stripe_refund_id
    await session.execute(update(Row).where(Row.id == refund_id).values(**values))


async def mark_recorded(session: Session, refund_id: str, *, now: datetime) -> bool:
    """Note that the consequences are committed with this transaction. False: they were before."""
    marked = await session.scalar(
        update(Row).where(Row.id == refund_id, Row.recorded_at.is_(None)).values(recorded_at=now).returning(Row.id)
    )
    return marked is not None


async def finish(session: Session, refund_id: str) -> None:
    """Nothing is left to do for it."""
    await session.execute(update(Row).where(Row.id == refund_id).values(due_at=None, last_error=None))


async def _all(session: Session, condition: ColumnElement[bool]) -> list[Refund]:
    rows = await session.scalars(
        select(Row).where(condition).order_by(Row.created_at, Row.id).execution_options(populate_existing=True)
    )
    return [_refund(row) for row in rows]


def _refund(row: Row) -> Refund:
    return Refund(
        id=row.id,
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
        created_at=row.created_at,
        recorded_at=row.recorded_at,
    )
