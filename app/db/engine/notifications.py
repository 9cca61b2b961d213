"""
Waking workers: NOTIFY for those in other processes, an event for the one in ours.

NOTIFY at commit makes commits queue behind one another, so accepting an event does not carry one: a notice is sent by
itself a moment later, for all that came meanwhile. If it is lost, the workers' own clock finds the work.
"""

import asyncio
from collections.abc import Callable

import asyncpg
import structlog

from app.db.engine.leases import CHANNEL
from app.db.engine.session import DRIVER_FAILURES

GATHER = 0.01  # seconds in which arrivals share one notice
RETRY = 1.0  # seconds before the listening connection is tried again
log = structlog.get_logger()


class Notifier:
    """Sends notices, at most one each hundredth of a second."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._task: asyncio.Task[None] | None = None

    def send(self) -> None:
        """Have workers woken soon. Never waits, never fails."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        await asyncio.sleep(GATHER)
        try:
            await self._pool.execute("SELECT pg_notify($1, '')", CHANNEL)
        except DRIVER_FAILURES as failure:
            log.warning("notice_lost", error=type(failure).__name__)

    async def close(self) -> None:
        """Let the last notice go."""
        if self._task is not None:
            await self._task


async def listen(dsn: str, woken: Callable[[], None]) -> None:
    """Call ``woken`` for each notice, until cancelled; a lost connection is opened again."""
    while True:
        try:
            connection = await asyncpg.connect(dsn)
            lost = asyncio.Event()
            connection.add_termination_listener(lambda *_, lost=lost: lost.set())
            try:
                await connection.add_listener(CHANNEL, lambda *_: woken())
                woken()  # something may have come while nobody listened
                await lost.wait()
            finally:
                if not connection.is_closed():
                    await connection.close(timeout=2)
        except Exception as failure:  # whatever it is, a worker that hears nothing still has its clock
            log.warning("listening_again", error=type(failure).__name__)
        await asyncio.sleep(RETRY)
