"""
The list of readers, and the conditions of its filters.

Every statement reads a bounded part of an index, in the index's order. The rarest filter that is set chooses the index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

from sqlalchemy import BigInteger, Boolean, Select, Text, bindparam, column, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from app.db.engine.fast_reads import Reads
from app.domain.erasures import ERASED
from app.domain.reader_search import ENDS_SOON, Filters, Position

LAST = "\U0010ffff"  # follows every other character
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
WHEN = TIMESTAMP(timezone=True)
_TYPES: Mapping[str, Any] = {
    "terms": ARRAY(Text), "driver": ARRAY(Text), "others": ARRAY(Text), "numbers": ARRAY(BigInteger),
    "statuses": ARRAY(Text), "editions": ARRAY(Boolean), "plan": Text, "now": WHEN, "soon": WHEN, "at": WHEN,
    "after": Text, "words": Text, "low": Text, "high": Text, "upper": Text, "digits": Text, "last": Text, "erased": Text,
    "most": BigInteger, "scanned": BigInteger, "count": BigInteger,
}  # fmt: skip


def statement(sql: str, **columns: Any) -> "Select[Any]":
    """Return a statement in SQL, with the types of its parameters and columns."""
    typed = (bindparam(name, type_=type_) for name, type_ in _TYPES.items() if f":{name}" in _without_longer(sql, name))
    found = text(sql).bindparams(*typed).columns(*(column(name, type_) for name, type_ in columns.items()))
    return cast("Select[Any]", found)


def _without_longer(sql: str, name: str) -> str:
    """Return the SQL without the parameters whose name only begins with this one."""
    for other in _TYPES:
        if other != name and other.startswith(name):
            sql = sql.replace(f":{other}", "")
    return sql


# --- conditions on the reader in {reader}, and on the subscription s ---


def exists(query: str) -> str:
    """
    Return the condition that a query has a row.

    It is a scalar subquery, because EXISTS may become a join that reads a whole table.
    """
    return f"coalesce((SELECT true {query} LIMIT 1), false)"


_IS_DISPUTED = exists("FROM disputes d WHERE d.subscriber_id = {reader} AND d.closed_at IS NULL")
_IS_COMPLIMENTARY = exists("FROM comps c WHERE c.subscriber_id = {reader} AND c.removed_at IS NULL AND c.until > :now")
_IS_KNOWN = exists("FROM subscribers known WHERE known.id = {reader} AND NOT starts_with(known.sub, :erased)")
_RANK = (
    "(CASE WHEN {s}.status IN ('active', 'trialing', 'past_due') AND {s}.ended_here_at IS NULL THEN 2"
    " WHEN {s}.status IN ('incomplete', 'incomplete_expired') THEN 0 ELSE 1 END, {s}.created_at, {s}.id)"
)
# As in domain/current_subscription.py: a live one comes first, then one that was not just a checkout, then the newest.
_IS_CURRENT = "NOT " + exists(
    f"FROM subscriptions o WHERE o.subscriber_id = s.subscriber_id AND {_RANK.format(s='o')} > {_RANK.format(s='s')}"
)
# A subscription that ended here counts as canceled, even while Stripe still has it as active.
_ENDED_HERE = "s.ended_here_at IS NOT NULL AND s.status NOT IN ('canceled', 'incomplete_expired')"
_IS_OF_STATUS = (
    "s.status = ANY(:statuses) AND (s.ended_here_at IS NULL OR s.status IN ('canceled', 'incomplete_expired'))"
)
_IS_CANCELED = f"{_ENDED_HERE} AND 'canceled' = ANY(:statuses)"
_ENDS_SOON = (
    "s.cancel_at >= :now AND s.cancel_at < :soon AND s.ended_at IS NULL AND s.ended_here_at IS NULL"
    f" AND s.cancel_at IS NOT NULL AND {_IS_CURRENT}"
)


def _of_subscription(filters: Filters, status: str = f"({_IS_OF_STATUS} OR {_IS_CANCELED})") -> list[str]:
    """
    Return the conditions on the subscription s, other than the end.

    :param status: the condition on the status.
    """
    if not filters.by_subscription:
        return []
    found = [status, "s.print_edition = ANY(:editions)", _IS_CURRENT]
    return [*found, "s.plan = :plan"] if filters.plan is not None else found


def conditions(filters: Filters, reader: str, *, but: str = "", named: bool = False) -> str:
    """
    Return the conditions on a reader, without those of one part of the filters.

    :param named: whether the reader was found by a name, and so has not been erased.
    """
    of_subscription = _of_subscription(filters) if but not in {"subscription", "ends_soon"} else []
    found = []
    if of_subscription:
        found.append(exists(f"FROM subscriptions s WHERE s.subscriber_id = {reader} AND {all_of(of_subscription)}"))
    if filters.ends_soon and but != "ends_soon":
        found.append(exists(f"FROM subscriptions s WHERE s.subscriber_id = {reader} AND {_ENDS_SOON}"))
    if filters.disputed and but != "disputed":
        found.append(_IS_DISPUTED.format(reader=reader))
    if filters.complimentary and but != "complimentary":
        found.append(_IS_COMPLIMENTARY.format(reader=reader))
    if not named:
        found.append(_IS_KNOWN.format(reader=reader))
    return all_of(found) or "true"


def all_of(conditions: Sequence[str]) -> str:
    return " AND ".join(conditions)


_LISTED = {"id": Text, "at": WHEN, "key": Text}


@cache  # one for each of a few dozen combinations: only whether a filter is set matters
def _list(filters: Filters) -> "Select[Any]":
    """Return the statement of a list, which begins with the rarest filter."""
    if filters.disputed:
        sql = f"""
        SELECT d.subscriber_id AS id, coalesce(d.due_by, 'infinity'::timestamptz) AS at, d.id AS key FROM disputes d
        WHERE d.closed_at IS NULL AND (coalesce(d.due_by, 'infinity'::timestamptz), d.id) > (:at, :after)
          AND d.subscriber_id IS NOT NULL AND {conditions(filters, "d.subscriber_id", but="disputed")}
          AND NOT coalesce((SELECT true FROM disputes o WHERE o.subscriber_id = d.subscriber_id AND o.closed_at IS NULL AND
            (coalesce(o.due_by, 'infinity'::timestamptz), o.id) < (coalesce(d.due_by, 'infinity'::timestamptz), d.id)
            LIMIT 1), false)
        ORDER BY coalesce(d.due_by, 'infinity'::timestamptz), d.id LIMIT :most
        """  # noqa: S608 - of constants
    elif filters.complimentary:
        sql = f"""
        SELECT c.subscriber_id AS id, c.until AS at, c.id AS key FROM comps c
        WHERE c.removed_at IS NULL AND (c.until, c.id) > (:at, :after)
          AND {conditions(filters, "c.subscriber_id", but="complimentary")}
          AND NOT coalesce((SELECT true FROM comps o WHERE o.subscriber_id = c.subscriber_id AND o.removed_at IS NULL
            AND (o.until, o.id) > (c.until, c.id) LIMIT 1), false)
        ORDER BY c.until, c.id LIMIT :most
        """  # noqa: S608 - of constants
    elif filters.ends_soon:
        own = all_of([_ENDS_SOON, *_of_subscription(filters)])
        sql = f"""
        SELECT s.subscriber_id AS id, s.cancel_at AS at, s.id AS key FROM subscriptions s
        WHERE {own} AND (s.cancel_at, s.id) > (:at, :after) AND {conditions(filters, "s.subscriber_id", but="ends_soon")}
        ORDER BY s.cancel_at, s.id LIMIT :most
        """  # noqa: S608 - of constants
    elif filters.by_subscription:
        wanted_of = f"""s.print_edition = printed.printed AND (s.created_at, s.id) < (:at, :after)
            AND {conditions(filters, "s.subscriber_id", but="subscription")}
            ORDER BY s.created_at DESC, s.id DESC LIMIT :most"""
        open_ones, ended = (all_of(_of_subscription(filters, status)) for status in (_IS_OF_STATUS, _IS_CANCELED))
        sql = f"""
        SELECT found.id, found.at, found.key FROM (
            SELECT of_status.* FROM unnest(:statuses) AS status, unnest(:editions) AS printed, LATERAL (
                SELECT s.subscriber_id AS id, s.created_at AS at, s.id AS key FROM subscriptions s
                WHERE s.status = status.status AND {open_ones} AND {wanted_of}
            ) AS of_status
            UNION ALL SELECT ended.* FROM unnest(:editions) AS printed, LATERAL (
                SELECT s.subscriber_id AS id, s.created_at AS at, s.id AS key FROM subscriptions s
                WHERE {ended} AND {wanted_of}
            ) AS ended
        ) AS found ORDER BY found.at DESC, found.key DESC LIMIT :most
        """  # noqa: S608 - of constants
    else:
        sql = """
        SELECT r.id, r.created_at AS at, r.id AS key FROM subscribers r
        WHERE (r.created_at, r.id) < (:at, :after) AND NOT starts_with(r.sub, :erased)
        ORDER BY r.created_at DESC, r.id DESC LIMIT :most
        """
    return statement(sql, **_LISTED)


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of a list: a reader's ID, and the position after which the list continues."""

    id: str
    position: Position


def values_of(filters: Filters, now: datetime) -> dict[str, object]:
    """Return the parameters of :func:`conditions`."""
    editions = [False, True] if filters.print_edition is None else [filters.print_edition]
    return {
        "statuses": filters.statuses, "plan": filters.plan, "editions": editions, "now": now, "soon": now + ENDS_SOON,
        "erased": ERASED,
    }  # fmt: skip


def shape(filters: Filters) -> Filters:
    """Return the filters without their values, by which a statement is cached."""
    return Filters(
        status="" if filters.status is not None else None,
        plan="" if filters.plan is not None else None,
        print_edition=None if filters.print_edition is None else True,
        ends_soon=filters.ends_soon,
        unpaid=filters.unpaid,
        disputed=filters.disputed,
        complimentary=filters.complimentary,
    )


async def newest(read: Reads, filters: Filters, *, after: Position | None, limit: int, now: datetime) -> list[Listed]:
    """
    Return the next readers of a list.

    The newest come first; of disputed ones, those whose evidence is due first; of those that end, those that end first.
    """
    ascending = filters.disputed or filters.complimentary or filters.ends_soon
    first = _EARLIEST if filters.disputed else now if ascending else _LATEST
    start = after or Position(at=first, id="" if ascending else LAST)
    asked = {**values_of(filters, now), "at": start.at, "after": start.id, "most": limit}
    rows = await read.execute(_list(shape(filters)), wanted(_list(shape(filters)), asked))
    return [Listed(row.id, Position(at=row.at, id=row.key)) for row in rows]


def wanted(statement: "Select[Any]", asked: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters that a statement has."""
    names = cast("Any", statement).element._bindparams
    return {name: value for name, value in asked.items() if name in names}
