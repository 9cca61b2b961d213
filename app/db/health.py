"""Health checks: whether the database is reachable and migrated, and whether work piles up."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import func, literal, select, text

from app.db import attention, disputes
from app.db.engine.schema import older_versions
from app.db.engine.session import DATABASE_FAILURES, Session, Sessions
from app.db.models import Event as Row
from app.domain.errors import DatabaseUnavailable
from app.domain.events import EventState

OPEN_STATES = (EventState.RECEIVED, EventState.FAILED, EventState.DEAD)  # the others are too many to count
WAITING = (EventState.RECEIVED, EventState.FAILED)
MAX_COUNT = 10_000  # where counting a backlog stops: each row counted is read from the table, and they may be cold


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What the readiness probe reports. None of it is counted, because a backlog may have millions of rows."""

    oldest_unapplied: timedelta | None  # None if everything is applied
    has_dead_events: bool
    writable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The open work, for metrics."""

    oldest_unapplied: timedelta | None  # None if everything is applied
    events: dict[str, int]  # by state, of the open ones
    open_disputes: int
    attention: dict[str, int]  # by kind
    writable: bool


T = TypeVar("T", Readiness, Backlog)


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


async def is_writable(session: Session) -> bool:
    """Return whether the server accepts writes: it is no standby, and not set to read-only."""
    read_only = await session.scalar(text("SELECT current_setting('transaction_read_only')"))
    return bool(read_only == "off")


async def oldest_unapplied_age(session: Session) -> timedelta | None:
    """Return the age of the oldest pending event, or None."""
    oldest = (  # one look into the index for each state
        select(func.min(Row.received_at)).where(Row.due_at.is_not(None), Row.state == state).scalar_subquery()
        for state in WAITING
    )
    age: timedelta | None = await session.scalar(select(func.now() - func.least(*oldest)))
    return age


async def events_by_state(session: Session) -> dict[str, int]:
    """Return the number of open events by state, at most :data:`MAX_COUNT` of each."""
    counts = []
    for state in OPEN_STATES:
        found = select(literal(1)).where(Row.state == state)
        if state in WAITING:  # in the order of the index: for a large backlog, the planner prefers to scan the table
            found = found.where(Row.due_at.is_not(None)).order_by(Row.received_at)
        counts.append(select(func.count()).select_from(found.limit(MAX_COUNT).subquery()).scalar_subquery())
    row = (await session.execute(select(*counts))).one()
    return dict(zip(OPEN_STATES, row, strict=True))


async def read_readiness(sessions: Sessions) -> Readiness | None:
    """
    Return what the readiness probe reports, or None if a migration is missing.

    :raises DatabaseUnavailable: the database could not be queried.
    """

    async def read(session: Session) -> Readiness:
        dead = select(literal(1)).where(Row.state == EventState.DEAD).limit(1)
        return Readiness(
            oldest_unapplied=await oldest_unapplied_age(session),
            has_dead_events=await session.scalar(dead) is not None,
            writable=await is_writable(session),
        )

    return await _read_if_migrated(sessions, read)


async def read_backlog(sessions: Sessions) -> Backlog | None:
    """
    Return the open work, or None if a migration is missing.

    :raises DatabaseUnavailable: the database could not be queried.
    """

    async def read(session: Session) -> Backlog:
        return Backlog(
            oldest_unapplied=await oldest_unapplied_age(session),
            events=await events_by_state(session),
            open_disputes=await disputes.count_open(session),
            attention=await attention.counts(session),
            writable=await is_writable(session),
        )

    return await _read_if_migrated(sessions, read)


async def _read_if_migrated(sessions: Sessions, read: Callable[[Session], Awaitable[T]]) -> T | None:
    try:
        async with sessions() as session:
            if not await is_migrated(session):
                return None
            seen = await read(session)
            if not seen.writable:
                await session.invalidate()  # a connection may stay read-only when its server is writable again
            return seen
    except DATABASE_FAILURES as failure:
        raise DatabaseUnavailable(type(failure).__name__) from failure
