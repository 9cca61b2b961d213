"""Two migrations at once, and index builds that have to wait, end well."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.operations.processes import environment
from tests.support.commands import Command
from tests.support.database import Postgres
from tests.support.timeouts import TIMEOUT

WAITING_BUILD = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND query LIKE '%INDEX CONCURRENTLY%' AND wait_event_type = 'Lock' AND now() - query_start > interval '5.5 seconds'"""
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
VERSION = "SELECT version_num FROM alembic_version"


@pytest.fixture
async def empty(postgres: Postgres) -> AsyncIterator[str]:
    """Provide the URL of an empty database."""
    dsn = await postgres.create(empty=True)
    yield dsn
    await postgres.drop(dsn)


def migrate(dsn: str) -> Command:
    """Start ``newsstand migrate``."""
    return Command(["migrate"], environment({"NEWSSTAND_DATABASE_URL": dsn}))


async def ended(command: Command) -> str:
    """Wait for a command, and return its output. Its exit status is 0."""
    done = await asyncio.to_thread(command.wait)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_two_migrations_at_once_take_turns(empty: str) -> None:
    await asyncio.gather(*[ended(command) for command in (migrate(empty), migrate(empty))])

    connection = await asyncpg.connect(empty)
    assert await connection.fetchval(VERSION)
    assert await connection.fetchval(INVALID) == 0
    await connection.close()


async def test_an_index_build_waits_longer_than_the_lock_timeout_for_an_old_transaction(empty: str) -> None:
    reader, watcher = await asyncpg.connect(empty), await asyncpg.connect(empty)
    transaction = reader.transaction(isolation="repeatable_read")
    await transaction.start()
    await reader.fetchval("SELECT count(*) FROM pg_class")  # takes the snapshot
    commands = (migrate(empty), migrate(empty))
    async with asyncio.timeout(TIMEOUT):
        while not await watcher.fetchval(WAITING_BUILD):
            await asyncio.sleep(0.1)

    await transaction.rollback()

    await asyncio.gather(*map(ended, commands))
    assert await watcher.fetchval(INVALID) == 0
    await reader.close()
    await watcher.close()


async def test_an_invalid_index_is_rebuilt(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events_received_at_idx'::regclass"
    )

    output = await ended(migrate(database))

    assert "Rebuilding the index public.events_received_at_idx" in output
    assert await connection.fetchval(INVALID) == 0
    await connection.close()


REBUILDS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'REINDEX%' AND pid <> pg_backend_pid()"
)
INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'events'::regclass ORDER BY 1"


async def test_an_interrupted_rebuild_leaves_no_second_index(database: str) -> None:
    connection, writer = await asyncpg.connect(database), await asyncpg.connect(database)
    before = await connection.fetch(INDEXES)
    await connection.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events_received_at_idx'::regclass"
    )
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("LOCK TABLE events IN ROW EXCLUSIVE MODE")
    interrupted = migrate(database)
    async with asyncio.timeout(TIMEOUT):
        while not await connection.fetchval(f"SELECT count(*) > 0 {REBUILDS} AND wait_event_type = 'Lock'"):
            await asyncio.sleep(0.1)
    interrupted.kill()
    await connection.execute(f"SELECT pg_terminate_backend(pid) {REBUILDS}")
    await transaction.rollback()
    async with asyncio.timeout(TIMEOUT):
        while await connection.fetchval(f"SELECT count(*) > 0 {REBUILDS}"):
            await asyncio.sleep(0.1)
    assert await connection.fetchval(INVALID) == 2  # the index and its copy

    output = await ended(migrate(database))

    assert "Dropping the index public.events_received_at_idx_ccnew" in output
    assert await connection.fetchval(INVALID) == 0
    assert await connection.fetch(INDEXES) == before
    await connection.close()
    await writer.close()
