"""A lost database is logged in one line, and its recovery in another."""

import asyncio
import logging
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from app.db.engine import leases, outages
from app.db.engine.outages import OutageLog, is_outage, report
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
