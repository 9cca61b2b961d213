"""The database of the running demo."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import asyncpg

from app.db.engine import embedded, schema
from app.db.engine.dsn import DATABASE
from demo.stack import Stack


def execute_sql(shop: Stack, statement: str) -> None:
    """
    Execute a statement in the database of the stack, once the worker has no pending events that could undo it.

    It runs in a thread, since Playwright has an event loop in this one.
    """

    async def execute() -> None:
        dsn = await schema.create_database(await asyncio.to_thread(embedded.ensure, shop.folder), DATABASE)
        connection = await asyncpg.connect(dsn)
        async with asyncio.timeout(30):
            while await connection.fetchval("SELECT EXISTS (SELECT FROM events WHERE due_at IS NOT NULL)"):
                await asyncio.sleep(0.05)
        await connection.execute(statement)
        await connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, execute()).result()
