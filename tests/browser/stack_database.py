"""The database of the running demo."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import httpx2

from app.db.engine import embedded, schema
from app.db.engine.dsn import DATABASE
from demo.stack import STRIPE_KEY, Stack
from tests.support.timeouts import TIMEOUT

_UNFINISHED = """SELECT EXISTS (SELECT FROM events WHERE due_at IS NOT NULL)
    OR EXISTS (SELECT FROM leases WHERE until > now())"""


def execute_sql(shop: Stack, statement: str) -> None:
    """
    Execute a statement in the database of the stack, once neither Stripe nor the worker has an event that could undo it.

    It runs in a thread, since Playwright has an event loop in this one.
    """

    async def execute() -> None:
        dsn = await schema.create_database(await asyncio.to_thread(embedded.ensure, shop.folder), DATABASE)
        connection = await asyncpg.connect(dsn)
        await _wait_until_idle(shop, connection)
        await connection.execute(statement)
        await connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, execute()).result()


async def _wait_until_idle(shop: Stack, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until all events are delivered and applied. That can cause new ones, so repeat until none was sent meanwhile."""
    key, sent = {"Authorization": f"Bearer {STRIPE_KEY}"}, -1
    async with (
        asyncio.timeout(TIMEOUT),
        httpx2.AsyncClient(base_url=shop.sandbox, headers=key, timeout=TIMEOUT, trust_env=False) as stripe,
    ):

        async def wait_for_deliveries() -> int:
            answer = await stripe.get("/_sandbox/idle", params={"timeout": "60"})
            return int(answer.raise_for_status().json()["planned"])

        while sent != (sent := await wait_for_deliveries()):
            while await connection.fetchval(_UNFINISHED):
                await asyncio.sleep(0.05)
