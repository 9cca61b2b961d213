"""The outbox: what happened to readers, recorded in the transaction of each change."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from app.db.engine import leases
from app.db.engine.session import Session, new_id
from app.db.models import OutboxEvent, table_of
from app.domain.outbox import NewOutboxEvent

TABLE = "outbox_events"
_ADD = insert(table_of(OutboxEvent))


async def add(session: Session, events: Sequence[NewOutboxEvent]) -> None:
    """
    Record events, in their order.

    The caller has locked the readers: the order of a reader's events is the order in which they are recorded.
    """
    if not events:
        return
    rows: list[dict[str, Any]] = [
        {
            "id": new_id("obx"),
            "type": one.type,
            "version": one.version,
            "subscriber_id": one.reader.id if one.reader is not None else None,
            "sub": one.reader.sub if one.reader is not None else None,
            "data": dict(one.data),
        }
        for one in events
    ]
    await session.execute(_ADD, rows if len(rows) > 1 else rows[0])
    await leases.notify(session, TABLE)
