"""Postal addresses of readers. Callers that change one hold the subscriber's lock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import TEXT, Date, bindparam, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from app.db import reader_names
from app.db.engine import leases
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session, new_id
from app.db.models import PostalAddress as Row
from app.db.models import Subscription, Term, table_of
from app.domain.addresses import (
    FIELDS,
    AddressProblem,
    CheckedAddress,
    Period,
    PostalAddress,
    SavedAddress,
)
from app.domain.subscriptions import OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A print subscription whose next copy has no usable address."""

    subscription_id: str
    subscriber_id: str
    problems: tuple[str, ...]  # <field>:<code>; none: there is no address


_UNUSABLE = text(
    """
    WITH doubtful AS MATERIALIZED (
        SELECT subscriber_id FROM postal_addresses WHERE replaced_at IS NULL AND NOT is_usable
        UNION SELECT abroad.subscriber_id FROM unnest(:after_country, :before_country) AS unserved (low, high)
            CROSS JOIN LATERAL (
                SELECT subscriber_id FROM postal_addresses
                WHERE replaced_at IS NULL AND country > unserved.low AND country < unserved.high OFFSET 0) abroad
        UNION SELECT s.subscriber_id FROM terms t
            CROSS JOIN LATERAL (SELECT subscriber_id FROM subscriptions WHERE id = t.subscription_id OFFSET 0) s
        WHERE t.lacks_address
    )
    SELECT t.subscription_id, s.subscriber_id,
        CASE WHEN a.is_usable THEN ARRAY['country:country_not_served'] ELSE a.problems END AS problems
    FROM doubtful d  -- few, so each is looked up
        CROSS JOIN LATERAL (SELECT id, subscriber_id FROM subscriptions WHERE subscriber_id = d.subscriber_id OFFSET 0) s
        CROSS JOIN LATERAL (SELECT * FROM terms WHERE subscription_id = s.id OFFSET 0) t
        LEFT JOIN postal_addresses a
            ON a.subscriber_id = s.subscriber_id AND a.replaced_at IS NULL
            AND (a.since IS NULL OR (a.since <= :mailed AND a.until > :mailed))
    WHERE t.subscription_id > :after AND t.print_edition AND t.copies @> CAST(:issue AS int) AND t.copies_ended_at IS NULL
        AND t.suspended_as IS NULL
        AND (t.print_suspended_from IS NULL OR t.print_suspended_from < coalesce(t.print_from, t.starts_at))
        AND (a.since IS NOT NULL OR NOT EXISTS (
            SELECT FROM postal_addresses w WHERE w.subscriber_id = s.subscriber_id AND w.replaced_at IS NULL
                AND w.since <= :mailed AND w.until > :mailed))
        AND (a.id IS NULL OR NOT a.is_usable OR a.country <> ALL(:served))
        AND NOT coalesce((  -- a scalar subquery, because EXISTS may become a join that reads all labels
            SELECT true FROM labels l
            WHERE l.subscription_id = t.subscription_id AND l.issue_number = CAST(:issue AS int) AND l.kind = 'copy'
            LIMIT 1), false)
    ORDER BY t.subscription_id LIMIT :limit
    """
).bindparams(*(bindparam(name, type_=ARRAY(TEXT)) for name in ("served", "after_country", "before_country")))


_LACK = """
    t.lacks_address AND t.copies_ended_at IS NULL AND (s.status <> ALL(:over) OR upper_inf(t.copies) OR upper(t.copies) > (
        SELECT coalesce(max(number), 0) + 1 FROM issues WHERE coalesce(actual_mail_date, planned_mail_date) < :today))
"""
_LACKING = text(
    f"""
    SELECT DISTINCT s.stripe_id FROM subscriptions s JOIN terms t ON t.subscription_id = s.id
    WHERE s.stripe_id = ANY(:ids) AND {_LACK}
    """  # noqa: S608 - a condition
).bindparams(*(bindparam(name, type_=ARRAY(TEXT)) for name in ("ids", "over")))
_DOES_ANY_LACK = text(
    f"SELECT EXISTS (SELECT FROM terms t JOIN subscriptions s ON s.id = t.subscription_id WHERE {_LACK})"  # noqa: S608
).bindparams(bindparam("over", type_=ARRAY(TEXT)))
_ROWS = table_of(Row)
_OF_SUBSCRIBER = (
    select(*_ROWS.c)
    .where(
        _ROWS.c.subscriber_id == bindparam("subscriber"),
        _ROWS.c.replaced_at.is_(None),
        or_(_ROWS.c.until.is_(None), _ROWS.c.until > bindparam("today", type_=Date)),
        _ROWS.c.line1.is_not(None),
    )
    .order_by(_ROWS.c.since.asc().nulls_first(), _ROWS.c.id)
)


_PLACE = select(_ROWS.c.country, _ROWS.c.region).where(
    _ROWS.c.subscriber_id == bindparam("subscriber"),
    _ROWS.c.replaced_at.is_(None),
    _ROWS.c.since.is_(None),
    _ROWS.c.line1.is_not(None),
)


async def permanent_place(session: Reads, subscriber_id: str) -> tuple[str, str | None] | None:
    """Return country and state of a reader's permanent address, if there is one."""
    for row in await session.execute(_PLACE, {"subscriber": subscriber_id}):
        return row.country, row.region or None
    return None


async def of_subscriber(session: Reads, subscriber_id: str, *, today: date) -> list[SavedAddress]:
    """Return a reader's permanent address and then the temporary ones that are not over."""
    return [_saved(row) for row in await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id, "today": today})]


async def add(
    session: Session,
    subscriber_id: str,
    checked: CheckedAddress,
    *,
    period: Period | None = None,
    checkout_id: str | None = None,
    push: bool,
    now: datetime,
) -> SavedAddress:
    """
    Save an address. A permanent one replaces the one before.

    :param push: whether updating Stripe's customer becomes due.
    """
    if period is None:
        await session.execute(
            update(Row)
            .where(Row.subscriber_id == subscriber_id, Row.since.is_(None), Row.replaced_at.is_(None))
            .values(replaced_at=now)
        )
        await session.execute(
            update(Term)
            .where(
                Term.lacks_address, Term.subscription_id == Subscription.id, Subscription.subscriber_id == subscriber_id
            )
            .values(lacks_address=False)
        )
    row = Row(
        id=new_id("adr"),
        subscriber_id=subscriber_id,
        checkout_id=checkout_id,
        **checked.address.fields(),
        lines=list(checked.lines),
        problems=[problem.stored for problem in checked.problems],
        is_usable=checked.is_usable,
        since=period.since if period is not None else None,
        until=period.until if period is not None else None,
        saved_at=now,
        work_key=f"address:{subscriber_id}",
        due_at=func.now() if push else None,
    )
    session.add(row)
    await session.flush()
    await reader_names.outdate(session, subscriber_id)
    if push:
        await leases.notify(session)
    return SavedAddress(id=row.id, checked=checked, saved_at=now, period=period)


async def is_of_checkout(session: Session, checkout_id: str) -> bool:
    """Return whether the address of a checkout was saved."""
    return await session.scalar(select(Row.id).where(Row.checkout_id == checkout_id)) is not None


async def lacking(session: Session, stripe_ids: Sequence[str], *, today: date) -> set[str]:
    """Return those of these subscriptions that have print, and whose reader has no permanent address: by Stripe's IDs."""
    return set(await session.scalars(_LACKING, {"ids": list(stripe_ids), "today": today, "over": sorted(OVER)}))


async def does_any_lack(session: Session, *, today: date) -> bool:
    """Return whether any subscription lacks an address as :func:`lacking` describes it."""
    return bool(await session.scalar(_DOES_ANY_LACK, {"today": today, "over": sorted(OVER)}))


_HAS_MOVED = text(
    """
    WITH valid AS (  -- on that day, as it was known by its end
        SELECT * FROM postal_addresses
        WHERE subscriber_id = :subscriber AND saved_at < :until AND (replaced_at IS NULL OR replaced_at >= :until)
          AND (since IS NULL OR since <= :day AND "until" > :day)
    )
    SELECT EXISTS (
        SELECT FROM valid v LEFT JOIN postal_addresses l ON l.id = :label
        WHERE v.id <> :label AND v.lines IS DISTINCT FROM l.lines
          AND (v.since IS NOT NULL OR NOT EXISTS (SELECT FROM valid WHERE since IS NOT NULL))
          AND (v.saved_at >= :since OR l.since IS NOT NULL AND l.replaced_at >= :since AND l.replaced_at < :until))
    """
)


async def has_moved(
    session: Session, subscriber_id: str, address_id: str, *, since: datetime, day: date, until: datetime
) -> bool:
    """
    Return whether a reader's address on a day is another one than ``address_id`` because of a change since a time.

    :param until: the end of the day. What was changed later doesn't count.
    """
    values = {"subscriber": subscriber_id, "label": address_id, "since": since, "day": day, "until": until}
    return bool(await session.scalar(_HAS_MOVED, values))


async def remove(session: Session, address_id: str, *, now: datetime) -> None:
    """Remove a temporary address. Label runs as of an earlier time still find it."""
    removed = update(Row).where(Row.id == address_id).values(replaced_at=now).returning(Row.subscriber_id)
    subscriber_id = await session.scalar(removed)
    if subscriber_id is not None:
        await reader_names.outdate(session, subscriber_id)


async def due(session: Session, address_id: str) -> tuple[str, SavedAddress | None] | None:
    """Return the subscriber of an address that is due, with their present permanent address; None if it isn't due."""
    subscriber_id = await session.scalar(select(Row.subscriber_id).where(Row.id == address_id, Row.due_at.is_not(None)))
    if subscriber_id is None:
        return None
    row = await session.scalar(
        select(Row).where(
            Row.subscriber_id == subscriber_id,
            Row.since.is_(None),
            Row.replaced_at.is_(None),
            Row.line1.is_not(None),
        )
    )
    return subscriber_id, _saved(row) if row is not None else None


async def finish(session: Session, address_id: str) -> None:
    """Mark an address as complete at Stripe."""
    await session.execute(update(Row).where(Row.id == address_id).values(due_at=None, attempts=0, last_error=None))


async def unusable(
    session: Session, issue_number: int, *, mailed: date, served: Mapping[str, str], after: str, limit: int
) -> Sequence[Unusable]:
    """
    Return print subscriptions that are owed an issue and have no usable address, in the order of their IDs.

    Not those that were sent their copy before.
    """
    countries = sorted(served)
    values: dict[str, Any] = {
        "issue": issue_number,
        "mailed": mailed,
        "served": countries,
        "after_country": ["", *countries],
        "before_country": [*countries, "ZZZ"],
    }
    rows = await session.execute(_UNUSABLE, {**values, "after": after, "limit": limit})
    return [
        Unusable(
            subscription_id=row.subscription_id, subscriber_id=row.subscriber_id, problems=tuple(row.problems or ())
        )
        for row in rows
    ]


def _saved(row: Row | Record) -> SavedAddress:
    address = PostalAddress(**{name: getattr(row, name) or "" for name in FIELDS})
    return SavedAddress(
        id=row.id,
        checked=CheckedAddress(
            address=address, lines=tuple(row.lines or ()), problems=tuple(map(AddressProblem.load, row.problems))
        ),
        saved_at=row.saved_at,
        period=Period(since=row.since, until=row.until) if row.since is not None and row.until is not None else None,
    )
