"""
A recovery: numbers that are above all that were given, and what workers have yet to do until the data is current.

After a backup was restored, revocations, events and versions of entitlements would get numbers a second time. Edge servers
and other systems ignore what is not above the highest number that they have seen. So each run of a recovery raises all of
them to the time in microseconds: as long as fewer than a million are given in a second, that is above every number from
before, also from before an earlier recovery.

A backlog may have millions of rows. So whether there is one is decided by a look at an index, and counting it stops early.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import DateTime, bindparam, func, select, text

from app.db.engine.session import Session
from app.db.models import Event
from app.domain.events import EventState

MAX_COUNT = 10_000  # of each kind, where counting stops
_OF_STATE = (
    "(SELECT id FROM events WHERE due_at IS NOT NULL AND state = '{}' AND received_at <= :before"
    " ORDER BY received_at LIMIT :most)"
)
_EVENTS = " UNION ALL ".join(_OF_STATE.format(state) for state in (EventState.RECEIVED, EventState.FAILED))
_OTHERS = """
    (SELECT id FROM refunds WHERE due_at <= now() ORDER BY due_at LIMIT :most)
    UNION ALL (SELECT id FROM subscriptions WHERE due_at IS NOT NULL ORDER BY due_at LIMIT :most)
"""
_IS_PENDING = text(f"SELECT EXISTS ({_EVENTS} UNION ALL {_OTHERS})").bindparams(most=1)
_PENDING = text(
    f"""
    SELECT waiting.rows + (SELECT count(*) FROM ({_OTHERS}) others) AS rows, waiting.mark
    FROM (SELECT count(*) AS rows, coalesce(sum(hashtextextended(id, 0)), 0) AS mark FROM ({_EVENTS}) events) waiting
    """  # noqa: S608 - the states are ours
)


_BEGIN = text(
    """
    INSERT INTO recoveries (since, began_at, numbers_from)
    SELECT :since, :began_at, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    ON CONFLICT (since) DO UPDATE SET numbers_from = excluded.numbers_from
    RETURNING began_at, numbers_from
    """
).bindparams(*(bindparam(name, type_=DateTime(timezone=True)) for name in ("since", "began_at")))
_RAISE_SEQUENCES = text("SELECT raise_sequences(:above)")
_RAISE_VERSIONS = text(
    """
    WITH slice AS (SELECT ctid AS place, sub FROM entitlements WHERE sub > :after ORDER BY sub LIMIT :most),
        raised AS (
            UPDATE entitlements SET version = :version, changed_in = pg_current_xact_id()::text::bigint
            WHERE ctid = ANY(ARRAY(SELECT place FROM slice)) AND version < :version)
    SELECT max(sub) FROM slice
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """A recovery that runs. ``began_at`` is policy time, of its first run; its last run gives ``numbers_from``."""

    began_at: datetime
    numbers_from: int


async def begin(session: Session, *, since: datetime, now: datetime) -> Recovery:
    """
    Begin a recovery, or another run of it: from now on, all revocations and events have higher numbers than before.

    :param since: when the backup was made, in policy time.
    :param now: policy time.
    """
    row = (await session.execute(_BEGIN, {"since": since, "began_at": now})).one()
    await session.execute(_RAISE_SEQUENCES, {"above": row.numbers_from})
    return Recovery(began_at=row.began_at, numbers_from=row.numbers_from)


async def raise_versions(session: Session, version: int, *, after: str, limit: int) -> str | None:
    """
    Raise the versions of a slice of the entitlements that are lower. It can be repeated.

    :param after: the last one of the slice before.
    :returns: the last one of this slice; None: it is empty.
    """
    last = await session.scalar(_RAISE_VERSIONS, {"version": version, "after": after, "most": limit})
    return str(last) if last is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingWork:
    """What workers have yet to do, of what was due before a time."""

    rows: int  # at most :data:`MAX_COUNT` of each kind
    mark: int  # of exactly the events that were counted: it changes when one of them is done
    failing: Sequence[str] = field(default=())  # a sentence for each event that was tried in vain

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self.rows > 0

    @property
    def counted(self) -> str:
        """How many rows are left."""
        return f"{self.rows:,}" if self.rows < MAX_COUNT else f"{MAX_COUNT:,} or more"


NOTHING = PendingWork(rows=0, mark=0)


async def is_pending(session: Session, *, before: datetime) -> bool:
    """
    Return whether workers have anything left to do.

    :param before: only events that were received by then, by the database's clock: others may arrive all the time.
    """
    return bool(await session.scalar(_IS_PENDING, {"before": before}))


async def pending_work(session: Session, *, before: datetime) -> PendingWork:
    """Return what workers have yet to do; ``before`` as for :func:`is_pending`."""
    found = (await session.execute(_PENDING, {"before": before, "most": MAX_COUNT})).one()
    failing = await session.execute(
        select(Event.id, Event.work_key, Event.state, Event.last_error)
        .where(Event.due_at.is_not(None), Event.state == EventState.FAILED, Event.received_at <= before)
        .order_by(Event.received_at, Event.id)
        .limit(100)
    )
    return PendingWork(
        rows=found.rows,
        mark=int(found.mark),
        failing=[f"event {one.id} ({one.work_key}): {one.state}, {one.last_error}" for one in failing],
    )


async def dead_events(session: Session, *, since: datetime) -> list[str]:
    """Return a sentence for each event that was received since a time and has failed permanently."""
    dead = await session.execute(
        select(Event.id, Event.work_key, Event.last_error)
        .where(Event.state == EventState.DEAD, Event.received_at >= since)
        .order_by(Event.received_at, Event.id)
        .limit(100)
    )
    return [f"event {one.id} ({one.work_key}): dead, {one.last_error}" for one in dead]


async def database_time(session: Session) -> datetime:
    """Return the database's time."""
    return (await session.execute(select(func.now()))).scalar_one()
