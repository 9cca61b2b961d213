"""The outbox: what happened to readers, recorded in the transaction of each change."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import insert

from app.db.engine import leases
from app.db.engine.session import Session, new_id
from app.db.models import OutboxEvent, table_of
from app.domain.outbox import NewOutboxEvent

TABLE = "outbox_events"
_EVENTS = table_of(OutboxEvent)
_ADD = insert(_EVENTS)
_IS_DUE = text("SELECT id FROM outbox_events WHERE queued_at IS NULL ORDER BY sequence LIMIT 1")


async def is_due(session: Session) -> bool:
    """Return whether there are events whose deliveries are not queued."""
    return await session.scalar(_IS_DUE) is not None


async def add_queued(session: Session, event: NewOutboxEvent) -> str:
    """Record an event that is not sent to every endpoint, because the caller queues its delivery. Return its ID."""
    row = {**_row(event), "queued_at": func.now()}
    return str(await session.scalar(_ADD.returning(_EVENTS.c.id).values(row)))


async def add(session: Session, events: Sequence[NewOutboxEvent]) -> None:
    """
    Record events, in their order.

    The caller has locked the readers: the order of a reader's events is the order in which they are recorded.
    """
    if not events:
        return
    rows = [_row(one) for one in events]
    await session.execute(_ADD, rows if len(rows) > 1 else rows[0])
    await leases.notify(session, TABLE)


def _row(event: NewOutboxEvent) -> dict[str, Any]:
    reader = event.reader
    return {
        "id": new_id("obx"),
        "type": event.type,
        "version": event.version,
        "subscriber_id": reader.id if reader is not None else None,
        "sub": reader.sub if reader is not None else None,
        "data": dict(event.data),
    }
