"""What the console asks that no other caller does: the audit log by filters, and events that wait for a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import defer

from app.db import work
from app.db.models import AuditEntry, AuditNote, Event
from app.db.session import Session
from app.domain.events import DEAD, FAILED, RECEIVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the audit log."""

    id: int
    at: datetime
    actor: str
    action: str
    object_id: str
    subscriber_id: str | None
    reason: str | None  # a code, and their own words
    before: dict[str, object] | None
    after: dict[str, object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """An event that could not be applied so far. Times are the database's."""

    id: str
    type: str
    state: str
    object_id: str | None
    last_error: str | None
    attempts: int
    received_at: datetime
    due_at: datetime | None


async def entries(
    session: Session, *, actor: str, action: str, about: str, before: int | None, limit: int
) -> list[Entry]:
    """
    Return entries of the audit log, the newest first.

    :param actor: whole; empty: anybody's.
    :param action: its beginning; empty: any.
    :param about: the id of the object or of the reader; empty: of any.
    :param before: only entries before that one.
    """
    query = (
        select(AuditEntry, AuditNote.words)
        .outerjoin(AuditNote, AuditNote.audit_id == AuditEntry.id)
        .order_by(AuditEntry.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(AuditEntry.id < before)
    if actor:
        query = query.where(AuditEntry.actor == actor)
    if action:
        query = query.where(AuditEntry.action.startswith(action, autoescape=True))
    if about:
        query = query.where((AuditEntry.object_id == about) | (AuditEntry.subscriber_id == about))
    return [
        Entry(
            id=row.id,
            at=row.at,
            actor=row.actor,
            action=row.action,
            object_id=row.object_id,
            subscriber_id=row.subscriber_id,
            reason=": ".join(part for part in (row.reason, words) if part) or None,
            before=row.before,
            after=row.after,
        )
        for row, words in await session.execute(query)
    ]


async def stuck(session: Session, states: Sequence[str], *, limit: int) -> list[Stuck]:
    """Return events in these states, the newest first."""
    rows = await session.scalars(
        select(Event)
        .where(Event.state.in_(states), Event.state.in_((FAILED, DEAD)))
        .options(defer(Event.payload, raiseload=True))
        .order_by(Event.received_at.desc(), Event.id.desc())
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    return [
        Stuck(
            id=row.id,
            type=row.type,
            state=row.state,
            object_id=row.object_id,
            last_error=row.last_error,
            attempts=row.attempts,
            received_at=row.received_at,
            due_at=row.due_at,
        )
        for row in rows
    ]


async def replay(session: Session, event_id: str) -> bool:
    """Have a failed or dead event looked at again, from the first attempt on. False: it is none of these any more."""
    due = await session.scalar(
        update(Event)
        .where(Event.id == event_id, Event.state.in_((FAILED, DEAD)))
        .values(state=RECEIVED, attempts=0, due_at=func.now())
        .returning(Event.id)
    )
    if due is not None:
        await work.notify(session)
    return due is not None
