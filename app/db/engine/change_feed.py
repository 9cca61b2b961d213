"""
The change feed: invalidates cached entitlements when they change, so that no cached answer is stale for over a second.

A trigger on the entitlements table sends a NOTIFY for each change at commit, and one connection of each process listens.
The connection may be dead without an error, and a pooler accepts LISTEN but delivers nothing, so delivery is checked: four
times a second a *heartbeat* is sent through the other pool, to a channel of this process. PostgreSQL delivers notifications
in the order of the commits. So when a heartbeat arrives, all changes that were committed before it was sent have arrived.
Without heartbeats, cached answers are used for less than a second.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import asyncpg
import structlog

from app.db.engine.connections import CONNECT_TIMEOUT
from app.db.engine.outages import report
from app.db.engine.session import DRIVER_FAILURES

ENTITLEMENTS, REVOCATIONS = "newsstand_entitlements", "newsstand_revocations"  # channels
HEARTBEAT = 0.25  # seconds
RECONNECT_AFTER = 3.0  # seconds without a heartbeat
FIRST_BACKOFF, MAX_BACKOFF = 0.25, 10.0  # seconds before reconnecting
POLL, POLL_WITHOUT_FEED = 5.0, 0.5  # seconds between queries for revocations, in case a notification is missed
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
    """Listens for changes, and reconnects when the connection is lost."""

    def __init__(self, dsn: str, pool: "asyncpg.Pool[asyncpg.Record]", cache: Cache) -> None:
        self._dsn, self._pool, self._cache = dsn, pool, cache
        self._heartbeat_channel = f"newsstand_beat_{secrets.token_hex(8)}"
        self._sent_at: dict[str, float] = {}  # by heartbeat
        self._confirmed_until = float("-inf")
        self._revocations = 0
        self._revoked = asyncio.Event()
        self._is_released = False

    async def run(self) -> None:
        """Listen until canceled."""
        backoff = FIRST_BACKOFF
        while True:
            started_at = time.monotonic()
            try:
                await self._listen()
            except DRIVER_FAILURES as error:
                report("change_feed_disconnected", error)
            worked = self._confirmed_until > started_at
            backoff = FIRST_BACKOFF if worked else min(backoff * 2, MAX_BACKOFF)
            await asyncio.sleep(backoff)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=CONNECT_TIMEOUT, command_timeout=CONNECT_TIMEOUT)
        closed = asyncio.Event()
        connection.add_termination_listener(lambda *_: closed.set())
        try:
            self._sent_at.clear()
            await connection.add_listener(ENTITLEMENTS, lambda *args: self._cache.invalidate(str(args[3])))
            await connection.add_listener(REVOCATIONS, lambda *_: self._on_revocation())
            await connection.add_listener(self._heartbeat_channel, lambda *args: self._on_heartbeat(str(args[3])))
            self._cache.clear()  # changes were missed while nothing listened
            self._on_revocation()
            await self._send_heartbeats(closed)
        finally:
            with contextlib.suppress(*DRIVER_FAILURES):
                await connection.close(timeout=1)

    async def _send_heartbeats(self, closed: asyncio.Event) -> None:
        started_at, number = time.monotonic(), 0
        while not closed.is_set():
            number += 1
            self._sent_at[str(number)] = time.monotonic()
            try:
                await self._pool.execute("SELECT pg_notify($1, $2)", self._heartbeat_channel, str(number), timeout=1)
            except DRIVER_FAILURES as error:
                report("change_feed_heartbeat_not_sent", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):  # asyncio.wait_for may swallow a cancellation before Python 3.12
                    await closed.wait()
            if time.monotonic() - max(started_at, self._confirmed_until) > RECONNECT_AFTER:
                log.warning("change_feed_silent")
                return

    def _on_heartbeat(self, number: str) -> None:
        sent_at = self._sent_at.pop(number, None)
        if sent_at is not None and sent_at > self._confirmed_until:
            self._confirmed_until = sent_at
            self._cache.confirm(sent_at)

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
                poll = POLL if now - self._confirmed_until < RECONNECT_AFTER else POLL_WITHOUT_FEED
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(poll, deadline - now)):
                        await self._revoked.wait()
            seen = self._revocations
            return True

        return wait
