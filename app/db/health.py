"""Health checks: whether the database is reachable and migrated, and whether work piles up."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, text, union_all

from app.db import attention, disputes
from app.db.engine.schema import older_versions
from app.db.engine.session import DATABASE_FAILURES, Session, Sessions
from app.db.models import Event as Row
from app.domain.errors import DatabaseUnavailable
from app.domain.events import EventState

OPEN_STATES = (EventState.RECEIVED, EventState.FAILED, EventState.DEAD)  # the others are too many to count


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """The state of the inbox."""

    oldest_unapplied: timedelta | None  # None if everything is applied
    events: dict[str, int]  # by state, of the open ones
    open_disputes: int
    attention: dict[str, int]  # by kind


def is_compatible(version: str | None, older: Collection[str]) -> bool:
    """
    Return whether a database at ``version`` is compatible with this release.

    An unknown version is the next release's, which is compatible too: its migrations are applied while this release
    still serves.

    :param older: the versions before this release's.
    """
    return version is not None and version not in older


async def is_migrated(session: Session) -> bool:
    """Return whether all migrations are applied."""
    if await session.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return False
    return is_compatible(await session.scalar(text("SELECT version_num FROM alembic_version")), older_versions())


async def oldest_unapplied_age(session: Session) -> timedelta | None:
    """Return the age of the oldest pending event, or None."""
    age: timedelta | None = await session.scalar(
        select(func.now() - func.min(Row.received_at)).where(
            Row.due_at.is_not(None), Row.state.in_((EventState.RECEIVED, EventState.FAILED))
        )
    )
    return age


async def events_by_state(session: Session) -> dict[str, int]:
    """Return the number of open events by state."""
    waiting = select(Row.state, func.count().label("n")).where(Row.due_at.is_not(None)).group_by(Row.state)
    dead = select(Row.state, func.count().label("n")).where(Row.state == EventState.DEAD).group_by(Row.state)
    found = {row.state: row.n for row in await session.execute(union_all(waiting, dead))}
    return {state: found.get(state, 0) for state in OPEN_STATES}


async def read_inbox(sessions: Sessions) -> Inbox | None:
    """
    Return the state of the inbox, or None if a migration is missing.

    :raises DatabaseUnavailable: the database could not be queried.
    """
    try:
        async with sessions() as session:
            if not await is_migrated(session):
                return None
            return Inbox(
                oldest_unapplied=await oldest_unapplied_age(session),
                events=await events_by_state(session),
                open_disputes=await disputes.count_open(session),
                attention=await attention.counts(session),
            )
    except DATABASE_FAILURES as failure:
        raise DatabaseUnavailable(type(failure).__name__) from failure
