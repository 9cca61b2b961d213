"""Subscribers: people known by the identity provider's ``sub``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, Text, UnaryExpression, bindparam, func, select, union, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.operators import custom_op

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session, new_id
from app.db.models import FORMER_LAST_NAME, LAST_NAME, ContactChange, Payment, Subscription, table_of
from app.db.models import Subscriber as Row

MATCHES = 500  # by the beginning of each of an address, a name and a last name
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


def _search() -> "Select[tuple[Any, ...]]":
    """Return the search statement: one indexed query for each criterion, because OR would scan the table."""
    owned, paid, words = table_of(Subscription), table_of(Payment), bindparam("words", type_=Text)
    most, after = bindparam("most", type_=Integer), bindparam("after", type_=Text)

    def begins(found: ColumnElement[str], column: ColumnElement[str]) -> "Select[str]":
        # A range of the index instead of LIKE, and in its order: a plan that serves all values would scan the table.
        low, high = bindparam("low", type_=Text), bindparam("high", type_=Text)
        return (
            select(found.label("id"))
            .where(column.bool_op("~>=~")(low) & column.bool_op("~<~")(high))
            .order_by(_in_index_order(column))
            .limit(MATCHES)
        )

    former = table_of(ContactChange)
    payers = select(owned.c.subscriber_id).join(paid, paid.c.subscription_id == owned.c.id)
    beginnings = [
        begins(of, column).subquery()
        for of, column in (
            (_ROWS.c.id, func.lower(_ROWS.c.email)),
            (_ROWS.c.id, func.lower(_ROWS.c.name)),
            (_ROWS.c.id, LAST_NAME),
            (former.c.subscriber_id, func.lower(former.c.email)),
            (former.c.subscriber_id, func.lower(former.c.name)),
            (former.c.subscriber_id, FORMER_LAST_NAME),
        )
    ]
    ways = (
        _ROWS.c.sub == words,
        _ROWS.c.id == words,
        _ROWS.c.stripe_customer_id == words,
        _ROWS.c.id.in_(select(owned.c.subscriber_id).where(owned.c.stripe_id == words)),
        _ROWS.c.id.in_(payers.where(paid.c.id == words)),
        _ROWS.c.id.in_(payers.where(paid.c.invoice_id == words)),
        _ROWS.c.id.in_(payers.where(paid.c.invoice_number == bindparam("upper", type_=Text))),
    )
    complete = [select(_ROWS.c.id).where(way).subquery() for way in ways]
    found = union(*(select(one.c.id) for one in (*beginnings, *complete))).subquery()
    first = select(found.c.id).where(found.c.id > after).order_by(found.c.id).limit(most)
    theirs = former.c.subscriber_id == _ROWS.c.id
    said = func.array_cat(func.array_agg(former.c.email), func.array_agg(former.c.name))
    return (
        select(*_ROWS.c, select(said).where(theirs).scalar_subquery().label("formerly"))
        .where(_ROWS.c.id.in_(first))
        .order_by(_ROWS.c.id)
    )


def _in_index_order(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return the order of an index with ``text_pattern_ops``."""
    return UnaryExpression(column, modifier=custom_op("USING ~<~"))


_SEARCH = _search()  # building it costs as much as running it


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


async def search(session: Reads, words: str, *, after: str | None, limit: int) -> list[Subscriber]:
    """
    Find subscribers by the beginning of an address, a name or a last name, present or former, or by a complete value: a
    ``sub``, an ID of ours or of Stripe's, or the number of an invoice. Of those who share a beginning, the first
    :data:`MATCHES` are found.
    """
    low = words.lower()
    asked = {"words": words, "low": low, "high": low + "\U0010ffff", "after": after or "", "most": limit}
    rows = await session.execute(_SEARCH, {**asked, "upper": words.upper()})
    return [replace(_subscriber(row), formerly=_formerly(row)) for row in rows]


async def with_email(session: Reads, email: str) -> list[Subscriber]:
    """Return up to 20 subscribers with an email address, in any case."""
    return [_subscriber(row) for row in await session.execute(_WITH_EMAIL, {"address": email.lower()})]


def _formerly(row: Record) -> tuple[str, ...]:
    said = dict.fromkeys(one for one in row.formerly or () if one is not None)
    return tuple(one for one in said if one not in {row.email, row.name})


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
    )
