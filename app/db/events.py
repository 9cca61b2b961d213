"""
List, replay and prune events, for operators. Workers process them with :mod:`app.db.inbox`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, delete, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, TEXT
from sqlalchemy.orm import defer

from app.db.engine import leases
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
_WITHOUT_PAYLOAD = defer(Row.payload, raiseload=True)


async def page(
    session: Session, wanted: Selection, *, after: tuple[datetime, str] | None, limit: int
) -> list[StoredEvent]:
    """Return the selected events after a position, newest first."""
    query = select(Row).where(*_conditions(wanted)).options(_WITHOUT_PAYLOAD)
    if after is not None:
        query = query.where(tuple_(Row.received_at, Row.id) < tuple_(*after))
    found = await session.scalars(query.order_by(Row.received_at.desc(), Row.id.desc()).limit(limit))
    return [_event(row) for row in found]


async def by_id(session: Session, event_id: str) -> tuple[StoredEvent, str] | None:
    """Return an event and its stored payload."""
    row = await session.get(Row, event_id, populate_existing=True)
    return (_event(row), row.payload) if row is not None else None


async def count(session: Session, wanted: Selection) -> int:
    """Return the number of selected events."""
    return await session.scalar(select(func.count()).select_from(Row).where(*_conditions(wanted))) or 0


async def oldest(
    session: Session, wanted: Selection, *, after: tuple[datetime, str] | None, limit: int
) -> list[StoredEvent]:
    """Return the selected events after a position, oldest first, and lock them."""
    query = select(Row).where(*_conditions(wanted)).options(_WITHOUT_PAYLOAD)
    if after is not None:
        query = query.where(tuple_(Row.received_at, Row.id) > tuple_(*after))
    found = await session.scalars(query.order_by(Row.received_at, Row.id).limit(limit).with_for_update())
    return [_event(row) for row in found]


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
    gone = await session.scalars(delete(Row).where(Row.id.in_(old.scalar_subquery())).returning(Row.id))
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
        if set(wanted.states) <= {EventState.FAILED, EventState.DEAD}:
            found.append(text("state IN ('failed', 'dead')"))  # type: ignore[arg-type]  # as the index says
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
