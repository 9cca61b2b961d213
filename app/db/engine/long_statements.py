"""Statements over a whole table, which take longer than a page may wait."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
from sqlalchemy import text

from app.db.engine.outages import BUSY
from app.db.engine.session import Session, loses_connection, unreachable

LONGEST = timedelta(minutes=15)
MEMORY = 64  # megabytes, for each sort and hash of the statement
SET_TIMEOUT = "SELECT set_config('statement_timeout', {}, true)"
SET_ZONE = "SELECT set_config('TimeZone', {}, true)"  # for the transaction


async def fetch(
    session: Session, statement: str, parameters: Sequence[object], *, zone: str | None = None
) -> Sequence[Any]:
    """
    Return the rows of a statement with the parameters ``$1``, ``$2``, …, in the session's transaction.

    The time-outs of ordinary statements don't apply to it, here and at the server. It is interpreted, because compiling a
    statement of hundreds of expressions takes longer than running it.

    :param zone: the time zone of the dates in it. None: the server's.
    :raises DatabaseUnreachable: as statements of the session do, which raise it through SQLAlchemy.
    """
    settings = await session.execute(
        text(
            f"SELECT current_setting('TimeZone'), set_config('statement_timeout', '{_milliseconds()}', true),"
            f" set_config('work_mem', '{MEMORY}MB', true), set_config('jit', 'off', true)"
        )
    )
    (its_own, *_) = settings.one()
    if zone is not None:
        await session.execute(text(SET_ZONE.format(":zone")), {"zone": zone})
    connection = await session.connection()
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, asyncpg.Connection)
    try:
        rows: Sequence[Any] = await driver.fetch(statement, *parameters, timeout=LONGEST.total_seconds())
    except Exception as error:
        if loses_connection(error) or driver.is_closed():
            await connection.invalidate(error)
        elif not isinstance(error, BUSY):
            raise
        raise unreachable(error) from error
    if zone is not None:
        await session.execute(text(SET_ZONE.format(":zone")), {"zone": its_own})
    return rows


def _milliseconds() -> int:
    return int(LONGEST.total_seconds() * 1000)
