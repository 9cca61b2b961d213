"""
Wake workers: with NOTIFY in other processes, with an event in this one.

NOTIFY makes commits wait for one another, so accepting an event does not send one. A notification is sent a moment later,
for all events that arrived in the meantime. If it is lost, workers find the work when they poll.
"""

import asyncio
from collections.abc import Callable

import asyncpg
import structlog

from app.db.engine.connections import CONNECT_TIMEOUT
from app.db.engine.leases import CHANNEL
from app.db.engine.outages import report
from app.db.engine.session import DRIVER_FAILURES

DELAY = 0.01  # seconds in which events share one notification
RECONNECT_DELAY = 1.0  # seconds
log = structlog.get_logger()


class Notifier:
    """Sends notifications of new events, at most one every :data:`DELAY`."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._task: asyncio.Task[None] | None = None

    def send(self) -> None:
        """Wake the workers soon. It neither waits nor fails."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        await asyncio.sleep(DELAY)
        try:
            await self._pool.execute("SELECT pg_notify($1, 'events')", CHANNEL)
        except DRIVER_FAILURES as error:
            report("notification_not_sent", error)

    async def close(self) -> None:
        """Wait until the last notification is sent."""
        if self._task is not None:
            await self._task


async def listen(dsn: str, on_notification: Callable[[str], None]) -> None:
    """
    Call a function for each notification until canceled, with the table of the due rows, or "" for any table.

    Reconnect if the connection is lost.
    """
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT)
            closed = asyncio.Event()
            connection.add_termination_listener(lambda *_, closed=closed: closed.set())
            try:
                await connection.add_listener(CHANNEL, lambda *args: on_notification(str(args[3])))
                on_notification("")  # work may have arrived while nothing listened
                await closed.wait()
            finally:
                if not connection.is_closed():
                    await connection.close(timeout=2)
        except Exception as error:  # a worker that gets no notifications still polls
            report("notifications_disconnected", error)
        await asyncio.sleep(RECONNECT_DELAY)
