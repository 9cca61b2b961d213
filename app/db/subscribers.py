"""Subscribers: people known by the identity provider's ``sub``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Text, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session, new_id
from app.db.models import Subscriber as Row
from app.db.models import table_of

_ROWS = table_of(Row)
_LOCK_AVAILABLE = (
    select(*_ROWS.c)
    .where(_ROWS.c.id == func.any(bindparam("ids", type_=ARRAY(Text))))
    .order_by(_ROWS.c.id)
    .with_for_update(skip_locked=True)
)
_OF_CUSTOMER = select(*_ROWS.c).where(_ROWS.c.stripe_customer_id == bindparam("customer")).with_for_update()


_WITH_EMAIL = (
    select(*_ROWS.c)
    .where(func.lower(_ROWS.c.email) == bindparam("address", type_=Text))
    .order_by(_ROWS.c.created_at, _ROWS.c.id)
    .limit(20)
)
_BY_ID = select(*_ROWS.c).where(_ROWS.c.id == bindparam("its_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A person, with at most one Stripe customer."""

    id: str
    sub: str
    email: str | None
    name: str | None
    stripe_customer_id: str | None
    created_at: datetime
    email_verified: bool = False  # according to the identity provider
    locale: str | None = None  # as their newest token said
    formerly: tuple[str, ...] = ()  # former addresses and names, of the results of a search


async def ensure(session: Session, *, sub: str, email: str | None, name: str | None) -> Subscriber:
    """Return the subscriber with a ``sub``, locked. If absent, it is created with that email address and name."""
    made = insert(Row).values(id=new_id("rdr"), sub=sub, email=email, name=name)
    row = await session.scalar(
        made.on_conflict_do_update(index_elements=[Row.sub], set_={"sub": made.excluded.sub}).returning(Row),
        execution_options={"populate_existing": True},
    )
    if row is None:
        raise LookupError(sub)
    return _subscriber(row)


async def lock(session: Session, subscriber_id: str) -> Subscriber:
    """Lock a subscriber's row. Every transaction that changes their money or access does this first."""
    return _subscriber(await session.get_one(Row, subscriber_id, with_for_update=True, populate_existing=True))


async def lock_available(session: Session, subscriber_ids: Sequence[str]) -> dict[str, Subscriber]:
    """Lock subscribers in the order of their IDs, and return them. Those that others have locked are left out."""
    rows = await session.execute(_LOCK_AVAILABLE, {"ids": list(subscriber_ids)})
    return {row.id: _subscriber(row) for row in rows}


async def lock_customer(session: Session, stripe_customer_id: str) -> Subscriber | None:
    """Lock the subscriber of a Stripe customer, and return it if there is one."""
    row = (await session.execute(_OF_CUSTOMER, {"customer": stripe_customer_id})).one_or_none()
    return _subscriber(row) if row is not None else None


async def by_sub(session: Session, sub: str) -> Subscriber | None:
    """Return the subscriber with a ``sub``."""
    return _or_none(await session.scalar(select(Row).where(Row.sub == sub)))


async def by_id(session: Reads, subscriber_id: str) -> Subscriber | None:
    """Return the subscriber with our ID."""
    return next((_subscriber(row) for row in await session.execute(_BY_ID, {"its_id": subscriber_id})), None)


async def by_ids(session: Session, subscriber_ids: Sequence[str]) -> dict[str, Subscriber]:
    """Return the subscribers with these IDs, by ID."""
    rows = await session.scalars(select(Row).where(Row.id.in_(set(subscriber_ids))))
    return {row.id: _subscriber(row) for row in rows}


async def by_customer(session: Session, stripe_customer_id: str) -> Subscriber | None:
    """Return the subscriber of a Stripe customer."""
    return _or_none(await session.scalar(select(Row).where(Row.stripe_customer_id == stripe_customer_id)))


async def set_customer(session: Session, subscriber_id: str, stripe_customer_id: str) -> str:
    """Set a subscriber's Stripe customer unless it is set, and return the one that is set."""
    await session.execute(
        update(Row)
        .where(Row.id == subscriber_id, Row.stripe_customer_id.is_(None))
        .values(stripe_customer_id=stripe_customer_id)
    )
    return str(await session.scalar(select(Row.stripe_customer_id).where(Row.id == subscriber_id)))


async def unset_customer(session: Session, subscriber_id: str) -> None:
    """Remove a subscriber's Stripe customer, which was deleted at Stripe."""
    await session.execute(update(Row).where(Row.id == subscriber_id).values(stripe_customer_id=None))


async def with_email(session: Reads, email: str) -> list[Subscriber]:
    """Return up to 20 subscribers with an email address, in any case."""
    return [_subscriber(row) for row in await session.execute(_WITH_EMAIL, {"address": email.lower()})]


def of_row(row: Record, former: Iterable[str | None]) -> Subscriber:
    """Return the subscriber of a row. ``former``: addresses and names of before; some may be current again."""
    said = dict.fromkeys(one for one in former if one is not None)
    return replace(_subscriber(row), formerly=tuple(one for one in said if one not in {row.email, row.name}))


def _or_none(row: Row | None) -> Subscriber | None:
    return _subscriber(row) if row is not None else None


def _subscriber(row: Row | Record) -> Subscriber:
    return Subscriber(
        id=row.id,
        sub=row.sub,
        email=row.email,
        name=row.name,
        stripe_customer_id=row.stripe_customer_id,
        created_at=row.created_at,
        email_verified=row.email_verified,
        locale=row.locale,
    )
