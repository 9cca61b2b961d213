"""Record the SQL statements of a request at the driver, through a session or directly on the pool."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
from asyncpg.connection import LoggedQuery
from asyncpg.pool import PoolConnectionProxy
from sqlalchemy import event
from sqlalchemy.engine import Engine
from structlog.contextvars import get_contextvars

# What asyncpg itself asks, once for each connection, when it meets a type such as a list of texts.
_LOOKS_UP_TYPES = re.compile(r"typeinfo_tree|set_config\('jit'|current_setting\('jit'\)")
Statements = list[tuple[str, tuple[object, ...]]]


@asynccontextmanager
async def record_statements(
    pool: "asyncpg.Pool[asyncpg.Record]", *, request_id: str | None = None
) -> AsyncIterator[Statements]:
    """
    Record all statements with their parameters inside the context.

    :param request_id: record only the statements of requests and jobs with an ID that ends so; None records all.
    """
    statements: Statements = []

    def is_recorded() -> bool:
        return request_id is None or str(get_contextvars().get("request_id")).endswith(request_id)

    def on_session_query(_: object, __: object, statement: str, parameters: tuple[object, ...], *___: object) -> None:
        if is_recorded():
            statements.append((statement, tuple(parameters)))

    def on_pool_query(query: LoggedQuery) -> None:
        if is_recorded() and not _LOOKS_UP_TYPES.search(query.query):
            statements.append((query.query, tuple(query.args)))

    event.listen(Engine, "before_cursor_execute", on_session_query)
    await _for_each_connection(pool, lambda connection: connection.add_query_logger(on_pool_query))
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", on_session_query)
        await _for_each_connection(pool, lambda connection: connection.remove_query_logger(on_pool_query))


async def _for_each_connection(
    pool: "asyncpg.Pool[asyncpg.Record]", action: "Callable[[PoolConnectionProxy[asyncpg.Record]], object]"
) -> None:
    connections = [await pool.acquire() for _ in range(pool.get_max_size())]
    for connection in connections:
        action(connection)
        await pool.release(connection)
