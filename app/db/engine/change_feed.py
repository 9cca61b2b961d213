"""
The change feed: invalidates cached entitlements when they change, so that no cached answer is stale for over a second.

Four times a second, the feed of each process reads which rows were changed by transactions that have committed since it last
read. That is exact, in whichever order transactions commit: each row names the transaction that changed it, and PostgreSQL
knows which transactions a snapshot sees. So when a read returns, all changes committed before it began are known, and
cached rows are confirmed up to then. Without such reads, cached answers are used for less than a second.

Notifications only make it faster. They are sent after the commit, because a NOTIFY inside a transaction makes the commits of
all others wait. If one is lost, because its sender was killed for example, the next read finds the change.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

import asyncpg
import structlog

from app.db.engine import connections
from app.db.engine.outages import report
from app.db.engine.session import DRIVER_FAILURES

ENTITLEMENTS, REVOCATIONS = "newsstand_entitlements", "newsstand_revocations"  # channels
READ_EVERY = 0.25  # seconds
READ_TIMEOUT = 3.0  # seconds, after which the feed reconnects
MAX_CHANGES = 10_000  # in one read; if there are more, the whole cache is cleared
FIRST_BACKOFF, MAX_BACKOFF = 0.25, 10.0  # seconds before reconnecting
POLL, POLL_WITHOUT_FEED = 5.0, 0.5  # seconds between queries for revocations, in case a notification is missed
# The upper bound leaves out the transactions of another server, whose dump was restored.
_READ = """
WITH changed AS (
    SELECT sub FROM entitlements
    WHERE changed_in >= pg_snapshot_xmin($1::text::pg_snapshot)::text::bigint
      AND changed_in < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
      AND NOT pg_visible_in_snapshot(changed_in::text::xid8, $1::text::pg_snapshot)
    LIMIT $2)
SELECT pg_current_snapshot()::text AS snapshot, pg_postmaster_start_time() AS server_started_at,
       ARRAY(SELECT sub FROM changed) AS subs,
       EXISTS (SELECT FROM pending_revocations) AS is_revocation_pending,
       (SELECT max(id) FROM revocations) AS last_revocation
"""
_REPEAT = "SELECT pg_notify($1, sub) FROM unnest($2::text[]) AS changed (sub)"
log = structlog.get_logger()


class Cache(Protocol):
    """A cache that the feed invalidates."""

    def invalidate(self, sub: str) -> None:
        """Forget a subscriber whose entitlements changed."""

    def clear(self) -> None:
        """Trust no value anymore, because changes may have been missed."""

    def confirm(self, until: float) -> None:
        """Record that all changes before a time, in monotonic seconds, were received."""


class ChangeFeed:
    """Reads changes and listens for them, and reconnects when the connection is lost."""

    def __init__(
        self, dsn: str, pool: "asyncpg.Pool[asyncpg.Record]", cache: Cache, *, name: str | None = None
    ) -> None:
        """:param name: of the connection: see :mod:`app.db.engine.connection_budget`."""
        self._dsn, self._pool, self._cache, self._name = dsn, pool, cache, name
        self._snapshot: str | None = None  # of the last read
        self._server_started_at: datetime | None = None  # another time: another server, or a restarted one
        self._last_revocation: int | None = None
        self._announced: set[str] = set()  # since the last read
        self._unannounced: set[str] = set()  # found by the last read
        self._confirmed_until = float("-inf")
        self._revocations = 0
        self._revoked = asyncio.Event()
        self._is_released = False

    async def run(self) -> None:
        """Follow changes until canceled."""
        backoff = FIRST_BACKOFF
        while True:
            started_at = time.monotonic()
            try:
                await self._follow()
            except DRIVER_FAILURES as error:
                report("change_feed_disconnected", error)
            worked = self._confirmed_until > started_at
            backoff = FIRST_BACKOFF if worked else min(backoff * 2, MAX_BACKOFF)
            await asyncio.sleep(backoff)

    async def _follow(self) -> None:
        connection = await connections.connect(self._dsn, name=self._name)
        closed = asyncio.Event()
        connection.add_termination_listener(lambda *_: closed.set())
        try:
            self._snapshot, self._server_started_at = None, None
            await connection.add_listener(ENTITLEMENTS, lambda *args: self._on_announcement(str(args[3])))
            await connection.add_listener(REVOCATIONS, lambda *_: self._on_revocation())
            while not closed.is_set():
                await self._read(connection)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(READ_EVERY):  # wait_for may swallow a cancellation before Python 3.12
                        await closed.wait()
        finally:
            connection.terminate()  # closing it would wait for a server that may not answer

    async def _read(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Read what was committed since the last read. A server that does not answer loses the connection."""
        began_at = time.monotonic()
        timer = asyncio.get_running_loop().call_later(READ_TIMEOUT, connection.terminate)
        try:
            found = await connection.fetchrow(_READ, self._snapshot, MAX_CHANGES + 1)
        finally:
            timer.cancel()
        assert found is not None
        if found["server_started_at"] != self._server_started_at or len(found["subs"]) > MAX_CHANGES:
            # The first read, or transactions of another server, which may have lost some of those seen before.
            self._cache.clear()
            self._on_revocation()
        else:
            for sub in found["subs"]:
                self._cache.invalidate(sub)
            if found["is_revocation_pending"] or found["last_revocation"] != self._last_revocation:
                self._on_revocation()
            await self._repeat(set(found["subs"]))
        self._snapshot, self._server_started_at = found["snapshot"], found["server_started_at"]
        self._last_revocation = found["last_revocation"]
        self._confirmed_until = began_at
        self._cache.confirm(began_at)

    async def _repeat(self, found: set[str]) -> None:
        """
        Announce changes that the read before this one found, and nobody has announced: their writer was killed.

        Processes of the release before this one depend on announcements. The next release doesn't need this.
        """
        missing = self._unannounced - self._announced
        self._unannounced, self._announced = found - self._announced, set()
        if missing:
            with contextlib.suppress(*DRIVER_FAILURES):
                await self._pool.execute(_REPEAT, ENTITLEMENTS, sorted(missing), timeout=1)

    def _on_announcement(self, sub: str) -> None:
        self._announced.add(sub)
        self._cache.invalidate(sub)

    def _on_revocation(self) -> None:
        self._revocations += 1
        revoked, self._revoked = self._revoked, asyncio.Event()
        revoked.set()

    def release_waiters(self) -> None:
        """End all waits for revocations, now and later: the process is about to stop."""
        self._is_released = True
        self._on_revocation()

    def revocation_waiter(self, seconds: float) -> Callable[[], Awaitable[bool]]:
        """
        Return a function that waits for a revocation.

        It returns True when the caller should look for revocations, and False once ``seconds`` have passed in all, or
        when all waits are ended.
        """
        deadline, seen = time.monotonic() + seconds, self._revocations

        async def wait() -> bool:
            nonlocal seen
            now = time.monotonic()
            if self._is_released or now >= deadline:
                return False
            if seen == self._revocations:
                poll = POLL if now - self._confirmed_until < READ_TIMEOUT else POLL_WITHOUT_FEED
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(poll, deadline - now)):
                        await self._revoked.wait()
            seen = self._revocations
            return True

        return wait
