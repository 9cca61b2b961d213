"""What is asked of the database, overheard at the driver: through a session, or straight on the pool."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
from asyncpg.connection import LoggedQuery
from asyncpg.pool import PoolConnectionProxy
from sqlalchemy import event
from sqlalchemy.engine import Engine
from structlog.contextvars import get_contextvars

Asked = list[tuple[str, tuple[object, ...]]]


@asynccontextmanager
async def statements(pool: "asyncpg.Pool[asyncpg.Record]", *, of_request: str | None = None) -> AsyncIterator[Asked]:
    """
    Collect statements with their parameters while this lasts.

    :param of_request: only those for the request of this id; None: all, whoever asks.
    """
    asked: Asked = []

    def ours() -> bool:
        return of_request is None or get_contextvars().get("request_id") == of_request

    def through_a_session(_: object, __: object, statement: str, parameters: tuple[object, ...], *___: object) -> None:
        if ours():
            asked.append((statement, tuple(parameters)))

    def straight(query: LoggedQuery) -> None:
        if ours():
            asked.append((query.query, tuple(query.args)))

    event.listen(Engine, "before_cursor_execute", through_a_session)
    await _all(pool, lambda one: one.add_query_logger(straight))
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", through_a_session)
        await _all(pool, lambda one: one.remove_query_logger(straight))


async def _all(
    pool: "asyncpg.Pool[asyncpg.Record]", do: "Callable[[PoolConnectionProxy[asyncpg.Record]], object]"
) -> None:
    connections = [await pool.acquire() for _ in range(pool.get_max_size())]
    for one in connections:
        do(one)
        await pool.release(one)
