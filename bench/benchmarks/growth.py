"""
What must not grow: a deep page of a list against its first page, and the readiness probe with a backlog against without.

Both sides run on one connection in this process. A deep page starts in the middle of the list.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from app.db import audit, events, health, refunds
from app.db.engine.session import Session, Sessions, make_engine, make_sessions
from app.domain.audit import Selection as AuditSelection
from app.domain.events import Selection as EventSelection
from bench.environment import Environment
from bench.load_generator import Run
from bench.runner import Benchmark, Side
from bench.scale import backlog
from bench.scale.fill import FEWEST_ROWS, Size, fill
from bench.scale.ids import make_id
from bench.scale.subject import PAGE

BACKLOG = 20_000  # due events
Operation = Callable[[Sessions], Awaitable[object]]


def filled(environment: Environment, name: str, due: int) -> str:
    """Return the URL of a database filled with readers and their history, and with due events."""
    dsn = environment.migrated_database(name)
    environment.report(f"Inserting {environment.readers:,} readers with their history, and {due:,} due events ...")
    asyncio.run(_fill(dsn, environment.readers, due))
    return dsn


def _size(readers: int) -> Size:
    return Size(max(readers, FEWEST_ROWS))  # with fewer readers than rows of a table, their IDs would repeat


async def _fill(dsn: str, readers: int, due: int) -> None:
    await fill(dsn, _size(readers), report=lambda _: None)
    if due:
        await backlog.make_due(dsn, due)


def side(loop: asyncio.AbstractEventLoop, sessions: Sessions, operation: Operation, seconds: float) -> Run:
    """Return the measurements of an operation that is repeated for some seconds."""

    async def run() -> Run:
        latencies: list[float] = []
        started_at = time.perf_counter()
        while (now := time.perf_counter()) < started_at + seconds or not latencies:
            await operation(sessions)
            latencies.append(time.perf_counter() - now)
        p99 = sorted(latencies)[int(len(latencies) * 0.99)]
        return Run(rate=len(latencies) / sum(latencies), p99=p99, load_use=0.0)

    return loop.run_until_complete(run())


def _open(environment: Environment, loop: asyncio.AbstractEventLoop, dsn: str) -> Sessions:
    engine = make_engine(dsn, pool_size=1)
    environment.on_exit(lambda: loop.run_until_complete(engine.dispose()))
    return make_sessions(engine)


def _pages(environment: Environment) -> tuple[Side, Side]:
    loop, size = asyncio.new_event_loop(), _size(environment.readers)
    refund = make_id("rfd", size.rows_of("refunds") // 2)
    middle = datetime.now(UTC) - timedelta(days=20)  # events have come for 40 days
    sessions = _open(environment, loop, filled(environment, "lists", 0))

    async def in_the_middle(session: Session) -> None:
        entry = size.rows_of("audit_log") // 2
        await audit.page(session, AuditSelection(), before=entry, limit=PAGE)
        await audit.page(session, AuditSelection(action="refund.*"), before=entry, limit=PAGE)
        await refunds.page(session, status="succeeded", attention=False, after=refund, limit=PAGE)
        await events.page(session, EventSelection(states=("applied",)), after=(middle, "evt_"), limit=PAGE)

    async def first(session: Session) -> None:
        await audit.page(session, AuditSelection(), before=None, limit=PAGE)
        await audit.page(session, AuditSelection(action="refund.*"), before=None, limit=PAGE)
        await refunds.page(session, status="succeeded", attention=False, after=None, limit=PAGE)
        await events.page(session, EventSelection(states=("applied",)), after=None, limit=PAGE)

    return (
        partial(side, loop, sessions, partial(_in_transaction, in_the_middle)),
        partial(side, loop, sessions, partial(_in_transaction, first)),
    )


async def _in_transaction(work: Callable[[Session], Awaitable[None]], sessions: Sessions) -> None:
    async with sessions() as session:
        await work(session)


def _readiness(environment: Environment) -> tuple[Side, Side]:
    loop = asyncio.new_event_loop()
    late = _open(environment, loop, filled(environment, "backlog", BACKLOG))
    quiet = _open(environment, loop, filled(environment, "quiet", 0))
    return partial(side, loop, late, health.read_readiness), partial(side, loop, quiet, health.read_readiness)


BENCHMARKS = (
    Benchmark(
        name="list_deep_vs_first",
        unit="µs",
        description="pages in the middle of the lists, against their first pages",
        sides=_pages,
        figure="time",
    ),
    Benchmark(
        name="readyz_backlog_vs_quiet",
        unit="µs",
        description="the queries of the readiness probe with 20,000 due events, against none",
        sides=_readiness,
        figure="time",
    ),
)
