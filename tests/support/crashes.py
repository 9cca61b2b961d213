"""Kill the service with SIGKILL at a given step, and start it again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable

import asyncpg
import httpx2

from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT


async def wait_until_hit(shop: Shop, fault: str) -> None:
    """Wait until a call has triggered a fault."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            faults = (await shop.stripe.get("/_sandbox/faults")).json()["data"]
            if any(one["id"] == fault and one["hits"] for one in faults):
                return
            await asyncio.sleep(0.02)


async def kill_and_restart(shop: Shop, fault: str | None = None, *, click: Awaitable[object] | None = None) -> None:
    """
    Kill the service and start it again.

    :param fault: wait until a call is held by this fault, and remove the fault before the restart.
    :param click: a request in process, which gets no response.
    """
    assert shop.process is not None
    if fault is not None:
        await wait_until_hit(shop, fault)
    shop.process.kill()
    if click is not None:
        with contextlib.suppress(httpx2.TransportError):
            await click
    if fault is not None:
        await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.process.start()


async def wait_until_blocked(shop: Shop, by: int) -> None:
    """Wait until a transaction waits for the one of a connection, which is named by the ID of its server process."""
    await shop.wait_until(f"SELECT count(*) > 0 FROM pg_stat_activity WHERE {by} = ANY(pg_blocking_pids(pid))")


class Recording:
    """Rows that are locked, so that nothing can be recorded about them."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def wait_until_tried(self, shop: Shop) -> None:
        """Wait until the service tries to record something about the rows."""
        await wait_until_blocked(shop, self._connection.get_server_pid())


@contextlib.asynccontextmanager
async def held_recording(shop: Shop, table: str) -> AsyncIterator[Recording]:
    """Lock all rows of a table, so that a kill can come exactly before the service records what it did."""
    connection = await asyncpg.connect(shop.dsn)
    try:
        async with connection.transaction():
            await connection.execute(f"SELECT FROM {table} FOR UPDATE")
            yield Recording(connection)
    finally:
        await connection.close()
