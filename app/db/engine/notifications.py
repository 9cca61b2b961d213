"""
Wake other processes with NOTIFY.

NOTIFY makes commits wait for one another, so no transaction that writes sends one. The notifications of all transactions of
a moment are sent together, after their commits. If they are lost, because the process is killed for example, workers find
the work when they poll, and the change feed finds the changes (see :mod:`app.db.engine.change_feed`).
"""

import asyncio
from collections.abc import Callable, Collection
from contextvars import Context

import asyncpg
import structlog

from app.db.engine import connections
from app.db.engine.change_feed import ENTITLEMENTS, REVOCATIONS
from app.db.engine.leases import CHANNEL
from app.db.engine.outages import report
from app.db.engine.session import DRIVER_FAILURES, Notification

DELAY = 0.01  # seconds in which transactions share one statement
RECONNECT_DELAY = 1.0  # seconds
PUBLISH_REVOCATIONS = "SELECT publish_revocations()"
_NOTIFY = "SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS pending (channel, payload)"
log = structlog.get_logger()


class Notifier:
    """Sends the notifications of committed transactions, at most one statement every :data:`DELAY`."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._pending: set[Notification] = set()
        self._task: asyncio.Task[None] | None = None
        self._followers: list[Callable[[str], None]] = []

    def follow_entitlements(self, follower: Callable[[str], None]) -> None:
        """
        Call a function with each ``sub`` whose entitlements this process has changed, right after the commit.

        So a process that answers a request that changes access knows it at once; others know it when they are notified.
        """
        self._followers.append(follower)

    def wake_workers(self) -> None:
        """Wake the workers for new events soon. It neither waits nor fails."""
        self.send({(CHANNEL, "events")})

    def send(self, notifications: Collection[Notification]) -> None:
        """Send notifications soon. It neither waits nor fails."""
        for channel, payload in notifications:
            if channel == ENTITLEMENTS:
                for follower in self._followers:
                    follower(payload)
        self._pending.update(notifications)
        if self._task is None or self._task.done():
            # It sends for every request of the moment, so it belongs to none: not to the one that happened to start it.
            self._task = asyncio.create_task(self._send(), context=Context())

    async def _send(self) -> None:
        while self._pending:
            await asyncio.sleep(DELAY)
            pending, self._pending = sorted(self._pending), set()
            try:
                if any(channel == REVOCATIONS for channel, _ in pending):
                    await self._pool.execute(PUBLISH_REVOCATIONS)
                await self._pool.execute(_NOTIFY, [one[0] for one in pending], [one[1] for one in pending])
            except DRIVER_FAILURES as error:
                report("notification_not_sent", error)

    async def close(self) -> None:
        """Wait until the last notification is sent."""
        if self._task is not None:
            await self._task


async def listen(dsn: str, on_notification: Callable[[str], None], *, name: str | None = None) -> None:
    """
    Call a function for each notification until canceled, with the table of the due rows, or "" for any table.

    Reconnect if the connection is lost.

    :param name: of the connection: see :mod:`app.db.engine.connection_budget`.
    """
    while True:
        try:
            connection = await connections.connect(dsn, name=name)
            closed = asyncio.Event()
            connection.add_termination_listener(lambda *_, closed=closed: closed.set())
            try:
                await connection.add_listener(CHANNEL, lambda *args: on_notification(str(args[3])))
                on_notification("")  # work may have arrived while nothing listened
                await closed.wait()
            finally:
                connection.terminate()  # closing it would wait for a server that may not answer
        except Exception as error:  # a worker that gets no notifications still polls
            report("notifications_disconnected", error)
        await asyncio.sleep(RECONNECT_DELAY)
