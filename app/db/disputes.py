"""Disputes and early warnings of fraud: copies of Stripe's, and whether their consequences were applied."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import DUE_BY, Payment, due_by, table_of
from app.db.models import Dispute as Row
from app.db.models import FraudWarning as WarningRow
from app.domain.disputes import Dispute, StripeDisputeState, StripeWarningState, effect_of

MOST_COUNTED = 1_000
_ROWS = table_of(Row)
_OF_SUBSCRIBER = (
    select(*_ROWS.c).where(_ROWS.c.subscriber_id == bindparam("subscriber")).order_by(_ROWS.c.opened_at, _ROWS.c.id)
)
_UNREFUNDABLE = select(_ROWS.c.payment_id).where(
    _ROWS.c.subscriber_id == bindparam("subscriber"), ~_ROWS.c.is_charge_refundable
)


async def save(
    session: Session, seen: StripeDisputeState, *, subscriber_id: str | None, concern: str | None, now: datetime
) -> None:
    """
    Save a dispute's state at Stripe. The caller has fenced it by its payment's version, if the payment is ours.

    A dispute that belongs to a subscriber keeps its subscriber.
    """
    closed = None if effect_of(seen.status).is_open else now
    values = {
        "status": seen.status,
        "amount": seen.amount,
        "currency": seen.currency,
        "reason": seen.reason,
        "due_by": seen.due_by,
        "is_charge_refundable": seen.refundable,
        "concern": concern,
    }
    made = insert(Row).values(
        id=seen.id,
        payment_id=seen.payment_id,
        charge_id=seen.charge_id,
        subscriber_id=subscriber_id,
        opened_at=seen.opened_at,
        closed_at=closed,
        **values,
    )
    kept_closed = func.coalesce(Row.closed_at, made.excluded.closed_at) if closed is not None else None
    await session.execute(
        made.on_conflict_do_update(
            index_elements=[Row.id],
            set_={**values, "subscriber_id": made.excluded.subscriber_id, "closed_at": kept_closed},
            where=or_(Row.subscriber_id.is_(None), made.excluded.subscriber_id.is_not(None)),
        )
    )


async def mark_lost(session: Session, dispute_id: str, *, now: datetime) -> bool:
    """Mark the consequences of a loss as applied by this transaction. Return False if they were before."""
    marked = await session.scalar(
        update(Row).where(Row.id == dispute_id, Row.lost_at.is_(None)).values(lost_at=now).returning(Row.id)
    )
    return marked is not None


async def by_id(session: Session, dispute_id: str) -> Dispute | None:
    """Return a dispute with its current state."""
    row = await session.get(Row, dispute_id, populate_existing=True)
    return _dispute(row) if row is not None else None


async def by_ids(session: Session, ids: Sequence[str]) -> dict[str, Dispute]:
    """Return the stored disputes with these IDs, by ID."""
    return {dispute.id: dispute for dispute in await _all(session, Row.id.in_(ids))}


async def of_invoice(session: Session, invoice_id: str) -> list[Dispute]:
    """Return the disputes of an invoice's payments."""
    paid = select(Payment.id).where(Payment.invoice_id == invoice_id)
    return await _all(session, Row.payment_id.in_(paid))


async def unrefundable_payments(session: Reads, subscriber_id: str) -> frozenset[str]:
    """Return the IDs of a subscriber's payments that can't be refunded because the bank returned the money."""
    found = await session.execute(_UNREFUNDABLE, {"subscriber": subscriber_id})
    return frozenset(row.payment_id for row in found)


async def of_subscriber(session: Reads, subscriber_id: str) -> list[Dispute]:
    """Return the disputes of a subscriber's payments, earliest first."""
    rows = await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})
    return [_dispute(row) for row in rows]


async def list_page(session: Session, *, is_open: bool | None, after: str | None, limit: int) -> list[Dispute]:
    """Return disputes after an ID, in the order in which their evidence is due."""
    wanted = select(Row).order_by(DUE_BY, Row.id).limit(limit)
    if is_open is not None:
        wanted = wanted.where(Row.closed_at.is_(None) if is_open else Row.closed_at.is_not(None))
    if after is not None:
        cursor = aliased(Row)
        due = select(due_by(cursor.due_by)).where(cursor.id == after).scalar_subquery()
        wanted = wanted.where(tuple_(DUE_BY, Row.id) > tuple_(due, after))
    return [_dispute(row) for row in await session.scalars(wanted.execution_options(populate_existing=True))]


async def count_open(session: Session) -> int:
    """Return the number of open disputes, at most :data:`MOST_COUNTED`."""
    found = select(literal(1)).where(Row.closed_at.is_(None)).limit(MOST_COUNTED).subquery()
    return await session.scalar(select(func.count()).select_from(found)) or 0


async def save_warning(session: Session, seen: StripeWarningState, *, payment_id: str, subscriber_id: str) -> bool:
    """Store an early fraud warning. Return whether it was acted on before."""
    made = insert(WarningRow).values(
        id=seen.id,
        payment_id=payment_id,
        subscriber_id=subscriber_id,
        actionable=seen.actionable,
        fraud_type=seen.fraud_type,
        created_at=seen.created_at,
    )
    acted = await session.scalar(
        made.on_conflict_do_update(
            index_elements=[WarningRow.id],
            set_={"actionable": made.excluded.actionable, "fraud_type": made.excluded.fraud_type},
        ).returning(WarningRow.acted_as)
    )
    return acted is not None


async def mark_acted(session: Session, warning_id: str, acted_as: str, *, now: datetime) -> None:
    """Store the action that was taken on a warning."""
    await session.execute(update(WarningRow).where(WarningRow.id == warning_id).values(acted_as=acted_as, acted_at=now))


async def _all(session: Session, condition: ColumnElement[bool]) -> list[Dispute]:
    rows: Sequence[Row] = (
        await session.scalars(
            select(Row).where(condition).order_by(Row.opened_at, Row.id).execution_options(populate_existing=True)
        )
    ).all()
    return [_dispute(row) for row in rows]


def _dispute(row: Row | Record) -> Dispute:
    return Dispute(
        id=row.id,
        charge_id=row.charge_id,
        payment_id=row.payment_id,
        status=row.status,
        amount=row.amount,
        currency=row.currency,
        reason=row.reason,
        due_by=row.due_by,
        refundable=row.is_charge_refundable,
        opened_at=row.opened_at,
        subscriber_id=row.subscriber_id,
        concern=row.concern,
        lost_at=row.lost_at,
        closed_at=row.closed_at,
    )
