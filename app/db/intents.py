"""Intents: Stripe calls, stored with their key and parameters before they are made, so that a retry repeats them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update

from app.db.engine.session import Session
from app.db.models import Intent as Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A Stripe call that is about to be made."""

    key: str
    row_id: str
    action: str
    attempt: int
    parameters: Mapping[str, object]
    created_at: datetime
    first: bool = False  # the first intent of this action for the row
    previous: Mapping[str, object] | None = None  # parameters of the attempt before, if this one was just stored


async def record(session: Session, row_id: str, action: str, parameters: Mapping[str, object]) -> Intent:
    """
    Store the intent of an action on a row, or return the stored one that is not settled yet.

    The caller holds the row's lock, so an attempt is stored only once. Intents of other actions on the row are settled: if
    such an action is wanted again, it is a new attempt.
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
    return _intent(row, first=newest is None, previous=newest.parameters if newest is not None else None)


async def rows_with(session: Session, action: str, row_ids: Sequence[str]) -> set[str]:
    """Return the rows for which an action was ever intended."""
    return set(await session.scalars(select(Row.row_id).where(Row.action == action, Row.row_id.in_(row_ids))))


async def is_open(session: Session, key: str) -> bool:
    """Return whether an intent is not settled yet."""
    return await session.scalar(select(Row.key).where(Row.key == key, Row.settled_at.is_(None))) is not None


async def open_key(session: Session, row_id: str, action: str) -> str | None:
    """Return the key of the action on a row that is not settled yet; None if there is none."""
    return await session.scalar(
        select(Row.key).where(Row.row_id == row_id, Row.action == action, Row.settled_at.is_(None))
    )


async def settle(session: Session, key: str) -> None:
    """Mark an intent as settled: Stripe gave its final answer, and the key is not used again."""
    await session.execute(update(Row).where(Row.key == key, Row.settled_at.is_(None)).values(settled_at=func.now()))


def _intent(row: Row, *, first: bool = False, previous: Mapping[str, object] | None = None) -> Intent:
    return Intent(
        key=row.key,
        row_id=row.row_id,
        action=row.action,
        attempt=row.attempt,
        parameters=row.parameters,
        created_at=row.created_at,
        first=first,
        previous=previous,
    )
