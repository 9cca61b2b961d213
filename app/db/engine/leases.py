"""
Due work: rows with a due time, leased by workers through this module only.

A row is due when its ``due_at`` has passed, by the database's clock. A worker leases the row's *key*, so one worker at a
time works for each key, even if its rows are in several tables. A crashed worker's lease ends within seconds. Attempts are
counted before the work, so that work which crashes its worker ends as dead instead of repeating forever. Workers claim keys
in advance, so the lease says until its job begins that the count was for nothing: the next claim does not count again. No
row lock is held during the work, and no session lock at all, so a transaction pooler can be used.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import structlog
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, TEXT

from app.db.engine.outages import report
from app.db.engine.session import Session, Sessions, notify_after_commit
from app.domain.backoff import retry_delay
from app.domain.reader_names import DASHES

CHANNEL = "newsstand_work"
PER_KEY = 10_000  # rows of a key that are claimed together; the others are due again after them
WINDOW = (
    2_000  # due rows that a claim looks at, from the oldest on, so that a leased key with millions costs it nothing
)
SLICE = 1_000  # rows that are postponed in one transaction
log = structlog.get_logger()


def _checked(table: str) -> str:
    """Return the name of a table that is safe in a statement."""
    if not table.isidentifier():
        raise ValueError(table)
    return table


@cache
def _leasing(table: str) -> TextClause:
    return text(
        f"""
        WITH due AS (
            SELECT work_key, min(due_at) AS since
            FROM (SELECT work_key, due_at
                  FROM (SELECT work_key, due_at FROM {_checked(table)} WHERE due_at <= now()
                        ORDER BY due_at LIMIT {WINDOW}) oldest
                  WHERE NOT EXISTS (SELECT FROM leases l WHERE l.key = oldest.work_key AND l.until > now())
                  ORDER BY due_at LIMIT :rows) free
            GROUP BY work_key ORDER BY since LIMIT :limit),
        leased AS (
            INSERT INTO leases (key, owner, until, counted)
            SELECT work_key, :owner, now() + :lease, '{table}' FROM due ORDER BY work_key
            ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until, counted = excluded.counted
            WHERE leases.until <= now()
            RETURNING key)
        SELECT key, EXISTS (SELECT FROM leases former WHERE former.key = leased.key AND counted = '{table}') AS never_began
        FROM leased  -- the leases as they were before the statement
        """  # noqa: S608 - the table's name is one of ours
    ).bindparams(bindparam("lease", type_=INTERVAL))


@cache
def _counting(table: str, *, may_crash: bool) -> TextClause:
    spread = "least(power(2, attempts) - 1, 600) * random() * interval '1 second'"
    again = f"now() + :lease + {spread}" if may_crash else "due_at + 0 * CAST(:lease AS interval)"
    return text(
        f"""
        UPDATE {_checked(table)} SET due_at = {again},
            attempts = CASE WHEN work_key = ANY(:never_began) THEN greatest(attempts, 1) ELSE attempts + 1 END
        WHERE id = ANY(ARRAY(
            SELECT due.id FROM unnest(:keys) leased (key) CROSS JOIN LATERAL (
                SELECT id FROM {table} WHERE work_key = leased.key AND due_at <= now() ORDER BY due_at LIMIT :per_key) due))
            AND due_at <= now()
        RETURNING work_key, id, attempts
        """  # noqa: S608
    ).bindparams(
        bindparam("keys", type_=ARRAY(TEXT)),
        bindparam("never_began", type_=ARRAY(TEXT)),
        bindparam("lease", type_=INTERVAL),
    )


@cache
def _postponing(table: str) -> TextClause:
    return text(
        f"""
        UPDATE {_checked(table)} SET due_at = now() + :lease WHERE id = ANY(ARRAY(
            SELECT id FROM {table} WHERE id = ANY(:ids) AND due_at <= now() + :lease / 2 FOR UPDATE SKIP LOCKED))
        """  # noqa: S608
    ).bindparams(bindparam("ids", type_=ARRAY(TEXT)), bindparam("lease", type_=INTERVAL))


_TAKE_ALL = text(
    """
    INSERT INTO leases (key, owner, until) SELECT key, :owner, now() + :lease FROM unnest(:keys) AS wanted (key) ORDER BY key
    ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until, counted = NULL
    WHERE leases.until <= now()
    RETURNING key
    """
).bindparams(bindparam("keys", type_=ARRAY(TEXT)), bindparam("lease", type_=INTERVAL))
_RENEW = text(
    "UPDATE leases SET until = now() + :lease WHERE key = ANY(:keys) AND owner = :owner AND until > now()"
).bindparams(bindparam("keys", type_=ARRAY(TEXT)), bindparam("lease", type_=INTERVAL))
_BEGIN = text(
    "UPDATE leases SET counted = NULL, until = now() + :lease WHERE key = :key AND owner = :owner AND counted = :table"
    " RETURNING key"
).bindparams(bindparam("lease", type_=INTERVAL))
_RELEASE = text("DELETE FROM leases WHERE key = ANY(:keys) AND owner = :owner").bindparams(
    bindparam("keys", type_=ARRAY(TEXT))
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A leased key, rows that were due when it was leased, and the highest number of attempts of any of them."""

    key: str
    ids: tuple[str, ...]
    attempts: int
    version: int | None = None  # of the subscription, if the key is for one; read before the fetch
    table: str | None = (
        None  # whose rows were counted, and must :func:`begin`; None: the claim has no lease of this module
    )


# Work that is found otherwise than by its oldest ``due_at``: the condition that there is some.
_JOINED_DUE = f"name ~ '[{DASHES}]' AND name IS DISTINCT FROM joined_name"
_LOOKS = {
    "webhook_lanes": "EXISTS (SELECT FROM webhook_endpoints w WHERE disabled_at IS NULL AND EXISTS"
    " (SELECT FROM webhook_lanes WHERE endpoint_id = w.id AND due_at <= now()))",
    "outbox_events": "(SELECT id FROM outbox_events WHERE queued_at IS NULL ORDER BY sequence LIMIT 1) IS NOT NULL",
    "reader_name_parts": "(SELECT id FROM subscribers WHERE name IS DISTINCT FROM indexed_name ORDER BY id LIMIT 1)"  # noqa: S608
    " IS NOT NULL OR (SELECT id FROM subscribers"
    f" WHERE {_JOINED_DUE} ORDER BY id LIMIT 1) IS NOT NULL",
}


@cache
def _looking(tables: tuple[str, ...]) -> TextClause:
    oldest = "SELECT min(due_at) FROM {} WHERE due_at IS NOT NULL"  # the first entry of the index, however many are due
    looks = [
        f"SELECT '{one}' AS name WHERE {_LOOKS.get(one) or f'({oldest.format(_checked(one))}) <= now()'}"
        for one in tables
    ]
    return text(" UNION ALL ".join(looks))


async def due_tables(session: Session, tables: Collection[str]) -> Sequence[str]:
    """Return those of the tables that have due rows, leased or not."""
    return (await session.scalars(_looking(tuple(tables)))).all()


async def claim(
    session: Session,
    table: str,
    *,
    owner: str,
    lease: timedelta,
    limit: int,
    per_key: int = PER_KEY,
    may_crash: bool = False,
) -> list[Claimed]:
    """
    Lease up to ``limit`` keys of ``table`` that have due rows and no lease, and count the attempt.

    :param per_key: how many due rows of each key are claimed, the oldest first.
    :param may_crash: the work may crash its worker, as an event may. Its next attempt is then scheduled already: after the
        lease and a random delay that grows with each attempt, so that it does not use up the attempts of the same others.
    """
    parameters = {"rows": limit * 20, "limit": limit, "owner": owner, "lease": lease}
    leased = {row.key: row.never_began for row in await session.execute(_leasing(table), parameters)}
    if not leased:
        return []
    counted = {
        "keys": list(leased),
        "never_began": [key for key, never_began in leased.items() if never_began],
        "lease": lease,
        "per_key": per_key,
    }
    rows = (await session.execute(_counting(table, may_crash=may_crash), counted)).all()
    found: dict[str, list[tuple[str, int]]] = {}
    for key, row_id, attempts in rows:
        found.setdefault(key, []).append((row_id, attempts))
    done_meanwhile = set(leased) - found.keys()
    if done_meanwhile:
        await release_all(session, done_meanwhile, owner=owner)
    return [
        Claimed(key, tuple(sorted(i for i, _ in ids)), max(n for _, n in ids), table=table)
        for key, ids in found.items()
    ]


async def begin(sessions: Sessions, claimed: Claimed, *, owner: str, lease: timedelta) -> bool:
    """
    Note that the job of a claimed key begins, so that its attempt counts. One row each, so these can't deadlock.

    :returns: whether the key is still leased to this owner. Otherwise its job must not run here.
    """
    if claimed.table is None:
        return True
    async with sessions.begin() as session:
        values = {"key": claimed.key, "owner": owner, "lease": lease, "table": claimed.table}
        return await session.scalar(_BEGIN, values) is not None


async def take(session: Session, key: str, *, owner: str, lease: timedelta) -> bool:
    """Lease one key, due or not, for a request that does a worker's job. Return False if it is leased by another process."""
    got = await session.scalar(
        text(
            """
            INSERT INTO leases (key, owner, until) VALUES (:key, :owner, now() + :lease)
            ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, until = excluded.until, counted = NULL
            WHERE leases.until <= now()
            RETURNING key
            """
        ).bindparams(bindparam("lease", type_=INTERVAL)),
        {"key": key, "owner": owner, "lease": lease},
    )
    return got is not None


async def take_all(session: Session, keys: Sequence[str], *, owner: str, lease: timedelta) -> list[str]:
    """Lease keys, and return those that no other process has leased."""
    return list(await session.scalars(_TAKE_ALL, {"keys": sorted(keys), "owner": owner, "lease": lease}))


@asynccontextmanager
async def keep_lease(sessions: Sessions, key: str, *, owner: str, lease: timedelta) -> AsyncIterator[None]:
    """Renew a lease that was taken while the block runs, and release it at the end."""
    async with renewing(sessions, {key}, owner=owner, lease=lease):
        try:
            yield
        finally:
            async with sessions.begin() as session:
                await release(session, key, owner=owner)


@asynccontextmanager
async def renewing(sessions: Sessions, keys: Collection[str], *, owner: str, lease: timedelta) -> AsyncIterator[None]:
    """
    Renew the leases of ``keys`` while the block runs. The block may add and remove keys.

    Only these keys are renewed. If the database is unreachable when a key is released, or when a claim is committed,
    the row of its lease is left behind; it must expire, so that any worker can claim the key again.
    """
    async with _meanwhile(keep_renewing(sessions, keys, owner=owner, lease=lease)):
        yield


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run a coroutine while the block runs."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def keep_renewing(sessions: Sessions, keys: Collection[str], *, owner: str, lease: timedelta) -> None:
    """Renew the leases of ``keys``, as they are at the time, three times in each lease, until canceled."""
    while True:
        await asyncio.sleep(lease.total_seconds() / 3)
        if not keys:
            continue
        try:
            async with sessions.begin() as session:
                await renew(session, keys, owner=owner, lease=lease)
        except Exception as error:
            report("lease_renewal_failed", error)


@asynccontextmanager
async def postponing(
    sessions: Sessions, table: str, rows: Mapping[str, Sequence[str]], *, lease: timedelta
) -> AsyncIterator[None]:
    """
    Keep claimed rows from becoming due again while the block runs, for work on more rows than a claim looks at.

    Leased rows that are due fill the window of every other claim, and hide the free ones behind them.

    :param rows: the IDs of the rows of each key. The block may add and remove keys.
    """
    async with _meanwhile(_keep_postponing(sessions, table, rows, lease=lease)):
        yield


async def _keep_postponing(
    sessions: Sessions, table: str, rows: Mapping[str, Sequence[str]], *, lease: timedelta
) -> None:
    while True:
        await asyncio.sleep(lease.total_seconds() / 3)
        try:
            ids = [row_id for some in rows.values() for row_id in some]
            for first in range(0, len(ids), SLICE):
                async with sessions.begin() as session:
                    await postpone(session, table, ids[first : first + SLICE], lease=lease)
        except Exception as error:
            report("postponing_failed", error)


async def postpone(session: Session, table: str, ids: Sequence[str], *, lease: timedelta) -> None:
    """
    Make those rows that are due soon due after the lease instead.

    Rows that are locked are left out: they are being closed, and waiting for them could end in a deadlock.
    """
    await session.execute(_postponing(table), {"ids": list(ids), "lease": lease})


async def renew(session: Session, keys: Collection[str], *, owner: str, lease: timedelta) -> None:
    """Renew the leases of those ``keys`` that ``owner`` still holds."""
    await session.execute(_RENEW, {"keys": list(keys), "owner": owner, "lease": lease})


async def release(session: Session, key: str, *, owner: str) -> None:
    """Release a key, if this owner still holds it."""
    await session.execute(text("DELETE FROM leases WHERE key = :key AND owner = :owner"), {"key": key, "owner": owner})


async def release_all(session: Session, keys: Collection[str], *, owner: str) -> None:
    """Release the keys that this owner still holds."""
    await session.execute(_RELEASE, {"keys": list(keys), "owner": owner})


async def reschedule(
    session: Session, table: str, ids: Sequence[str], *, attempts: int, error: str, counts: bool = True
) -> None:
    """
    Schedule another attempt for rows, after a pause that grows with ``attempts``.

    :param counts: whether the last attempt counts. It doesn't while Stripe is unavailable, so that an outage
        ends no work as dead.
    """
    wait = retry_delay(attempts, jitter=random.random(), outage=not counts)  # noqa: S311 - it only spreads the load
    await session.execute(
        text(
            f"UPDATE {_checked(table)} SET due_at = now() + :pause, last_error = :error, attempts = attempts - :back"  # noqa: S608
            " WHERE id = ANY(:ids)"
        ).bindparams(bindparam("pause", type_=INTERVAL), bindparam("ids", type_=ARRAY(TEXT))),
        {"ids": list(ids), "pause": wait, "error": error[:1000], "back": 0 if counts else 1},
    )


async def notify(session: Session, table: str = "") -> None:
    """
    Wake a worker once this transaction is committed.

    :param table: where the due rows are; empty: in any table. Only this table's job queries for them then.
    """
    notify_after_commit(session, CHANNEL, table)
