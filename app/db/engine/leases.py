"""
Work that is due: rows that say so, taken by any worker through this one module.

A row is due when its ``due_at`` has passed, by the database's clock. A worker leases the row's *key*, so one worker at a
time works for each key, whatever tables its rows stand in; a dead worker's lease ends within seconds. Attempts are counted
before the try, so that work which kills its worker ends as dead and does not repeat for ever. No row lock is held while
work is done, and no session lock at all, so a transaction pooler may stand between.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, TEXT

from app.db.engine.session import Session, Sessions

CHANNEL = "newsstand_work"
AWAY_PAUSE = timedelta(seconds=30)  # the longest, while it is Stripe that is away
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=2), timedelta(minutes=15)
TABLES = frozenset({"audit_unsealed", "calendar_work", "events", "figures", "refunds", "subscriptions", "sweeps"})


def _leasing(table: str) -> TextClause:
    return text(
        f"""
        WITH due AS (
            SELECT work_key, min(due_at) AS since
            FROM (SELECT work_key, due_at FROM {table} d
                  WHERE due_at <= now()
                    AND NOT EXISTS (SELECT FROM leases l WHERE l.key = d.work_key AND l.until > now())
                  ORDER BY due_at LIMIT :rows) oldest
            GROUP BY work_key ORDER BY since LIMIT :limit)
        INSERT INTO leases (key, owner, until)
        SELECT work_key, :owner, now() + :lease FROM due ORDER BY work_key
        ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE leases.until <= now()
        RETURNING key
        """  # noqa: S608 - the table's name is one of ours
    ).bindparams(bindparam("lease", type_=INTERVAL))


def _counting(table: str) -> TextClause:
    # Events may be poison, so theirs move apart; other work is known to be good, and is tried again at once.
    spread = "least(power(2, attempts) - 1, 600) * random() * interval '1 second'"
    again = f"now() + :lease + {spread}" if table == "events" else "due_at + 0 * CAST(:lease AS interval)"
    return text(
        f"""
        UPDATE {table} SET attempts = attempts + 1, due_at = {again}
        WHERE work_key = ANY(:keys) AND due_at <= now() RETURNING work_key, id, attempts
        """  # noqa: S608
    ).bindparams(bindparam("keys", type_=ARRAY(TEXT)), bindparam("lease", type_=INTERVAL))


_LEASE, _COUNT = {table: _leasing(table) for table in TABLES}, {table: _counting(table) for table in TABLES}
_RELEASE = text("DELETE FROM leases WHERE key = ANY(:keys) AND owner = :owner").bindparams(
    bindparam("keys", type_=ARRAY(TEXT))
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A leased key, with the rows that were due when it was leased and the most often any of them was tried."""

    key: str
    ids: tuple[str, ...]
    attempts: int
    version: int | None = None  # of what the key is about, if that has one: read before any look at Stripe


async def claim(session: Session, table: str, *, owner: str, lease: timedelta, limit: int) -> list[Claimed]:
    """
    Lease up to ``limit`` keys of ``table`` that have due work and that nobody works on. Counts the attempt.

    An event's next try is set as well, for when this one kills its worker: after the lease and a while at random, longer
    each time, so that a poisonous one does not come back in the company of the same others, whose tries it would use up.
    """
    leased = (
        await session.scalars(_LEASE[table], {"rows": limit * 20, "limit": limit, "owner": owner, "lease": lease})
    ).all()
    if not leased:
        return []
    rows = (await session.execute(_COUNT[table], {"keys": leased, "lease": lease})).all()
    found: dict[str, list[tuple[str, int]]] = {}
    for key, row_id, attempts in rows:
        found.setdefault(key, []).append((row_id, attempts))
    done_meanwhile = set(leased) - found.keys()
    if done_meanwhile:
        await release_all(session, done_meanwhile, owner=owner)
    return [Claimed(key, tuple(sorted(i for i, _ in ids)), max(n for _, n in ids)) for key, ids in found.items()]


async def take(session: Session, key: str, *, owner: str, lease: timedelta) -> bool:
    """Lease one key, due or not: for a request that does by itself what a worker would do. False: somebody has it."""
    got = await session.scalar(
        text(
            """
            INSERT INTO leases (key, owner, until) VALUES (:key, :owner, now() + :lease)
            ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE leases.until <= now()
            RETURNING key
            """
        ).bindparams(bindparam("lease", type_=INTERVAL)),
        {"key": key, "owner": owner, "lease": lease},
    )
    return got is not None


@asynccontextmanager
async def held(sessions: Sessions, key: str, *, owner: str, lease: timedelta) -> AsyncIterator[None]:
    """Keep a lease that was taken, however long the work takes, and give it back at its end."""

    async def keep() -> None:
        while True:
            await asyncio.sleep(lease.total_seconds() / 3)
            async with sessions.begin() as session:
                await renew(session, owner=owner, lease=lease)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        async with sessions.begin() as session:
            await release(session, key, owner=owner)


async def renew(session: Session, *, owner: str, lease: timedelta) -> None:
    """Keep every lease of ``owner``'s for another while."""
    await session.execute(
        text("UPDATE leases SET until = now() + :lease WHERE owner = :owner AND until > now()").bindparams(
            bindparam("lease", type_=INTERVAL)
        ),
        {"owner": owner, "lease": lease},
    )


async def release(session: Session, key: str, *, owner: str) -> None:
    """Give a key back, if it is still ours."""
    await session.execute(text("DELETE FROM leases WHERE key = :key AND owner = :owner"), {"key": key, "owner": owner})


async def release_all(session: Session, keys: Collection[str], *, owner: str) -> None:
    """Give several keys back, those that are still ours."""
    await session.execute(_RELEASE, {"keys": list(keys), "owner": owner})


async def later(
    session: Session, table: str, ids: Sequence[str], *, attempts: int, error: str, counts: bool = True
) -> None:
    """
    Put rows back for another try, after a pause that grows with ``attempts``.

    :param counts: whether it was a try at all; when Stripe is away it was none, and however long that lasts, nothing dies.
    """
    if table not in TABLES:
        raise ValueError(table)
    wait = pause(attempts) if counts else min(pause(attempts), AWAY_PAUSE)
    await session.execute(
        text(
            f"UPDATE {table} SET due_at = now() + :pause, last_error = :error, attempts = attempts - :back"  # noqa: S608
            " WHERE id = ANY(:ids)"
        ).bindparams(bindparam("pause", type_=INTERVAL), bindparam("ids", type_=ARRAY(TEXT))),
        {"ids": list(ids), "pause": wait, "error": error[:1000], "back": 0 if counts else 1},
    )


def pause(attempts: int, *, jitter: float | None = None) -> timedelta:
    """Return how long to wait after the ``attempts``-th try: doubling, half of it at random, to a quarter of an hour."""
    whole = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
    share = random.random() if jitter is None else jitter  # noqa: S311 - spreads load, hides nothing
    return timedelta(seconds=whole.total_seconds() * (0.5 + 0.5 * share))


async def notify(session: Session) -> None:
    """Wake a worker once this transaction is committed."""
    await session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
