"""Changes of the print edition within a term."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select, update

from app.db.engine import leases
from app.db.engine.session import Session
from app.db.models import PrintChange as Row
from app.domain.addresses import PostalAddress
from app.domain.print_changes import UNDECIDED, PrintChange, PrintChangeKind, PrintChangeStatus


def work_key(subscription_id: str) -> str:
    """Return the work key of a subscription's changes, so that one process at a time handles them."""
    return f"print:{subscription_id}"


async def insert(session: Session, change: PrintChange) -> None:
    """Insert a change that is due now."""
    session.add(
        Row(
            id=change.id,
            subscription_id=change.subscription_id,
            subscriber_id=change.subscriber_id,
            kind=change.kind,
            status=change.status,
            issues=change.issues,
            first_issue=change.first_issue,
            price=change.price,
            total=change.total,
            tax=change.tax,
            due=change.due,
            currency=change.currency,
            price_id=change.price_id,
            starts_at=change.starts_at,
            ends_at=change.ends_at,
            requested_by=change.requested_by,
            created_at=change.created_at,
            to_balance=dict(change.to_balance),
            dropped_at=list(change.dropped_at),
            address=change.address.fields() if change.address is not None else None,
            work_key=work_key(change.subscription_id),
            due_at=func.now(),
        )
    )
    await session.flush()


async def by_id(session: Session, change_id: str) -> PrintChange | None:
    """Return a change."""
    row = await session.get(Row, change_id, populate_existing=True)
    return _change(row) if row is not None else None


async def undecided(session: Session, subscription_id: str) -> PrintChange | None:
    """Return the change of a subscription that is in progress."""
    row = await session.scalar(select(Row).where(Row.subscription_id == subscription_id, Row.status.in_(UNDECIDED)))
    return _change(row) if row is not None else None


async def latest(session: Session, subscription_id: str) -> PrintChange | None:
    """Return the last change of a subscription that was completed."""
    row = await session.scalar(
        select(Row)
        .where(Row.subscription_id == subscription_id, Row.status == PrintChangeStatus.COMPLETED)
        .order_by(Row.created_at.desc(), Row.id.desc())
        .limit(1)
    )
    return _change(row) if row is not None else None


async def dropped(session: Session, subscription_id: str) -> list[datetime]:
    """
    Return when print of a subscription was dropped, in no order: by the changes that Stripe was told about.

    A removal that was completed before that was recorded has only its start.
    """
    rows = await session.execute(
        select(Row.starts_at, Row.dropped_at).where(
            Row.subscription_id == subscription_id,
            or_(
                and_(Row.kind == PrintChangeKind.DROP, Row.status == PrintChangeStatus.COMPLETED),
                and_(Row.dropped_at != [], Row.status == PrintChangeStatus.FAILED),
            ),
        )
    )
    return [at for row in rows for at in (row.dropped_at or [row.starts_at])]


async def returned_invoices(session: Session, subscription_id: str) -> set[str]:
    """Return the invoices of additions whose print ended, or is ending, because they were returned whole."""
    ended = (Row.kind == PrintChangeKind.DROP, Row.status != PrintChangeStatus.FAILED)
    found = await session.scalars(select(Row.invoice_id).where(Row.subscription_id == subscription_id, *ended))
    return {one for one in found if one is not None}


async def set_invoice(session: Session, change_id: str, invoice_id: str) -> None:
    """Store the invoice of an addition, or of the one whose return ends print."""
    await session.execute(update(Row).where(Row.id == change_id).values(invoice_id=invoice_id))


async def set_dropped(session: Session, change_id: str, dropped_at: Sequence[datetime]) -> None:
    """Store when print ends because of a change, before Stripe is told."""
    await session.execute(update(Row).where(Row.id == change_id).values(dropped_at=list(dropped_at)))


async def set_to_balance(session: Session, change_id: str, to_balance: Mapping[str, int]) -> None:
    """Store what is noted as returned to the customer's balance, by invoice."""
    await session.execute(update(Row).where(Row.id == change_id).values(to_balance=dict(to_balance)))


async def set_status(
    session: Session,
    change_id: str,
    status: str,
    *,
    pay_url: str | None = None,
    failure_reason: str | None = None,
    again_in: timedelta | None = None,
) -> bool:
    """
    Store the status of a change that is in progress, and when it is due again (None: never). Return False if it was decided.

    Once it is decided, its address is forgotten here: the reader has it, or nothing came of it.
    """
    due = None if again_in is None else func.now() + again_in
    kept = {} if status in UNDECIDED else {"address": None}
    changed = await session.scalar(
        update(Row)
        .where(Row.id == change_id, Row.status.in_(UNDECIDED))
        .values(status=status, pay_url=pay_url, failure_reason=failure_reason, due_at=due, attempts=0, last_error=None)
        .values(kept)
        .returning(Row.id)
    )
    return changed is not None


async def set_due(session: Session, change_id: str, *, again_in: timedelta | None = None) -> None:
    """Store when a change is due again (None: it has no work left)."""
    due = None if again_in is None else func.now() + again_in
    await session.execute(update(Row).where(Row.id == change_id).values(due_at=due, attempts=0, last_error=None))


async def make_due(session: Session, change_ids: list[str]) -> None:
    """Make changes in progress due now, because their invoices have changed."""
    found = await session.scalars(
        update(Row)
        .where(Row.id.in_(change_ids), Row.status.in_(UNDECIDED), Row.due_at > func.now())
        .values(due_at=func.now())
        .returning(Row.id)
    )
    if found.all():
        await leases.notify(session)


async def make_paid_due(session: Session, subscription_id: str, invoice_id: str, at: datetime) -> None:
    """
    Make the completed removal due by which print ended at a time, because the invoice of that term was paid since.

    An invoice whose return is noted already changes nothing.
    """
    found = await session.scalars(
        update(Row)
        .where(
            Row.subscription_id == subscription_id,
            Row.kind == PrintChangeKind.DROP,
            Row.status == PrintChangeStatus.COMPLETED,
            Row.dropped_at.contains([at]),
            Row.to_balance.has_key(invoice_id).is_(False),
            Row.due_at.is_(None),
        )
        .values(due_at=func.now())
        .returning(Row.id)
    )
    if found.all():
        await leases.notify(session)


def _change(row: Row) -> PrintChange:
    return PrintChange(
        id=row.id,
        subscription_id=row.subscription_id,
        subscriber_id=row.subscriber_id,
        kind=PrintChangeKind(row.kind),
        status=PrintChangeStatus(row.status),
        issues=row.issues,
        first_issue=row.first_issue,
        price=row.price,
        total=row.total,
        tax=row.tax,
        due=row.due,
        currency=row.currency,
        price_id=row.price_id,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        requested_by=row.requested_by,
        created_at=row.created_at,
        invoice_id=row.invoice_id,
        pay_url=row.pay_url,
        failure_reason=row.failure_reason,
        to_balance=row.to_balance,
        dropped_at=tuple(row.dropped_at),
        address=PostalAddress(**row.address) if row.address is not None else None,
    )
