"""Every committed change reaches every process within a second: in any order of commits, announced or not."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from app.db import revocations, subscribers
from app.db.engine.change_feed import ENTITLEMENTS, MAX_CHANGES, ChangeFeed
from app.db.engine.pool import open_pool
from app.db.engine.session import Sessions
from tests.operations.processes import ROOT
from tests.support.timeouts import TIMEOUT

SAVE = "UPDATE entitlements SET version = version + 1, changed_in = pg_current_xact_id()::text::bigint WHERE sub = $1"
SAVE_AS_BEFORE = (
    "UPDATE entitlements SET version = version + 1 WHERE sub = $1"  # the release before sets no transaction
)
# The writer is killed at the moment when it would send its notifications.
KILLED_WRITER = """
import asyncio, os, signal, sys
from app.db import grants, revocations, subscribers
from app.db.engine.session import make_engine, make_sessions
from app.domain.entitlements import EntitlementSet

async def write():
    sessions = make_sessions(make_engine(sys.argv[1]), send=lambda _: os.kill(os.getpid(), signal.SIGKILL))
    async with sessions.begin() as session:
        reader = await subscribers.by_sub(session, "ada")
        await grants.save_entitlement(session, reader, EntitlementSet(otherwise="refunded"))
        await revocations.add(session, "ada", 2)

asyncio.run(write())
"""


class RecordingCache:
    """Records what the feed tells a cache."""

    def __init__(self) -> None:
        self.invalidated: list[str] = []
        self.cleared, self.confirmed_until = 0, float("-inf")
        self.confirmations = 0

    def invalidate(self, sub: str) -> None:
        self.invalidated.append(sub)

    def clear(self) -> None:
        self.cleared += 1
        self.invalidated.clear()

    def confirm(self, until: float) -> None:
        assert until >= self.confirmed_until
        self.confirmed_until = until
        self.confirmations += 1

    async def reads(self, number: int = 2) -> None:
        """Wait for complete reads: with two, one began after this call."""
        enough = self.confirmations + number
        async with asyncio.timeout(TIMEOUT):
            while self.confirmations < enough:
                await asyncio.sleep(0.01)


class Followed:
    """A database with readers and a feed that follows it."""

    def __init__(self, dsn: str, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.dsn, self.pool, self.cache = dsn, pool, RecordingCache()
        self.feed = ChangeFeed(dsn, pool, self.cache)

    @asynccontextmanager
    async def connection(self) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
        made = await asyncpg.connect(self.dsn)
        try:
            yield made
        finally:
            await made.close()


@pytest.fixture
async def followed(database: str) -> AsyncIterator[Followed]:
    pool = await open_pool(database, size=2, pooler=False)
    for sub in ("ada", "bob"):
        await pool.execute("INSERT INTO subscribers (id, sub) VALUES ($1, $1)", sub)
        await pool.execute(
            "INSERT INTO entitlements (sub, subscriber_id, version, access)"
            """ VALUES ($1, $1, 1, '{"otherwise": "ended", "features": {}}')""",
            sub,
        )
    made = Followed(database, pool)
    running = asyncio.create_task(made.feed.run())
    await made.cache.reads()
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await pool.close()


async def kill_writer(dsn: str) -> None:
    """Change ada's access and revoke her tokens, in a process that is killed between its commit and its notification."""
    command = [sys.executable, "-c", KILLED_WRITER, dsn]
    ended = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, env=os.environ, timeout=TIMEOUT, check=False)
    assert ended.returncode == -9


async def test_a_change_is_found_although_its_writer_was_killed_before_it_notified(followed: Followed) -> None:
    await kill_writer(followed.dsn)

    await followed.cache.reads()

    assert set(followed.cache.invalidated) == {"ada"}


async def test_a_revocation_is_published_although_its_writer_was_killed(followed: Followed, sessions: Sessions) -> None:
    wait = followed.feed.revocation_waiter(TIMEOUT)
    await kill_writer(followed.dsn)

    async with asyncio.timeout(TIMEOUT):
        assert await wait(), "the feed wakes who waits for revocations"
    async with sessions.begin() as session:
        await revocations.publish(session)
    async with sessions.begin() as session:
        found = await revocations.after(session, 0, limit=10)

    assert [(one.sub, one.version) for one in found] == [("ada", 2)]


async def test_the_feed_announces_what_a_killed_writer_did_not(followed: Followed) -> None:
    announced: asyncio.Queue[str] = asyncio.Queue()
    async with followed.connection() as listening:
        await listening.add_listener(ENTITLEMENTS, lambda *args: announced.put_nowait(str(args[3])))
        await kill_writer(followed.dsn)

        async with asyncio.timeout(TIMEOUT):
            assert await announced.get() == "ada"


async def test_a_change_is_found_in_whichever_order_transactions_commit(followed: Followed) -> None:
    async with followed.connection() as first, followed.connection() as second:
        earlier, later = first.transaction(), second.transaction()
        await earlier.start()
        await first.execute(SAVE, "ada")
        await later.start()
        await second.execute(SAVE, "bob")
        await later.commit()
        await followed.cache.reads()
        assert set(followed.cache.invalidated) == {"bob"}

        await earlier.commit()
        await followed.cache.reads()
        assert set(followed.cache.invalidated) == {"bob", "ada"}
        await followed.cache.reads()  # the feed has announced both
        followed.cache.invalidated.clear()

        rolled_back = first.transaction()
        await rolled_back.start()
        await first.execute(SAVE, "bob")
        await rolled_back.rollback()
        await followed.cache.reads()
    assert followed.cache.invalidated == [], "no change is read again, and none without a commit"


@pytest.mark.parametrize("deletes", [False, True])
async def test_writers_of_the_release_before_notify_in_their_transaction(followed: Followed, *, deletes: bool) -> None:
    announced: asyncio.Queue[str] = asyncio.Queue()
    async with followed.connection() as listening, followed.connection() as writer:
        await listening.add_listener(ENTITLEMENTS, lambda *args: announced.put_nowait(str(args[3])))

        await writer.execute("DELETE FROM entitlements WHERE sub = $1" if deletes else SAVE_AS_BEFORE, "ada")

        async with asyncio.timeout(TIMEOUT):
            assert await announced.get() == "ada"
    await followed.cache.reads()
    assert set(followed.cache.invalidated) == {"ada"}


async def test_a_change_of_too_many_rows_clears_the_cache(followed: Followed) -> None:
    cleared = followed.cache.cleared
    async with followed.connection() as writer, writer.transaction():
        await writer.execute(
            "INSERT INTO subscribers (id, sub) SELECT 'r' || n, 'r' || n FROM generate_series(0, $1::int) n",
            MAX_CHANGES,
        )
        await writer.execute(
            """INSERT INTO entitlements (sub, subscriber_id, version, access, changed_in)
            SELECT id, id, 1, '{}', pg_current_xact_id()::text::bigint FROM subscribers WHERE id LIKE 'r%'"""
        )

    await followed.cache.reads()

    assert followed.cache.cleared == cleared + 1


async def test_transactions_of_a_restored_dump_are_not_read_again_and_again(followed: Followed) -> None:
    async with followed.connection() as writer, writer.transaction():
        await writer.execute("ALTER TABLE entitlements DISABLE TRIGGER USER")
        await writer.execute("UPDATE entitlements SET changed_in = 9000000000000000 WHERE sub = 'ada'")
        await writer.execute("ALTER TABLE entitlements ENABLE TRIGGER USER")

    await followed.cache.reads(3)

    assert followed.cache.invalidated == []


async def test_a_client_that_sleeps_after_a_revocation_delays_no_other(followed: Followed, sessions: Sessions) -> None:
    async with sessions() as sleeping, sleeping.begin():
        await revocations.add(sleeping, "ada", 2)
        async with asyncio.timeout(TIMEOUT):
            async with sessions.begin() as session:
                await revocations.add(session, "bob", 3)
            async with sessions.begin() as session:
                await revocations.publish(session)
        async with sessions.begin() as session:
            assert [one.sub for one in await revocations.after(session, 0, limit=10)] == ["bob"]
    async with sessions.begin() as session:
        await revocations.publish(session)
    async with sessions.begin() as session:
        assert [one.sub for one in await revocations.after(session, 0, limit=10)] == ["bob", "ada"]
        assert await subscribers.by_sub(session, "ada") is not None
