"""
The pool of bare asyncpg connections, for queries where a SQLAlchemy session would cost more than the query itself.

Only single statements run on it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary

import asyncpg

from app.db.engine.connections import CONNECT_TIMEOUT, Connection, connect
from app.db.engine.outages import ConnectionsInUse
from app.db.engine.session import CLOSED, QUERY_TIMEOUT

Pool = asyncpg.Pool
CLOSE_TIMEOUT = 3.0  # seconds
READ_ONLY_SECONDS = 2.0  # for which a connection to a read-only server is kept


async def open_pool(dsn: str, *, size: int, pooler: bool) -> "Pool[asyncpg.Record]":
    """
    Open the pool; without prepared statements if a transaction pooler stands in between.

    Single statements leave no session state behind, so a connection is not reset when it is released: that would cost a
    second round trip for each query.
    """
    # A connection to a read-only server is replaced, because after a failover another server accepts writes.
    opened: Pool[asyncpg.Record] = await asyncpg.create_pool(  # type: ignore[call-overload]  # connect takes any options
        dsn,
        min_size=0,
        max_size=size,
        statement_cache_size=0 if pooler else 100,
        timeout=CONNECT_TIMEOUT,
        command_timeout=10,
        connect=connect,
        connection_class=Connection,
        init=_remember_opening,
        reset=_close_if_read_only,
    )
    return opened


async def close_pool(pool: Pool) -> None:
    """Close a pool. Connections that are still in use after a moment are terminated."""
    _pages.pop(pool, None)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await pool.close()


_pages: "dict[Pool, asyncio.Semaphore]" = {}


def share_of_pages(pool: Pool) -> asyncio.Semaphore:
    """
    Return the semaphore of the connections that pages may keep for a while: three of four.

    Entitlement checks wait for the same pool, and give up sooner than a page does: behind a row of waiting pages, they would
    take the database for silent.
    """
    found = _pages.get(pool)
    if found is None:
        found = _pages[pool] = asyncio.Semaphore(max(pool.get_max_size() * 3 // 4, 1))
    return found


@contextlib.asynccontextmanager
async def share_in_time(pool: Pool, seconds: float) -> AsyncIterator[None]:
    """
    Have the right to keep a connection inside this context.

    :raises ConnectionsInUse: if other pages keep as many as they may for longer.
    """
    share = share_of_pages(pool)
    try:
        async with asyncio.timeout(seconds):
            await share.acquire()
    except TimeoutError as error:
        raise ConnectionsInUse(f"Pages kept their share of the connections for {seconds} seconds") from error
    try:
        yield
    finally:
        share.release()


_opened_at: "WeakKeyDictionary[object, float]" = WeakKeyDictionary()  # by connection, in monotonic seconds


async def _remember_opening(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    _opened_at[connection] = time.monotonic()


async def _close_if_read_only(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """
    Close a released connection if its server is read-only. asyncpg itself rolls back an open transaction.

    The server reports both settings when they change, so this costs no query. A young connection is kept, so that a server
    that stays read-only isn't connected to for each query.
    """
    settings = connection.get_settings()
    is_read_only = "on" in (
        getattr(settings, "in_hot_standby", "off"),
        getattr(settings, "default_transaction_read_only", "off"),
    )
    if is_read_only and time.monotonic() - _opened_at.get(connection, 0.0) > READ_ONLY_SECONDS:
        connection.terminate()


async def acquire(pool: Pool, seconds: float) -> "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]":
    """
    Return a connection, which the caller releases.

    :raises ConnectionsInUse: if none was released in time.
    :raises TimeoutError: if none could be opened in time.
    """
    try:
        return await pool.acquire(timeout=seconds)
    except TimeoutError as error:
        if pool.get_size() == pool.get_max_size() and not pool.get_idle_size():
            raise ConnectionsInUse(
                f"All {pool.get_max_size()} connections were in use for {seconds} seconds"
            ) from error
        raise


@contextlib.asynccontextmanager
async def acquired(pool: Pool, seconds: float) -> "AsyncIterator[asyncpg.pool.PoolConnectionProxy[asyncpg.Record]]":
    """Have a connection inside this context. See :func:`acquire`."""
    connection = await acquire(pool, seconds)
    try:
        yield connection
    finally:
        await pool.release(connection)


async def fetch_in_time(pool: "Pool[asyncpg.Record]", statement: str, *parameters: object) -> "list[asyncpg.Record]":
    """
    Run a query, and close the connection if the server does not answer.

    asyncpg's own time-out asks the server to cancel the query and waits for its reply, which a hung server never sends.

    :raises ConnectionsInUse: if no connection is released within :data:`~app.db.engine.session.QUERY_TIMEOUT`.
    :raises TimeoutError: if there is no answer in that time.
    """
    async with acquired(pool, QUERY_TIMEOUT) as connection:
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
