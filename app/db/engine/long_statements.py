"""Statements over a whole table, which take longer than a page may wait."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
from sqlalchemy import text

from app.db.engine.session import Session

LONGEST = timedelta(minutes=15)
MEMORY = "64MB"  # for each sort and hash of the statement


async def fetch(session: Session, statement: str, parameters: Sequence[object]) -> Sequence[Any]:
    """
    Return the rows of a statement with the parameters ``$1``, ``$2``, …, in the session's transaction.

    The time-outs of ordinary statements don't apply to it, here and at the server.
    """
    await session.execute(
        text(
            f"SELECT set_config('statement_timeout', '{int(LONGEST.total_seconds() * 1000)}', true),"
            f" set_config('work_mem', '{MEMORY}', true)"
        )
    )
    connection = await (await session.connection()).get_raw_connection()
    driver = connection.driver_connection
    assert isinstance(driver, asyncpg.Connection)
    rows: Sequence[Any] = await driver.fetch(statement, *parameters, timeout=LONGEST.total_seconds())
    return rows
