"""The worker renews only its own leases, and stops when it is canceled."""

import asyncio
from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text

from app.db import inbox
from app.db.engine import leases
from app.db.engine.session import DatabaseUnreachable, Session, Sessions, make_engine, make_sessions
from app.worker import Job, Worker, run_rows
from tests.support.database_proxy import database_proxy

LEASE = timedelta(seconds=1)
PATIENCE = 60.0  # seconds


def worker(sessions: Sessions, job: Job, *, stop_seconds: float = 2 * PATIENCE) -> Worker:
    async def no_housekeeping() -> None: ...

    return Worker(
        sessions, [job], housekeeping=no_housekeeping, lease=LEASE, listen_dsn=None, stop_seconds=stop_seconds
    )


async def lease_ends(sessions: Sessions) -> datetime:
    async with sessions.begin() as session:
        ends: datetime = (await session.execute(text("SELECT until FROM leases"))).scalar_one()
        return ends


async def test_a_key_whose_release_was_lost_is_processed_again(sessions: Sessions) -> None:
    attempts: asyncio.Queue[int] = asyncio.Queue()

    async def run(claimed: leases.Claimed, owner: str) -> None:
        attempts.put_nowait(claimed.attempts)
        if claimed.attempts == 1:  # the database goes away when the key is released: the lease stays behind
            raise DatabaseUnreachable("connection lost")
        async with sessions.begin() as session:
            await leases.release(session, claimed.key, owner=owner)

    async with sessions.begin() as session:
        await inbox.request_refetch(session, "subscription:sub_1", why="test")
    task = asyncio.create_task(worker(sessions, Job(table="events", run=run, claim=inbox.claim)).run())
    try:
        async with asyncio.timeout(PATIENCE):
            assert [await attempts.get(), await attempts.get()] == [1, 2]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_claim_whose_reply_was_lost_is_repeated_and_counts_once(database: str, sessions: Sessions) -> None:
    """The server commits the claim, and the connection is cut before the worker hears of it."""
    ran: asyncio.Queue[int] = asyncio.Queue()
    claims = 0

    async with database_proxy(database) as wire:
        engine = make_engine(wire.url, pool_size=4)

        async def claim(session: Session, /, *, owner: str, lease: timedelta, limit: int) -> list[leases.Claimed]:
            nonlocal claims
            claimed = await inbox.claim(session, owner=owner, lease=lease, limit=limit)
            if claimed and not claims:
                claims = 1
                wire.stall()
                cutting.append(asyncio.create_task(cut_when_committed()))
            return claimed

        async def cut_when_committed() -> None:
            async with sessions() as session:
                while await session.scalar(text("SELECT count(*) FROM leases")) == 0:
                    await session.commit()
                    await asyncio.sleep(0.05)
            wire.disconnect()
            wire.restore()

        async def run(claimed: leases.Claimed, owner: str) -> None:
            ran.put_nowait(claimed.attempts)
            async with sessions.begin() as session:
                await session.execute(text("UPDATE events SET due_at = NULL"))
                await leases.release(session, claimed.key, owner=owner)

        cutting = list[asyncio.Task[None]]()
        async with sessions.begin() as session:
            await inbox.request_refetch(session, "subscription:sub_1", why="test")
        task = asyncio.create_task(worker(make_sessions(engine), Job(table="events", run=run, claim=claim)).run())
        try:
            async with asyncio.timeout(PATIENCE):
                assert await ran.get() == 1
        finally:
            task.cancel()
            await asyncio.gather(task, *cutting, return_exceptions=True)
            await engine.dispose()


async def test_a_key_in_progress_stays_leased_for_longer_than_one_lease(sessions: Sessions) -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    async def run(_: leases.Claimed, __: str) -> None:
        started.set()
        await finish.wait()

    async with sessions.begin() as session:
        await inbox.request_refetch(session, "subscription:sub_1", why="test")
    task = asyncio.create_task(worker(sessions, Job(table="events", run=run, claim=inbox.claim)).run())
    try:
        async with asyncio.timeout(PATIENCE):
            await started.wait()
            first = renewed = await lease_ends(sessions)
            while renewed == first:
                await asyncio.sleep(0.05)
                renewed = await lease_ends(sessions)
        assert renewed > first
    finally:
        finish.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_canceled_worker_renews_its_leases_until_its_jobs_have_ended(sessions: Sessions) -> None:
    started, finish, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(_: leases.Claimed, __: str) -> None:
        started.set()
        await finish.wait()
        finished.set()

    async with sessions.begin() as session:
        await inbox.request_refetch(session, "subscription:sub_1", why="test")
    task = asyncio.create_task(worker(sessions, Job(table="events", run=run, claim=inbox.claim)).run())
    try:
        async with asyncio.timeout(PATIENCE):
            await started.wait()
            task.cancel()
            first = await lease_ends(sessions)
            while await lease_ends(sessions) < first + 2 * LEASE:
                await asyncio.sleep(0.05)
            assert not task.done()
            finish.set()
            await asyncio.wait({task})
        assert finished.is_set()
        assert task.cancelled()
    finally:
        finish.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_job_that_takes_too_long_is_canceled_and_done_by_another_worker(sessions: Sessions) -> None:
    started: asyncio.Queue[str] = asyncio.Queue()
    done: asyncio.Queue[str] = asyncio.Queue()
    can_end = asyncio.Event()

    async def finish(_: str, *, by: str) -> None:
        started.put_nowait(by)
        await can_end.wait()
        async with sessions.begin() as session:
            await session.execute(text("UPDATE events SET due_at = NULL"))
        done.put_nowait(by)

    async def run(claimed: leases.Claimed, owner: str) -> None:
        await run_rows(sessions, "events", claimed, owner, partial(finish, by=owner))

    async with sessions.begin() as session:
        await inbox.request_refetch(session, "subscription:sub_1", why="test")
    job = Job(table="events", run=run)
    first, second = worker(sessions, job, stop_seconds=0.1), worker(sessions, job)
    stopping = asyncio.create_task(first.run())
    async with asyncio.timeout(PATIENCE):
        assert await started.get() == first.owner
        stopping.cancel()
        await asyncio.wait({stopping})
    assert stopping.cancelled()

    can_end.set()
    working = asyncio.create_task(second.run())
    try:
        async with asyncio.timeout(PATIENCE):
            assert await done.get() == second.owner
        assert done.empty()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def test_canceling_a_query_is_not_mistaken_for_a_database_outage(sessions: Sessions) -> None:
    async def query() -> None:
        async with sessions.begin() as session:
            await session.execute(text("SELECT pg_sleep(120) /* canceled */"))

    task = asyncio.create_task(query())
    async with asyncio.timeout(PATIENCE):
        while not await running(sessions, "%pg_sleep(120) /* canceled */%"):
            await asyncio.sleep(0.02)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_canceling_a_worker_in_a_query_ends_it(sessions: Sessions) -> None:
    async def claim(session: object, /, **_: object) -> list[leases.Claimed]:
        async with sessions.begin() as own:
            await own.execute(text("SELECT pg_sleep(120) /* claim */"))
        return []

    async def run(_: leases.Claimed, __: str) -> None: ...

    working = worker(sessions, Job(table="events", run=run, claim=claim))
    task = asyncio.create_task(working.run())
    working.wake()
    async with asyncio.timeout(PATIENCE):
        while not await running(sessions, "%pg_sleep(120) /* claim */%"):
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert task.cancelled()


async def test_canceling_a_worker_that_is_woken_at_that_moment_ends_it(sessions: Sessions) -> None:
    claimed = asyncio.Event()

    async def claim(_: object, /, **__: object) -> list[leases.Claimed]:
        claimed.set()
        return []

    async def run(_: leases.Claimed, __: str) -> None: ...

    idle = worker(sessions, Job(table="events", run=run, claim=claim))
    task = asyncio.create_task(idle.run())
    idle.wake()
    async with asyncio.timeout(PATIENCE):
        await claimed.wait()
        await asyncio.sleep(0.1)  # it waits for more work
    idle.wake()
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE)

    assert task.cancelled()


async def running(sessions: Sessions, query: str) -> bool:
    """Return whether the server is running a query that matches a pattern, in this test's database."""
    async with sessions.begin() as session:
        return bool(
            await session.scalar(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
                    " AND query LIKE :query AND pid <> pg_backend_pid()"
                ),
                {"query": query},
            )
        )


async def test_only_the_job_of_a_table_with_news_queries_for_work(sessions: Sessions) -> None:
    claims: asyncio.Queue[str] = asyncio.Queue()

    def job(table: str) -> Job:
        async def claim(_: object, /, **__: object) -> list[leases.Claimed]:
            claims.put_nowait(table)
            return []

        async def run(_: leases.Claimed, __: str) -> None: ...

        return Job(table=table, run=run, claim=claim)

    async def no_housekeeping() -> None: ...

    both = Worker(
        sessions,
        [job("events"), job("refunds")],
        housekeeping=no_housekeeping,
        lease=LEASE,
        listen_dsn=None,
        poll_seconds=2 * PATIENCE,
    )
    task = asyncio.create_task(both.run())
    try:
        async with asyncio.timeout(PATIENCE):
            both.wake("refunds")
            assert await claims.get() == "refunds"
            both.wake()
            assert sorted([await claims.get(), await claims.get()]) == ["events", "refunds"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
