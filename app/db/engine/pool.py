"""
The pool of bare asyncpg connections, for queries where a SQLAlchemy session would cost more than the query itself.

Only single statements run on it.
"""

import asyncio

import asyncpg

from app.db.engine.session import CLOSED, QUERY_TIMEOUT

Pool = asyncpg.Pool


async def open_pool(dsn: str, *, size: int, pooler: bool) -> "Pool[asyncpg.Record]":
    """
    Open the pool; without prepared statements if a transaction pooler stands in between.

    Single statements leave no session state behind, so a connection is not reset when it is released: that would cost a
    second round trip for each query.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        statement_cache_size=0 if pooler else 100,
        command_timeout=10,
        reset=_no_reset,
    )


async def _no_reset(_: object) -> None:
    """Do nothing. asyncpg itself rolls back an open transaction."""


async def fetch_in_time(pool: "Pool[asyncpg.Record]", statement: str, *parameters: object) -> "list[asyncpg.Record]":
    """
    Run a query, and close the connection if the server does not answer.

    asyncpg's own time-out asks the server to cancel the query and waits for its reply, which a hung server never sends.

    :raises TimeoutError: if there is no answer within :data:`~app.db.engine.session.QUERY_TIMEOUT`.
    """
    async with pool.acquire(timeout=QUERY_TIMEOUT) as connection:
        timer = asyncio.get_running_loop().call_later(QUERY_TIMEOUT, connection.terminate)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *parameters)
            return rows
        except CLOSED as error:
            if timer.when() <= asyncio.get_running_loop().time():
                raise TimeoutError("The database does not answer") from error
            raise
        finally:
            timer.cancel()
