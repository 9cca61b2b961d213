"""
Streams of rows as CSV, written by PostgreSQL's COPY: they take no memory, however many rows there are.

A client that reads slowly keeps a connection until it has read everything, so streams have connections of their own, and
those of requests stay free.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta

import asyncpg

from app.db.engine.long_statements import SET_TIMEOUT, SET_ZONE
from app.db.engine.pool import Pool, acquire, close_pool, open_pool
from app.db.engine.session import CLOSED, unreachable
from app.domain.errors import Overloaded
from app.domain.spreadsheets import FORMULA_STARTS

EXPORTS = 3  # at the same time, in each process
PATIENCE = timedelta(seconds=5)  # for one of them to end, or for a connection
RETRY_AFTER = timedelta(seconds=30)
_Connection = asyncpg.pool.PoolConnectionProxy
_FORMULAS = "{" + ",".join(str(ord(sign)) for sign in sorted(FORMULA_STARTS)) + "}"
WAITING = 4  # parts of about 64 kB that may wait for a slow client


class CsvExports:
    """The exports of a process: as many at the same time as there are connections for them."""

    def __init__(self, pool: Pool, *, limit: int = EXPORTS, patience: timedelta = PATIENCE) -> None:
        """:param patience: how long one waits for another to end."""
        self._pool, self._free, self._patience = pool, asyncio.Semaphore(limit), patience

    @classmethod
    async def open(
        cls, dsn: str, *, pooler: bool, limit: int = EXPORTS, patience: timedelta = PATIENCE
    ) -> "CsvExports":
        """Open the pool. Its connections are made when they are needed, and closed when they are idle for minutes."""
        return cls(await open_pool(dsn, size=limit, pooler=pooler), limit=limit, patience=patience)

    async def close(self) -> None:
        """Close the connections. Exports that are running end."""
        await close_pool(self._pool)

    async def copy(
        self, statement: str, *parameters: object, longest: timedelta, zone: str | None = None
    ) -> AsyncIterator[bytes]:
        """
        Return the result of a query as CSV in parts, the header first.

        A client that reads slowly slows the query down, and one that leaves ends it.

        :param longest: for which it may take.
        :param zone: the time zone of the dates in the query. None: the server's.
        :raises Overloaded: as many exports as there can be are running.
        :raises DatabaseUnreachable: if there is no connection in time.
        """
        parts = self._copy(statement, parameters, longest, zone)
        await anext(parts)
        return parts

    async def _copy(
        self, statement: str, parameters: tuple[object, ...], longest: timedelta, zone: str | None
    ) -> AsyncGenerator[bytes]:
        """
        Yield an empty part when there is a connection, and then the parts.

        So it has begun when it is returned, and what it holds is released even if nobody reads it.
        """
        await self._wait_for_room()
        try:  # not "async with", whose own generators might be finalized before this one
            connection = await self._connect()
            try:
                yield b""
                waiting: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
                copying = asyncio.create_task(_run(connection, statement, parameters, waiting, longest, zone))
                try:
                    while not copying.done() or not waiting.empty():
                        following = asyncio.ensure_future(waiting.get())
                        await asyncio.wait({following, copying}, return_when=asyncio.FIRST_COMPLETED)
                        if following.done():
                            yield bytes(following.result())
                        else:
                            following.cancel()
                    await copying
                finally:
                    copying.cancel()
                    await asyncio.gather(copying, return_exceptions=True)
            finally:
                await self._pool.release(connection)
        finally:
            self._free.release()

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                await self._free.acquire()
        except TimeoutError as error:
            busy = Overloaded("As many downloads as possible are in progress. Try again in a minute.")
            busy.retry_after = RETRY_AFTER
            raise busy from error

    async def _connect(self) -> _Connection:
        try:
            return await acquire(self._pool, PATIENCE.total_seconds())
        except (OSError, *CLOSED) as error:
            raise unreachable(error) from error


async def _run(
    connection: _Connection,
    statement: str,
    parameters: tuple[object, ...],
    waiting: "asyncio.Queue[bytes]",
    longest: timedelta,
    zone: str | None,
) -> None:
    async with connection.transaction():  # the settings end with it
        await connection.execute(SET_TIMEOUT.format("$1"), str(int(longest / timedelta(milliseconds=1))))
        if zone is not None:
            await connection.execute(SET_ZONE.format("$1"), zone)
        await connection.copy_from_query(
            statement, *parameters, output=waiting.put, format="csv", header=True, timeout=longest.total_seconds()
        )


def safe(expression: str) -> str:
    """Return the SQL for a text that no spreadsheet takes for a formula: OWASP, CSV Injection."""
    return (  # by code, because a million lines have a dozen texts each
        f"CASE WHEN ascii({expression}) = ANY ('{_FORMULAS}') THEN '''' || {expression}"
        f" ELSE coalesce({expression}, '') END"
    )
