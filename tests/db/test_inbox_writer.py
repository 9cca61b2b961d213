"""Accepting events: those that arrive together share a commit, and each caller learns the outcome of its own event."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.db.engine.pool import open_pool
from app.db.inbox_writer import InboxWriter, ReceivedEvent
from app.domain.events import EventNotStored, RefetchRequest
from tests.support.timeouts import TIMEOUT


def event(number: int, *, payload: str = "{}") -> ReceivedEvent:
    refetch = RefetchRequest(
        event_id=f"evt_{number}",
        type="invoice.paid",
        api_version=None,
        livemode=False,
        object_id="in_1",
        created_at=None,
        key="subscription:sub_1",
        ignored=None,
    )
    return ReceivedEvent(refetch, payload)


@pytest.fixture
async def pool(database: str) -> "AsyncIterator[asyncpg.Pool[asyncpg.Record]]":
    opened = await open_pool(database, size=4, pooler=False)
    yield opened
    await opened.close()


@asynccontextmanager
async def blocked_inbox(pool: "asyncpg.Pool[asyncpg.Record]") -> AsyncIterator[None]:
    """Block writes to the inbox within the block."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE")
        yield


async def test_concurrent_events_share_commits_and_each_is_stored_once(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    writer = InboxWriter(pool)

    new = await asyncio.gather(*(writer.store(event(n % 50)) for n in range(100)))

    assert sum(new) == 50
    stored = await pool.fetchrow("SELECT count(*) AS events, count(DISTINCT xmin::text) AS commits FROM events")
    assert stored is not None
    assert stored["events"] == 50
    assert stored["commits"] < 10


async def test_no_caller_gets_an_answer_before_the_commit(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    writer = InboxWriter(pool)
    async with blocked_inbox(pool):
        answers = [asyncio.create_task(writer.store(event(n))) for n in range(5)]
        done, _ = await asyncio.wait(answers, timeout=0.3)
        assert not done

    assert await asyncio.gather(*answers) == [True] * 5


async def test_an_event_that_cannot_be_stored_fails_alone(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    writer = InboxWriter(pool)
    events = [event(1), event(2, payload="a\x00b"), event(3)]

    results = await asyncio.gather(*(writer.store(one) for one in events), return_exceptions=True)

    assert [results[0], results[2]] == [True, True]
    assert isinstance(results[1], EventNotStored)
    assert await pool.fetchval("SELECT array_agg(id ORDER BY id) FROM events") == ["evt_1", "evt_3"]


async def test_a_database_error_fails_the_waiting_events_only(
    pool: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    writer = InboxWriter(pool)
    await pool.execute("ALTER TABLE events RENAME TO away")
    results = await asyncio.gather(*(writer.store(event(n)) for n in range(5)), return_exceptions=True)
    assert all(isinstance(one, EventNotStored) for one in results)

    await pool.execute("ALTER TABLE away RENAME TO events")
    assert await writer.store(event(1))


async def test_events_beyond_the_memory_limit_are_refused(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    writer = InboxWriter(pool, max_pending_bytes=1000)
    async with blocked_inbox(pool):
        answers = [asyncio.create_task(writer.store(event(n, payload="x" * 300))) for n in range(5)]
        refused, waiting = await asyncio.wait(answers, timeout=0.3)
        assert len(waiting) == 3
        assert all(isinstance(one.exception(), EventNotStored) for one in refused)

    await asyncio.gather(*waiting)
    assert await writer.store(event(9, payload="x" * 900))


async def test_closing_writes_the_events_that_still_wait(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    writer = InboxWriter(pool)
    answers = [asyncio.create_task(writer.store(event(n))) for n in range(20)]
    await asyncio.sleep(0)

    await writer.close()

    assert await pool.fetchval("SELECT count(*) FROM events") == 20
    assert all(await asyncio.gather(*answers))


async def test_an_event_is_written_if_it_arrives_as_the_last_batch_ends(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    writer = InboxWriter(pool, concurrency=1)

    async with asyncio.timeout(TIMEOUT):  # each arrives in the step in which the one before is answered
        new = [await writer.store(event(n)) for n in range(3)]

    assert new == [True, True, True]
