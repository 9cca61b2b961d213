"""Subscribers: people known by the identity provider's ``sub``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, select, union, update
from sqlalchemy.dialects.postgresql import insert

from app.db.models import LAST_NAME, Payment, Subscription, table_of
from app.db.models import Subscriber as Row
from app.db.session import Record, Session, new_id

_ROWS = table_of(Row)
_OF_CUSTOMER = select(*_ROWS.c).where(_ROWS.c.stripe_customer_id == bindparam("customer")).with_for_update()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A person, with at most one Stripe customer."""

    id: str
    sub: str
    email: str | None
    name: str | None
    stripe_customer_id: str | None
    created_at: datetime


async def ensure(session: Session, *, sub: str, email: str | None, name: str | None) -> Subscriber:
    """Return the subscriber of that ``sub``, made if absent, with the row locked and the newest address and name."""
    made = insert(Row).values(id=new_id("rdr"), sub=sub, email=email, name=name)
    row = await session.scalar(
        made.on_conflict_do_update(
            index_elements=[Row.sub],
            set_={
                "email": func.coalesce(made.excluded.email, Row.email),
                "name": func.coalesce(made.excluded.name, Row.name),
            },
        ).returning(Row),
        execution_options={"populate_existing": True},
    )
    if row is None:
        raise LookupError(sub)
    return _subscriber(row)


async def lock(session: Session, subscriber_id: str) -> Subscriber:
    """Lock a subscriber's row for this transaction: whatever changes their money or access does so first."""
    return _subscriber(await session.get_one(Row, subscriber_id, with_for_update=True, populate_existing=True))


async def lock_customer(session: Session, stripe_customer_id: str) -> Subscriber | None:
    """Lock the subscriber whom Stripe knows as that customer; None: we know nobody of that name."""
    row = (await session.execute(_OF_CUSTOMER, {"customer": stripe_customer_id})).one_or_none()
    return _subscriber(row) if row is not None else None


async def by_sub(session: Session, sub: str) -> Subscriber | None:
    """Return the subscriber of the identity provider's ``sub``."""
    return _maybe(await session.scalar(select(Row).where(Row.sub == sub)))


async def by_id(session: Session, subscriber_id: str) -> Subscriber | None:
    """Return the subscriber of our id."""
    return _maybe(await session.get(Row, subscriber_id))


async def by_ids(session: Session, subscriber_ids: Sequence[str]) -> dict[str, Subscriber]:
    """Return those of our ids that there are."""
    rows = await session.scalars(select(Row).where(Row.id.in_(set(subscriber_ids))))
    return {row.id: _subscriber(row) for row in rows}


async def by_customer(session: Session, stripe_customer_id: str) -> Subscriber | None:
    """Return the subscriber whom Stripe knows as that customer."""
    return _maybe(await session.scalar(select(Row).where(Row.stripe_customer_id == stripe_customer_id)))


async def set_customer(session: Session, subscriber_id: str, stripe_customer_id: str) -> str:
    """Tie a subscriber to their customer, once and for all; return the one that counts."""
    await session.execute(
        update(Row)
        .where(Row.id == subscriber_id, Row.stripe_customer_id.is_(None))
        .values(stripe_customer_id=stripe_customer_id)
    )
    return str(await session.scalar(select(Row.stripe_customer_id).where(Row.id == subscriber_id)))


async def search(session: Session, words: str, *, after: str | None, limit: int) -> list[Subscriber]:
    """
    Find subscribers by the beginning of an address, a name or a last name, or by something whole: a ``sub``, an id of
    ours or of Stripe's, or the number of an invoice.
    """
    # As a stretch of the index and not as LIKE: a plan that is kept for any words could not use an index for that.
    low = words.lower()
    high = low + "\U0010ffff"
    by_subscription = select(Subscription.subscriber_id).where(Subscription.stripe_id == words)
    paid = select(Subscription.subscriber_id).join(Payment, Payment.subscription_id == Subscription.id)
    by_payment, by_invoice = paid.where(Payment.id == words), paid.where(Payment.invoice_id == words)
    by_number = paid.where(Payment.invoice_number == words.upper())
    # One indexed query for each way to be found: a single one with OR would walk the table.
    ways = (
        func.lower(Row.email).bool_op("~>=~")(low) & func.lower(Row.email).bool_op("~<~")(high),
        func.lower(Row.name).bool_op("~>=~")(low) & func.lower(Row.name).bool_op("~<~")(high),
        LAST_NAME.bool_op("~>=~")(low) & LAST_NAME.bool_op("~<~")(high),
        Row.sub == words,
        Row.id == words,
        Row.stripe_customer_id == words,
        Row.id.in_(by_subscription),
        Row.id.in_(by_payment),
        Row.id.in_(by_invoice),
        Row.id.in_(by_number),
    )
    later = Row.id > (after or "")
    each = [select(Row.id).where(way, later).order_by(Row.id).limit(limit).subquery() for way in ways]
    found = union(*(select(one.c.id) for one in each)).subquery()
    rows = await session.scalars(select(Row).where(Row.id.in_(select(found.c.id))).order_by(Row.id).limit(limit))
    return [_subscriber(row) for row in rows]


def _maybe(row: Row | None) -> Subscriber | None:
    return _subscriber(row) if row is not None else None


def _subscriber(row: Row | Record) -> Subscriber:
    return Subscriber(
        id=row.id,
        sub=row.sub,
        email=row.email,
        name=row.name,
        stripe_customer_id=row.stripe_customer_id,
        created_at=row.created_at,
    )
