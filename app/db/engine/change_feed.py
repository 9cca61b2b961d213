"""
ChangeFeed of changes: what lets a process remember answers, and still never be wrong for more than a second.

The entitlements table tells each change at commit (a trigger, NOTIFY), and one connection of each process listens. Whether
it really hears is not taken for granted, since a connection can be dead without anybody knowing, and a pooler accepts a
LISTEN and delivers nothing. So a *beat* is sent through the other pool four times a second, to a channel of our own.
PostgreSQL delivers notices in the order of the commits: when a beat comes back, everything that was committed before it
was sent has come too. :attr:`ChangeFeed.until` is when the last beat that came back was sent; without beats nothing is
remembered for longer than a second, and nothing else happens.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import asyncpg
import structlog

from app.db.engine.session import DRIVER_FAILURES

ENTITLEMENTS, REVOCATIONS = "newsstand_entitlements", "newsstand_revocations"
BEAT = 0.25  # seconds
DEAF_AFTER = 3.0  # seconds without a beat that came back: then the connection is made anew
RETRY, LONGEST_RETRY = 0.25, 10.0  # seconds before it is
PATIENCE = 5.0  # seconds to connect
LOOK_AGAIN, LOOK_AGAIN_DEAF = 5.0, 0.5  # seconds between looks of who waits for news, in case none is heard
log = structlog.get_logger()


class Memory(Protocol):
    """What has to be told."""

    def invalidate(self, sub: str) -> None:
        """Something of this reader has changed."""

    def clear(self) -> None:
        """Something may have changed that was not heard."""

    def confirm(self, until: float) -> None:
        """Every change that was committed until then, in monotonic seconds, was told."""


class ChangeFeed:
    """Listens for as long as it runs, whatever happens to the connection."""

    def __init__(self, dsn: str, pool: "asyncpg.Pool[asyncpg.Record]", memory: Memory) -> None:
        self._dsn, self._pool, self._memory = dsn, pool, memory
        self._own = f"newsstand_beat_{secrets.token_hex(8)}"
        self._sent: dict[str, float] = {}
        self._revocations = 0
        self._news = asyncio.Event()
        self.until = float("-inf")

    async def run(self) -> None:
        """Listen until cancelled."""
        pause = RETRY
        while True:
            begun = time.monotonic()
            try:
                await self._listen()
            except DRIVER_FAILURES as failure:
                log.warning("hearing_nothing", error=type(failure).__name__)
            was_heard = self.until > begun
            pause = RETRY if was_heard else min(pause * 2, LONGEST_RETRY)
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=PATIENCE, command_timeout=PATIENCE)
        lost = asyncio.Event()
        connection.add_termination_listener(lambda *_: lost.set())
        try:
            self._sent.clear()
            await connection.add_listener(ENTITLEMENTS, lambda *told: self._memory.invalidate(str(told[3])))
            await connection.add_listener(REVOCATIONS, lambda *_: self._revoked())
            await connection.add_listener(self._own, lambda *told: self._came_back(str(told[3])))
            self._memory.clear()  # nobody knows what was told while nobody listened
            self._revoked()
            await self._beat(lost)
        finally:
            with contextlib.suppress(*DRIVER_FAILURES):
                await connection.close(timeout=1)

    async def _beat(self, lost: asyncio.Event) -> None:
        begun, number = time.monotonic(), 0
        while not lost.is_set():
            number += 1
            self._sent[str(number)] = time.monotonic()
            try:
                await self._pool.execute("SELECT pg_notify($1, $2)", self._own, str(number), timeout=1)
            except DRIVER_FAILURES as failure:
                log.warning("beat_not_sent", error=type(failure).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lost.wait(), BEAT)
            if time.monotonic() - max(begun, self.until) > DEAF_AFTER:
                log.warning("listening_hears_nothing")
                return

    def _came_back(self, number: str) -> None:
        sent = self._sent.pop(number, None)
        if sent is not None and sent > self.until:
            self.until = sent
            self._memory.confirm(sent)

    def _revoked(self) -> None:
        self._revocations += 1
        news, self._news = self._news, asyncio.Event()
        news.set()

    def news(self, seconds: float) -> Callable[[], Awaitable[bool]]:
        """Return what waits for a revocation, for at most so long in all; it tells whether to look again."""
        until, seen = time.monotonic() + seconds, self._revocations

        async def wait() -> bool:
            nonlocal seen
            now = time.monotonic()
            if now >= until:
                return False
            if seen == self._revocations:
                often = LOOK_AGAIN if now - self.until < DEAF_AFTER else LOOK_AGAIN_DEAF
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), min(often, until - now))
            seen = self._revocations
            return True

        return wait
