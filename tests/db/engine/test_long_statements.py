"""Long statements fail as those of any session do."""

import asyncpg
import pytest
from sqlalchemy import text

from app.db.engine import long_statements
from app.db.engine.session import DatabaseUnreachable, Sessions

WRITE = "INSERT INTO buckets (name, tokens, at) VALUES ('test', 1, now()) RETURNING tokens"
RAISE = "DO $$ BEGIN RAISE SQLSTATE '{}'; END $$"
PID = text("SELECT pg_backend_pid()")
BUSY = {
    "LockNotAvailableError": "55P03",
    "QueryCanceledError": "57014",
    "DeadlockDetectedError": "40P01",
    "SerializationError": "40001",  # also a conflict with recovery, on a standby
}


@pytest.mark.parametrize("name", BUSY)
async def test_a_busy_database_is_an_outage_that_keeps_the_connection(name: str, sessions: Sessions) -> None:
    async with sessions.begin() as session:
        before = await session.scalar(PID)
    with pytest.raises(DatabaseUnreachable, match=name):
        async with sessions.begin() as session:
            await long_statements.fetch(session, RAISE.format(BUSY[name]), ())

    async with sessions.begin() as session:
        assert await session.scalar(PID) == before


async def test_a_connection_that_is_lost_meanwhile_is_replaced(sessions: Sessions) -> None:
    with pytest.raises(DatabaseUnreachable):
        async with sessions.begin() as session:
            await long_statements.fetch(session, "SELECT pg_terminate_backend(pg_backend_pid())", ())

    async with sessions.begin() as session:
        assert await long_statements.fetch(session, "SELECT 1", ()) == [(1,)]


async def test_a_connection_to_a_read_only_server_is_replaced(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await session.execute(text("SELECT set_config('default_transaction_read_only', 'on', false)"))
    with pytest.raises(DatabaseUnreachable, match="ReadOnly"):
        async with sessions.begin() as session:
            await long_statements.fetch(session, WRITE, ())

    async with sessions.begin() as session:
        assert await long_statements.fetch(session, WRITE, ()) == [(1,)]


async def test_a_wrong_statement_is_not_an_outage(sessions: Sessions) -> None:
    with pytest.raises(asyncpg.UndefinedColumnError):
        async with sessions.begin() as session:
            await long_statements.fetch(session, "SELECT nothing_of_that_name", ())
