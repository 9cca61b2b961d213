"""
Fast reads for console pages: SQLAlchemy Core statements that are compiled once and run on asyncpg directly.

A page runs a dozen small queries by key. Through a session each costs about twice as much, and the session itself as much
as three queries (bench: ``reader_page_vs_queries``). There is no transaction, because nothing is written and the results
need not be of the same moment.
"""

import json
from collections import namedtuple
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import asyncpg
from sqlalchemy import JSON, Select
from sqlalchemy.dialects.postgresql import asyncpg as dialect

from app.db.engine.outages import BUSY
from app.db.engine.pool import Pool, acquire, acquired, share_in_time
from app.db.engine.session import CLOSED, POOL_TIMEOUT, Record, Session, unreachable

# Another try would take as long again after a time-out, which is an OSError, and read the same read-only server.
_OTHER_FAILURES = (OSError, asyncpg.ReadOnlySQLTransactionError, *BUSY)
_DIALECT = dialect.dialect()  # type: ignore[no-untyped-call]


class _Compiled:
    """A compiled statement, and how to convert its rows."""

    __slots__ = ("constants", "convert", "parameters", "sql")

    def __init__(self, statement: "Select[Any]") -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self.parameters: Sequence[str] = compiled.positiontup or ()
        self.constants = compiled.params  # by parameter: the value in the statement, or None
        columns = list(statement.selected_columns)
        row = namedtuple("Row", [column.name for column in columns])  # type: ignore[misc]
        json_columns = [index for index, column in enumerate(columns) if isinstance(column.type, JSON)]
        self.convert: Callable[[Any], Any] = (
            row._make if not json_columns else lambda found: row._make(_parse_json(found, json_columns))
        )


def _parse_json(row: Sequence[Any], columns: Sequence[int]) -> list[Any]:
    values = list(row)
    for index in columns:
        if values[index] is not None:
            values[index] = json.loads(values[index])
    return values


class FastReads:
    """
    Takes the place of a session in functions that only read.

    Each statement takes a connection from the pool, which costs as much as a small query. :meth:`on_one_connection` takes
    one for many.
    """

    _compiled: "dict[Select[Any], _Compiled]" = {}  # noqa: RUF012 - for statements that live as long as the process

    def __init__(
        self, pool: Pool, connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | None" = None
    ) -> None:
        self._pool, self._connection = pool, connection

    @classmethod
    @asynccontextmanager
    async def on_one_connection(cls, pool: Pool) -> AsyncIterator["FastReads"]:
        """
        Keep one connection inside this context.

        Take no other connection of the pool meanwhile: pages that each keep one and wait for another wait for each other.

        :raises DatabaseUnreachable: if there is no connection in time.
        """
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(share_in_time(pool, POOL_TIMEOUT.total_seconds()))
                connection = await acquire(pool, POOL_TIMEOUT.total_seconds())
            except (OSError, *CLOSED) as error:
                raise unreachable(error) from error
            read = cls(pool, connection)
            stack.push_async_callback(read._release)
            yield read

    async def execute(self, statement: "Select[Any]", parameters: Mapping[str, object]) -> list[Record]:
        """
        Return the rows of a statement. It is cached, so it must be a module-level constant.

        :raises DatabaseUnreachable: if the connection is lost twice, or if there is no connection or answer in time.
        """
        compiled = self._compiled.get(statement)
        if compiled is None:
            compiled = self._compiled[statement] = _Compiled(statement)
        values = [parameters[name] if name in parameters else compiled.constants[name] for name in compiled.parameters]
        rows = await self.fetch(compiled.sql, *values)
        return cast("list[Record]", [compiled.convert(row) for row in rows])

    async def fetch(self, sql: str, *values: object) -> list[asyncpg.Record]:
        """
        Return the rows of a query in SQL, which may run twice.

        :raises DatabaseUnreachable: if the connection is lost twice, if there is no connection or answer in time, or if the
            server is busy or read-only.
        """
        try:
            if self._connection is not None:
                rows: list[asyncpg.Record] = await self._connection.fetch(sql, *values)
            else:
                rows = await self._fetch_from_pool(sql, values)
        except ValueError:  # an invalid parameter, which asyncpg also reports as an InterfaceError
            raise
        except CLOSED:
            rows = await self._retry(sql, values)
        except _OTHER_FAILURES as error:
            raise unreachable(error) from error
        return rows

    async def _retry(self, sql: str, values: Sequence[object]) -> list[Any]:
        """Run the query once more: the server restarted, and the pool's next connection is a new one."""
        await self._release()
        try:
            return await self._fetch_from_pool(sql, values)
        except (*_OTHER_FAILURES, *CLOSED) as error:
            raise unreachable(error) from error

    async def _fetch_from_pool(self, sql: str, values: Sequence[object]) -> list[Any]:
        async with acquired(self._pool, POOL_TIMEOUT.total_seconds()) as connection:
            rows: list[Any] = await connection.fetch(sql, *values)
            return rows

    async def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.release(connection)


Reads = Session | FastReads  # the parameter type of functions that pages call, too
