"""Payments: money that arrived on an invoice."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.arrays import among
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import Payment as Row
from app.db.models import Subscription, table_of
from app.domain.credits import CreditPart
from app.domain.subscriptions import Payment, PaymentKind

_ROWS, _SUBSCRIPTIONS = table_of(Row), table_of(Subscription)
_NEW = insert(_ROWS)
_CHANGED = {name: _NEW.excluded[name] for name in ("tax", "kind", "print_from", "print_until", "print_amount")}
_SHARE = ("print_part", "print_whole")  # that was saved first is kept
_ADD = _NEW.on_conflict_do_update(
    index_elements=[Row.id],
    set_={**_CHANGED, **{name: func.coalesce(_ROWS.c[name], _NEW.excluded[name]) for name in _SHARE}},
    where=and_(
        _ROWS.c.invoice_id == _NEW.excluded.invoice_id,
        or_(
            tuple_(*(_ROWS.c[name] for name in _CHANGED)).is_distinct_from(tuple_(*_CHANGED.values())),
            and_(_ROWS.c.print_part.is_(None), _NEW.excluded.print_part.is_not(None)),
        ),
    ),
)
_OF_SUBSCRIPTION = (
    select(*_ROWS.c).where(_ROWS.c.subscription_id == bindparam("subscription")).order_by(_ROWS.c.paid_at, _ROWS.c.id)
)
_OF_SUBSCRIBER = (
    select(*_ROWS.c)
    .join(_SUBSCRIPTIONS, _SUBSCRIPTIONS.c.id == _ROWS.c.subscription_id)
    .where(_SUBSCRIPTIONS.c.subscriber_id == bindparam("subscriber"))
    .order_by(_ROWS.c.paid_at, _ROWS.c.id)
)


async def save(
    session: Session, subscription_id: str, payments: Sequence[Payment], *, are_history: bool = False
) -> None:
    """
    Insert payments. Of existing ones, only what follows from the whole invoice changes; refunds are stored apart.

    :param are_history: whether new ones were made before we followed the subscription.
    """
    if not payments:
        return
    made = [
        {
            "id": payment.id,
            "invoice_id": payment.invoice_id,
            "subscription_id": subscription_id,
            "amount": payment.amount,
            "tax": payment.tax,
            "currency": payment.currency,
            "paid_at": payment.paid_at,
            "billing_reason": payment.billing_reason,
            "invoice_number": payment.invoice_number,
            "kind": payment.kind,
            "print_from": payment.print_from,
            "print_until": payment.print_until,
            "print_amount": payment.print_amount,
            "print_part": payment.print_share.numerator if payment.print_share is not None else None,
            "print_whole": payment.print_share.denominator if payment.print_share is not None else None,
            "is_history": are_history,
        }
        for payment in payments
    ]
    await session.execute(_ADD, made)


async def version(session: Session, payment_id: str) -> int:
    """Return the version that :func:`advance` must match; 0 if the payment is not stored yet."""
    return await session.scalar(select(Row.version).where(Row.id == payment_id)) or 0


async def advance(session: Session, payment_id: str, *, if_version: int | None = None) -> bool:
    """
    Increment the version, because a newer state is about to be saved.

    :param if_version: only if it is still this one; otherwise return False, and the caller fetches again.
    """
    found = update(Row).where(Row.id == payment_id).values(version=Row.version + 1).returning(Row.id)
    if if_version is not None:
        found = found.where(Row.version == if_version)
    return await session.scalar(found) is not None


async def set_credited(session: Session, found: Mapping[str, Sequence[CreditPart]]) -> None:
    """Store what was credited of each payment and when, by payment ID."""
    for payment_id, parts in found.items():
        values = {
            "credited": sum(part.amount for part in parts),
            "credited_at": [part.credited_at for part in parts],
            "credited_parts": [part.amount for part in parts],
        }
        is_other = or_(*(getattr(Row, name) != value for name, value in values.items()))
        await session.execute(update(Row).where(Row.id == payment_id, is_other).values(values))


async def by_id(session: Session, payment_id: str) -> Payment | None:
    """Return the payment with a payment intent ID."""
    row = await session.get(Row, payment_id, populate_existing=True)
    return _payment(row) if row is not None else None


async def by_ids(session: Session, ids: Sequence[str]) -> dict[str, Payment]:
    """Return the stored payments with these IDs, by ID."""
    return {payment.id: payment for payment in await _all(session, among(Row.id, ids))}


async def owner_of(session: Session, payment_id: str) -> tuple[str, str] | None:
    """Return the IDs of the payment's subscriber and subscription."""
    found = (
        await session.execute(
            select(Subscription.subscriber_id, Subscription.id)
            .join(Row, Row.subscription_id == Subscription.id)
            .where(Row.id == payment_id)
        )
    ).one_or_none()
    return (found[0], found[1]) if found is not None else None


async def of_subscription(session: Reads, subscription_id: str) -> list[Payment]:
    """Return a subscription's payments, earliest first."""
    return [_payment(row) for row in await session.execute(_OF_SUBSCRIPTION, {"subscription": subscription_id})]


async def of_invoice(session: Session, invoice_id: str) -> list[Payment]:
    """Return an invoice's payments, earliest first."""
    return await _all(session, Row.invoice_id == invoice_id)


async def of_subscriber(session: Reads, subscriber_id: str) -> list[Payment]:
    """Return a subscriber's payments, earliest first."""
    rows = await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})
    return [_payment(row) for row in rows]


async def _all(session: Session, condition: ColumnElement[bool]) -> list[Payment]:
    rows = await session.scalars(select(Row).where(condition).order_by(Row.paid_at, Row.id))
    return [_payment(row) for row in rows]


def _payment(row: Row | Record) -> Payment:
    return Payment(
        id=row.id,
        invoice_id=row.invoice_id,
        amount=row.amount,
        tax=row.tax,
        currency=row.currency,
        paid_at=row.paid_at,
        billing_reason=row.billing_reason,
        invoice_number=row.invoice_number,
        kind=PaymentKind(row.kind),
        print_from=row.print_from,
        print_until=row.print_until,
        print_amount=row.print_amount,
        print_share=Fraction(row.print_part, row.print_whole)
        if row.print_part is not None and row.print_whole
        else None,
        credited=row.credited,
        is_history=row.is_history,
    )
