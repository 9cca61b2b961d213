"""The door of the inbox: who arrives together shares a commit, and each is told of what became of their own event."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from app.db.entitlements import open_pool
from app.db.inbox import Arrival
from app.db.inbox_writer import InboxWriter
from app.domain.events import NotStored, RefetchRequest


def arrival(number: int, *, payload: str = "{}") -> Arrival:
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
    return Arrival(refetch, payload)


@pytest.fixture
async def pool(database: str) -> "AsyncIterator[asyncpg.Pool[asyncpg.Record]]":
    opened = await open_pool(database, size=4, pooler=False)
    yield opened
    await opened.close()


@asynccontextmanager
async def a_slow_disk(pool: "asyncpg.Pool[asyncpg.Record]") -> AsyncIterator[None]:
    """Nothing is written to the inbox within."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE")
        yield


async def test_events_that_arrive_together_share_commits_and_each_is_stored_once(
    pool: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    arrivals = InboxWriter(pool)

    new = await asyncio.gather(*(arrivals.store(arrival(n % 50)) for n in range(100)))

    assert sum(new) == 50
    stored = await pool.fetchrow("SELECT count(*) AS events, count(DISTINCT xmin::text) AS commits FROM events")
    assert stored is not None
    assert stored["events"] == 50
    assert stored["commits"] < 10


async def test_nobody_is_answered_before_their_event_is_committed(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    arrivals = InboxWriter(pool)
    async with a_slow_disk(pool):
        answers = [asyncio.create_task(arrivals.store(arrival(n))) for n in range(5)]
        done, _ = await asyncio.wait(answers, timeout=0.3)
        assert not done

    assert await asyncio.gather(*answers) == [True] * 5


async def test_an_event_that_cannot_be_kept_fails_alone(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    arrivals = InboxWriter(pool)
    some = [arrival(1), arrival(2, payload="a\x00b"), arrival(3)]

    became = await asyncio.gather(*(arrivals.store(one) for one in some), return_exceptions=True)

    assert [became[0], became[2]] == [True, True]
    assert isinstance(became[1], NotStored)
    assert await pool.fetchval("SELECT array_agg(id ORDER BY id) FROM events") == ["evt_1", "evt_3"]


async def test_when_the_database_fails_each_is_told_so_and_the_next_are_taken_in_again(
    pool: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    arrivals = InboxWriter(pool)
    await pool.execute("ALTER TABLE events RENAME TO away")
    became = await asyncio.gather(*(arrivals.store(arrival(n)) for n in range(5)), return_exceptions=True)
    assert all(isinstance(one, NotStored) for one in became)

    await pool.execute("ALTER TABLE away RENAME TO events")
    assert await arrivals.store(arrival(1))


async def test_what_would_fill_the_memory_is_sent_away(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    arrivals = InboxWriter(pool, room=1000)
    async with a_slow_disk(pool):
        answers = [asyncio.create_task(arrivals.store(arrival(n, payload="x" * 300))) for n in range(5)]
        refused, waiting = await asyncio.wait(answers, timeout=0.3)
        assert len(waiting) == 3
        assert all(isinstance(one.exception(), NotStored) for one in refused)

    await asyncio.gather(*waiting)
    assert await arrivals.store(arrival(9, payload="x" * 900))


async def test_what_still_waits_is_written_before_the_door_closes(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    arrivals = InboxWriter(pool)
    answers = [asyncio.create_task(arrivals.store(arrival(n))) for n in range(20)]
    await asyncio.sleep(0)

    await arrivals.close()

    assert await pool.fetchval("SELECT count(*) FROM events") == 20
    assert all(await asyncio.gather(*answers))


async def test_an_event_that_arrives_as_the_last_writer_rests_is_written_too(
    pool: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    arrivals = InboxWriter(pool, writers=1)

    async with asyncio.timeout(10):  # each comes in the very step in which the one before was answered
        new = [await arrivals.store(arrival(n)) for n in range(3)]

    assert new == [True, True, True]
