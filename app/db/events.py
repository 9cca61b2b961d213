"""
List, replay and prune events, for operators. Workers process them with :mod:`app.db.inbox`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    any_,
    bindparam,
    column,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, TEXT
from sqlalchemy.orm import defer

from app.db.engine import leases
from app.db.engine.distinct import distinct
from app.db.engine.session import Session
from app.db.inbox_writer import NO_KEY
from app.db.models import Event as Row
from app.domain.events import EventState, RefetchKind, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event and its outcome. Times are the database's, except ``created_at``, which is Stripe's."""

    id: str
    type: str
    state: str
    reason: str | None  # why it was ignored
    last_error: str | None  # why it failed last
    object_id: str | None
    key: str | None  # of the object that is refetched; None if there is none
    api_version: str | None
    livemode: bool | None
    created_at: datetime | None
    received_at: datetime
    applied_at: datetime | None
    due_at: datetime | None
    attempts: int

    @property
    def cursor(self) -> tuple[datetime, str]:
        """Its position in lists."""
        return self.received_at, self.id


_TEXTS = ARRAY(TEXT)
_SAVE_REDUCED = text(
    "UPDATE events SET payload = reduced.payload, is_reduced = true"
    " FROM unnest(:ids, :payloads) AS reduced (id, payload) WHERE events.id = reduced.id"
).bindparams(bindparam("ids", type_=_TEXTS), bindparam("payloads", type_=_TEXTS))
MAX_COUNT = 100_000  # where counting stops
_WITHOUT_PAYLOAD = defer(Row.payload, raiseload=True)


async def page(
    session: Session, wanted: Selection, *, after: tuple[datetime, str] | None, limit: int
) -> list[StoredEvent]:
    """Return the selected events after a position, newest first."""
    query = _select(wanted, await _kinds(session, wanted), after=after, limit=limit, newest_first=True)
    return [_event(row) for row in await session.scalars(query)]


async def by_id(session: Session, event_id: str) -> tuple[StoredEvent, str] | None:
    """Return an event and its stored payload."""
    row = await session.get(Row, event_id, populate_existing=True)
    return (_event(row), row.payload) if row is not None else None


async def count(session: Session, wanted: Selection) -> int:
    """Return the number of selected events, at most :data:`MAX_COUNT`."""
    kinds = await _kinds(session, wanted)
    query = select(literal(1)).where(*_conditions(wanted))
    if kinds is not None:
        query = query.where(Row.state.in_({state for state, _ in kinds}), Row.type.in_({name for _, name in kinds}))
    found = query.limit(MAX_COUNT).subquery()
    return await session.scalar(select(func.count()).select_from(found)) or 0


async def oldest(
    session: Session, wanted: Selection, *, after: tuple[datetime, str] | None, limit: int
) -> list[StoredEvent]:
    """Return the selected events after a position, oldest first, and lock them."""
    query = _select(wanted, await _kinds(session, wanted), after=after, limit=limit, newest_first=False)
    return [_event(row) for row in await session.scalars(query.with_for_update(of=Row))]


async def _kinds(session: Session, wanted: Selection) -> list[tuple[str, str]] | None:
    """
    Return the states with the types to look for one by one; None if another index has few such events, or all are wanted.

    An index is in the order of arrival only for one state and one type, so several are merged.
    """
    if wanted.object_id is not None or wanted.key is not None:
        return None
    states = wanted.states or tuple(EventState)
    prefix, star, _ = (wanted.type or "*").partition("*")
    if not star:
        return [(state, prefix) for state in states]
    if not prefix and set(states) == set(EventState):
        return None
    found = [(state, name) for state in states for name in await distinct(session, Row.type, Row.state == state)]
    return [(state, name) for state, name in found if name.startswith(prefix)]


def _select(
    wanted: Selection,
    kinds: list[tuple[str, str]] | None,
    *,
    after: tuple[datetime, str] | None,
    limit: int,
    newest_first: bool,
) -> "Select[Row]":
    def order(columns: Any) -> list[Any]:
        return [one.desc() if newest_first else one.asc() for one in (columns.received_at, columns.id)]

    conditions = _conditions(wanted)
    if after is not None:
        here = tuple_(Row.received_at, Row.id)
        conditions.append(here < tuple_(*after) if newest_first else here > tuple_(*after))
    rows = select(Row).where(*conditions).order_by(*order(Row)).options(_WITHOUT_PAYLOAD)
    if kinds is None:
        return rows.limit(limit)
    wanted_kinds = (
        func.unnest(
            bindparam(None, [state for state, _ in kinds], type_=ARRAY(TEXT)),
            bindparam(None, [name for _, name in kinds], type_=ARRAY(TEXT)),
        )
        .table_valued(column("state", TEXT), column("type", TEXT), name="kinds")
        .render_derived()
    )
    of_kind = (Row.state == wanted_kinds.c.state, Row.type == wanted_kinds.c.type)
    each = (
        select(Row.id, Row.received_at).where(*of_kind, *conditions).order_by(*order(Row)).limit(limit).lateral("each")
    )
    merged = select(each.c.id).select_from(wanted_kinds.join(each, true())).order_by(*order(each.c)).limit(limit)
    return rows.join(first := merged.subquery(), first.c.id == Row.id)


async def payload_of(session: Session, event_id: str) -> str | None:
    """Return the payload of an event."""
    return await session.scalar(select(Row.payload).where(Row.id == event_id))


async def replay(session: Session, ids: Sequence[str]) -> None:
    """Make events due again, as if they had just arrived."""
    await session.execute(
        update(Row)
        .where(Row.id.in_(ids), Row.work_key != NO_KEY)
        .values(state=EventState.RECEIVED, due_at=func.now(), attempts=0, reason=None, last_error=None, applied_at=None)
    )
    await leases.notify(session, "events")


async def rekey(session: Session, event_id: str, *, key: str | None, reason: str | None) -> None:
    """Set the key of an event that had none, or the reason why it still has none."""
    await session.execute(update(Row).where(Row.id == event_id).values(work_key=key or NO_KEY, reason=reason))


async def prune(session: Session, *, kept_for: timedelta, limit: int) -> int:
    """Delete up to ``limit`` applied or ignored events that are older than ``kept_for``, oldest first."""
    old = (
        select(Row.id)
        .where(
            Row.received_at < func.now() - bindparam("kept_for", kept_for, type_=INTERVAL),
            Row.state.in_((EventState.APPLIED, EventState.IGNORED)),
        )
        .order_by(Row.received_at)
        .limit(limit)
    )
    gone = await session.scalars(delete(Row).where(Row.id == any_(func.array(old.scalar_subquery()))).returning(Row.id))
    return len(gone.all())


async def reduce_payloads(session: Session, reduced: Callable[[str], str], *, limit: int) -> int:
    """Reduce up to ``limit`` payloads that an earlier release stored as they came. Return how many there were."""
    found = await session.execute(
        select(Row.id, Row.payload)
        .where(~Row.is_reduced)
        .order_by(Row.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    payloads = {row.id: reduced(row.payload) for row in found}
    if payloads:
        await session.execute(_SAVE_REDUCED, {"ids": list(payloads), "payloads": list(payloads.values())})
    return len(payloads)


def _conditions(wanted: Selection) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.states:
        found.append(Row.state.in_(wanted.states))
    if wanted.type is not None:
        beginning, star, _ = wanted.type.partition("*")
        found.append(Row.type.startswith(beginning, autoescape=True) if star else Row.type == beginning)
    if wanted.object_id is not None:
        keys = [f"{kind}:{wanted.object_id}" for kind in RefetchKind]
        found.append(or_(Row.object_id == wanted.object_id, Row.work_key.in_(keys)))
    if wanted.key is not None:
        found.append(Row.work_key == wanted.key)
    if wanted.since is not None:
        found.append(Row.received_at >= wanted.since)
    if wanted.until is not None:
        found.append(Row.received_at < wanted.until)
    return found


def _event(row: Row) -> StoredEvent:
    return StoredEvent(
        id=row.id,
        type=row.type,
        state=row.state,
        reason=row.reason,
        last_error=row.last_error,
        object_id=row.object_id,
        key=row.work_key if row.work_key != NO_KEY else None,
        api_version=row.api_version,
        livemode=row.livemode,
        created_at=row.created_at,
        received_at=row.received_at,
        applied_at=row.applied_at,
        due_at=row.due_at,
        attempts=row.attempts,
    )
