"""Sessions: an error of a closed connection is an outage, with every exception that asyncpg raises."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from app.db.engine.session import DatabaseUnreachable, Sessions


async def query(sessions: Sessions, statement: str, *, after_closing: bool = False) -> object:
    """Run a statement, on a connection that has just been closed if told so."""
    async with sessions.begin() as session:
        if after_closing:
            driver = (await (await session.connection()).get_raw_connection()).driver_connection
            assert driver is not None
            driver.terminate()
        return await session.scalar(text(statement))


async def test_an_error_of_a_closed_connection_is_an_outage(sessions: Sessions) -> None:
    with pytest.raises(DatabaseUnreachable):
        await query(sessions, "SELECT 1", after_closing=True)


async def test_a_wrong_statement_is_not_an_outage(sessions: Sessions) -> None:
    with pytest.raises(ProgrammingError, match="does not exist"):
        await query(sessions, "SELECT nothing_of_that_name")


async def test_the_pool_gives_a_new_connection_after_an_outage(sessions: Sessions) -> None:
    with pytest.raises(DatabaseUnreachable):
        await query(sessions, "SELECT 1", after_closing=True)

    assert await query(sessions, "SELECT 1") == 1


async def test_a_connection_to_a_read_only_server_is_replaced(sessions: Sessions) -> None:
    write = "INSERT INTO buckets (name, tokens, at) VALUES ('test', 1, now()) RETURNING tokens"
    await query(sessions, "SELECT set_config('default_transaction_read_only', 'on', false)")
    with pytest.raises(DatabaseUnreachable, match="ReadOnly"):
        await query(sessions, write)

    assert await query(sessions, write) == 1
