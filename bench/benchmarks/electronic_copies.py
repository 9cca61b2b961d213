"""
Freezing the paid electronic copies of an issue, against an ``INSERT … SELECT`` of the same rows from a table: at most 4.

The rows are narrow, so inserting them is cheap, and freezing reads the terms, subscriptions and payments that they follow
from. Frozen copies are rolled back, and the table is vacuumed, so that each freeze meets the same table.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

import asyncpg

from app.db import circulation
from app.db.circulation import CountedIssue
from app.db.engine.session import Session, Sessions, make_engine, make_sessions
from bench.benchmarks.label_runs import CLOSED, COUNTING, ISSUE, READERS, RUN
from bench.environment import Environment
from bench.load_generator import Run
from bench.runner import Benchmark, Side

COUNTED = CountedIssue(number=ISSUE, closes_at=CLOSED, paid_percent=COUNTING.paid_percent)
KEEP = (
    "CREATE TABLE same_copies AS SELECT * FROM electronic_copies; CREATE UNIQUE INDEX ON same_copies (subscription_id)"
)
INSERT = "INSERT INTO electronic_copies SELECT * FROM same_copies ORDER BY subscription_id"


async def _freeze(session: Session) -> None:
    await circulation.freeze_electronic(session, COUNTING, COUNTED, run_id=RUN)


async def _insert(session: Session) -> None:
    await (await session.connection()).exec_driver_sql(INSERT)


async def _execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _fill(dsn: str, sessions: Sessions, readers: int) -> None:
    """Insert readers of the digital edition, and keep the copies of the issue in a table of their own."""
    await _execute(dsn, READERS.format(n=readers, print_edition=False), "VACUUM ANALYZE")
    async with sessions.begin() as session:
        await _freeze(session)
    await _execute(dsn, KEEP, "DELETE FROM electronic_copies", "VACUUM ANALYZE")
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT count(*) FROM same_copies") == readers
    await connection.close()


async def _once(dsn: str, sessions: Sessions, work: Callable[[Session], Awaitable[None]]) -> float:
    """Do a piece of work, take it back, and return how long it took."""
    async with sessions() as session:
        await session.connection()
        began_at = time.perf_counter()
        await work(session)
        elapsed = time.perf_counter() - began_at
        await session.rollback()
    await _execute(dsn, "VACUUM electronic_copies")
    return elapsed


def _sides(environment: Environment) -> tuple[Side, Side]:
    dsn, loop = environment.migrated_database("electronic_copies"), asyncio.new_event_loop()
    environment.report(f"Inserting {environment.readers:,} readers of the digital edition ...")
    engine = make_engine(dsn, pool_size=1)
    environment.on_exit(lambda: loop.run_until_complete(engine.dispose()))
    sessions = make_sessions(engine)
    loop.run_until_complete(_fill(dsn, sessions, environment.readers))

    async def repeat(work: Callable[[Session], Awaitable[None]], seconds: float) -> Run:
        taken = [await _once(dsn, sessions, work)]
        while sum(taken) < seconds:
            taken.append(await _once(dsn, sessions, work))
        return Run(rate=environment.readers * len(taken) / sum(taken), p99=max(taken), load_use=0.0)

    def side(work: Callable[[Session], Awaitable[None]], seconds: float) -> Run:
        return loop.run_until_complete(repeat(work, seconds))

    return partial(side, _freeze), partial(side, _insert)


BENCHMARKS = (
    Benchmark(
        name="electronic_freeze_vs_insert",
        unit="µs",
        description="freeze a paid electronic copy, against inserting the same row from a table",
        sides=_sides,
        figure="time",
    ),
)
