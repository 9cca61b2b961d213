"""A lost database is logged in one line, and its recovery in another."""

import asyncio
import logging
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolExhausted
from structlog.testing import capture_logs

from app.db.engine import leases, outages
from app.db.engine.fast_reads import FastReads
from app.db.engine.outages import OutageLog, is_outage, report
from app.db.engine.pool import acquired, close_pool, fetch_in_time, open_pool
from app.db.engine.session import DatabaseUnreachable, make_engine, make_sessions, remedy
from app.worker import Job, Worker
from tests.support.database_proxy import database_proxy
from tests.support.timeouts import TIMEOUT


@pytest.fixture(autouse=True)
def own_log() -> None:
    """Forget the outages of earlier tests."""
    vars(outages.outages).clear()
    vars(outages.outages).update(vars(OutageLog()))


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (DatabaseUnreachable("gone"), True),
        (ConnectionRefusedError(), True),
        (asyncpg.ConnectionDoesNotExistError(), True),
        (asyncpg.ReadOnlySQLTransactionError(), True),
        (ExceptionGroup("tasks", [DatabaseUnreachable("gone"), ConnectionResetError()]), True),
        (ExceptionGroup("tasks", [DatabaseUnreachable("gone"), KeyError("a bug")]), False),
        (asyncpg.DataError(), False),
        (KeyError("a bug"), False),
    ],
)
def test_only_a_lost_database_counts_as_an_outage(error: BaseException, lost: bool) -> None:
    assert is_outage(error) == lost


def test_a_busy_database_is_no_outage() -> None:
    """A deadlock keeps its connection, so an outage that it began would not end, and would hide the next one."""
    deadlock = DatabaseUnreachable("deadlock detected")
    deadlock.__cause__ = asyncpg.DeadlockDetectedError("deadlock detected")
    before = outages.OUTAGES._value.get()
    with capture_logs() as logs:
        report("event_not_applied", deadlock)
        report("event_not_applied", DatabaseUnreachable("gone"))

    assert [one["event"] for one in logs] == ["database_busy", "database_lost"]
    assert outages.OUTAGES._value.get() == before + 1
    assert "busy" in str(remedy(deadlock))


def test_other_failures_are_logged_one_by_one() -> None:
    with capture_logs() as logs:
        for _ in range(2):
            report("row_failed", KeyError("a bug"), row="rfd_1")

    assert [(one["event"], one["row"]) for one in logs] == [("row_failed", "rfd_1")] * 2


async def test_a_worker_logs_an_outage_in_one_line_and_its_end_in_another(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    failures = asyncio.Queue[None]()

    async def claim(session: object, /, **_: object) -> list[leases.Claimed]:
        try:
            async with sessions.begin() as own:
                await own.execute(text("SELECT 1"))
        except Exception:
            failures.put_nowait(None)
            raise
        return []

    async def run(_: leases.Claimed, __: str) -> None: ...

    async def no_housekeeping() -> None: ...

    async with database_proxy(database) as wire:
        engine = make_engine(wire.url, pool_size=4)
        sessions = make_sessions(engine)
        jobs = [Job(table=table, run=run, claim=claim) for table in ("events", "refunds", "sweeps")]
        worker = Worker(
            sessions,
            jobs,
            housekeeping=no_housekeeping,
            lease=timedelta(seconds=1),
            listen_dsn=wire.url,
            poll_seconds=0.05,
        )
        with capture_logs() as logs, caplog.at_level(logging.ERROR):
            task = asyncio.create_task(worker.run())
            async with asyncio.timeout(TIMEOUT):
                wire.disconnect()
                for _ in range(7):
                    worker.wake()  # as for a notification, because the worker's own look for due rows fails
                    for _ in jobs:
                        await failures.get()
                wire.restore()
                while "database_back" not in [one["event"] for one in logs]:
                    await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await engine.dispose()

    assert [one["event"] for one in logs] == ["database_lost", "database_back"]
    assert logs[-1]["failures"] > 20
    assert [one for one in caplog.records if one.exc_info] == []


async def test_a_process_whose_connections_are_all_in_use_has_not_lost_its_database(database: str) -> None:
    engine = make_engine(database, pool_size=1, pool_timeout=timedelta(milliseconds=100))
    sessions, failures = make_sessions(engine), list[Exception]()
    async with sessions() as first, sessions() as second:
        for one in (first, second):
            await one.execute(text("SELECT 1"))
        with pytest.raises(PoolExhausted) as of_sessions:
            async with sessions() as third:
                await third.execute(text("SELECT 1"))
        failures.append(of_sessions.value)
    await engine.dispose()

    pool = await open_pool(database, size=1, pooler=False)
    async with acquired(pool, TIMEOUT):
        for wait in (fetch_in_time(pool, "SELECT 1"), FastReads(pool).fetch("SELECT 1")):
            with pytest.raises(OSError) as of_pool:
                await wait
            failures.append(of_pool.value)
    await close_pool(pool)

    before, refused = outages.OUTAGES._value.get(), outages.EXHAUSTED._value.get()
    with capture_logs() as logs:
        for failure in failures:
            report("request", failure)
        outages.outages.failed("worker_restarted", ExceptionGroup("tasks", failures))
        report("request", DatabaseUnreachable("gone"))
    assert [one["event"] for one in logs] == ["database_connections_in_use", "database_lost"]
    assert outages.OUTAGES._value.get() == before + 1
    assert outages.EXHAUSTED._value.get() == refused + 4
    assert "in use" in str(remedy(failures[0]))


async def test_a_pool_that_can_open_no_connection_in_time_has_lost_the_database(database: str) -> None:
    async with database_proxy(database) as wire:
        wire.silence()
        pool = await open_pool(wire.url, size=1, pooler=False)
        with pytest.raises(TimeoutError) as failure:
            await fetch_in_time(pool, "SELECT 1")
        assert not outages.is_exhausted(failure.value)
        await close_pool(pool)


async def test_a_probe_that_finds_a_writable_database_ends_an_outage() -> None:
    with capture_logs() as logs:
        outages.outages.failed("request", DatabaseUnreachable("gone"))
        outages.outages.answered()
        async with asyncio.timeout(TIMEOUT):
            while "database_back" not in [one["event"] for one in logs]:
                await asyncio.sleep(0.05)
