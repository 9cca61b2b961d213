"""Streams of rows as CSV, written by PostgreSQL's COPY: they take no memory, however many rows there are."""

import asyncio
from collections.abc import AsyncIterator

from app.db.engine.long_statements import SET_ZONE
from app.db.engine.pool import Pool
from app.domain.spreadsheets import FORMULA_STARTS

_FORMULAS = "{" + ",".join(str(ord(sign)) for sign in sorted(FORMULA_STARTS)) + "}"
WAITING = 4  # parts of about 64 kB that may wait for a slow client


async def copy_csv(
    pool: Pool, statement: str, *parameters: object, seconds: float, zone: str | None = None
) -> AsyncIterator[bytes]:
    """
    Yield the result of a query as CSV in parts, the first with the header.

    A client that reads slowly slows the query down, and one that leaves ends it.

    :param zone: the time zone of the dates in the query. None: the server's.
    """
    parts: asyncio.Queue[bytes] = asyncio.Queue(WAITING)

    async def copy() -> None:
        async with pool.acquire() as connection, connection.transaction():  # the setting ends with it
            if zone is not None:
                await connection.execute(SET_ZONE.format("$1"), zone)
            await connection.copy_from_query(
                statement, *parameters, output=parts.put, format="csv", header=True, timeout=seconds
            )

    copying = asyncio.create_task(copy())
    try:
        while not copying.done() or not parts.empty():
            following = asyncio.ensure_future(parts.get())
            await asyncio.wait({following, copying}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                yield bytes(following.result())
            else:
                following.cancel()
        await copying
    finally:
        copying.cancel()
        await asyncio.gather(copying, return_exceptions=True)


def safe(expression: str) -> str:
    """Return the SQL for a text that no spreadsheet takes for a formula: OWASP, CSV Injection."""
    return (  # by code, because a million lines have a dozen texts each
        f"CASE WHEN ascii({expression}) = ANY ('{_FORMULAS}') THEN '''' || {expression}"
        f" ELSE coalesce({expression}, '') END"
    )
