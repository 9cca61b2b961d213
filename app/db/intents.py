"""POSTs that Stripe is about to get: recorded before the call, with the key and the parameters that a repeat must use."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update

from app.db.engine.session import Session
from app.db.models import Intent as Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What Stripe is to be told, under which key."""

    key: str
    attempt: int
    parameters: Mapping[str, object]
    created_at: datetime
    first: bool = False  # nothing of the kind was recorded for the row before


async def record(session: Session, row_id: str, action: str, parameters: Mapping[str, object]) -> Intent:
    """
    Record what is about to be asked for ``row_id``, or return what was recorded before and is not settled.

    The caller holds the lock of the row that ``row_id`` names, so two cannot record the same attempt. What was asked for
    the same row before is settled: if it is asked again, it is asked anew, and not replayed.
    """
    others = update(Row).where(Row.row_id == row_id, Row.action != action, Row.settled_at.is_(None))
    await session.execute(others.values(settled_at=func.now()))
    newest = await session.scalar(
        select(Row).where(Row.row_id == row_id, Row.action == action).order_by(Row.attempt.desc()).limit(1)
    )
    if newest is not None and newest.settled_at is None:
        return _intent(newest)
    attempt = newest.attempt + 1 if newest else 1
    row = Row(
        key=f"{row_id}:{action}:{attempt}", row_id=row_id, action=action, attempt=attempt, parameters=dict(parameters)
    )
    session.add(row)
    await session.flush()
    return _intent(row, first=newest is None)


async def settle(session: Session, key: str) -> None:
    """Note that Stripe answered for good: the key is not used again."""
    await session.execute(update(Row).where(Row.key == key, Row.settled_at.is_(None)).values(settled_at=func.now()))


def _intent(row: Row, *, first: bool = False) -> Intent:
    return Intent(key=row.key, attempt=row.attempt, parameters=row.parameters, created_at=row.created_at, first=first)
