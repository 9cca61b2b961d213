"""Sessions: an error of a closed connection is an outage, with every exception that asyncpg raises."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import ProgrammingError

from app.db.engine.session import (
    UNAVAILABLE,
    DatabaseUnreachable,
    ServerTimeouts,
    Sessions,
    is_unreachable,
    make_engine,
    make_sessions,
)
from tests.support.timeouts import TIMEOUT


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


LOCK_ROW = text("SELECT sub FROM sign_outs WHERE sub = :sub FOR UPDATE")
LOCK = "SELECT pg_advisory_xact_lock(1)::text"
SHORT = timedelta(milliseconds=100)
IMPATIENT = {"idle_in_transaction": SHORT}


async def test_a_client_that_sleeps_in_a_transaction_loses_its_locks(database: str) -> None:
    engine, patient = (make_engine(database, pool_size=1, timeouts=ServerTimeouts(**more)) for more in (IMPATIENT, {}))
    sleepers, locked, checked = make_sessions(engine), asyncio.Event(), asyncio.Event()

    async def sleep_with_the_lock() -> None:
        async with sleepers.begin() as session:
            await session.execute(text(LOCK))
            locked.set()
            await checked.wait()
            await session.execute(text("SELECT 1"))

    sleeper = asyncio.create_task(sleep_with_the_lock())
    async with asyncio.timeout(TIMEOUT):
        while not locked.is_set():
            if sleeper.done() and isinstance(
                sleeper.exception(), DatabaseUnreachable
            ):  # it slept before it had the lock
                sleeper = asyncio.create_task(sleep_with_the_lock())
            await asyncio.sleep(0.01)
    await query(make_sessions(patient), LOCK)  # as soon as the server has ended the sleeper's session
    checked.set()

    with pytest.raises(DatabaseUnreachable):
        await sleeper
    await engine.dispose()
    await patient.dispose()


async def test_a_lock_timeout_is_an_outage_that_keeps_the_connection(database: str) -> None:
    engine = make_engine(database, pool_size=2, timeouts=ServerTimeouts(lock=SHORT))
    sessions = make_sessions(engine)
    async with sessions.begin() as session:
        await session.execute(text(LOCK))
        with pytest.raises(DatabaseUnreachable, match="LockNotAvailable"):
            await query(sessions, LOCK)

    assert await query(sessions, "SELECT 1") == 1
    await engine.dispose()


async def test_a_deadlock_is_an_outage_that_keeps_the_connection(database: str, sessions: Sessions) -> None:
    """So an attempt to apply an event doesn't count, and a request is answered 503."""
    async with sessions.begin() as session:
        await session.execute(text("INSERT INTO sign_outs (sub, at) VALUES ('ada', now()), ('ben', now())"))
    engine = make_engine(database, pool_size=2)
    locked = asyncio.Barrier(2)

    async def lock(first: str, second: str) -> object:
        async with make_sessions(engine).begin() as session:
            await session.execute(LOCK_ROW, {"sub": first})
            await locked.wait()
            return await session.scalar(LOCK_ROW, {"sub": second})

    ends = await asyncio.gather(lock("ada", "ben"), lock("ben", "ada"), return_exceptions=True)

    assert sorted(map(str, ends))[1] in {"ada", "ben"}
    (deadlock,) = [one for one in ends if isinstance(one, DatabaseUnreachable)]
    assert "DeadlockDetectedError" in str(deadlock)
    assert await query(make_sessions(engine), "SELECT 1") == 1
    await engine.dispose()


async def test_too_many_transactions_at_once_are_an_outage_and_not_a_bug(database: str) -> None:
    """The request is answered 503, and the client tries again."""
    engine = make_engine(database, pool_size=1, pool_timeout=SHORT)
    sessions = make_sessions(engine)
    async with sessions.begin() as first, sessions.begin() as second:
        for session in (first, second):
            await session.execute(text("SELECT 1"))
        with pytest.raises(UNAVAILABLE) as exhausted:
            await query(sessions, "SELECT 1")
    assert is_unreachable(exhausted.value)
    assert await query(sessions, "SELECT 1") == 1
    await engine.dispose()


async def test_a_burst_keeps_its_connections_for_the_next_one(database: str) -> None:
    engine = make_engine(database, pool_size=2)
    sessions, bursts = make_sessions(engine), list[set[object]]()
    for _ in range(3):
        all_here = asyncio.Barrier(4)

        async def connection_of_one(all_here: asyncio.Barrier = all_here) -> object:
            async with sessions.begin() as session, asyncio.timeout(TIMEOUT):
                used = await session.scalar(text("SELECT pg_backend_pid()"))
                await all_here.wait()
                return used

        bursts.append(set(await asyncio.gather(*(connection_of_one() for _ in range(4)))))
    await engine.dispose()
    assert len(bursts[0]) == 4
    assert bursts[0] == bursts[1] == bursts[2]


async def test_a_statement_that_takes_too_long_is_canceled(database: str) -> None:
    engine = make_engine(database, pool_size=1, timeouts=ServerTimeouts(statement=SHORT))

    with pytest.raises(DatabaseUnreachable, match="QueryCanceled"):
        await query(make_sessions(engine), "SELECT pg_sleep(120)")
    await engine.dispose()


async def statements_of_two_transactions(dsn: str, *, idle_after: timedelta) -> list[str]:
    """Return the statements that reach the server in two transactions, one after the other."""
    engine, seen = make_engine(dsn, pool_size=1, idle_after=idle_after), list[str]()
    sessions = make_sessions(engine)
    async with sessions() as session:
        driver = (await (await session.connection()).get_raw_connection()).driver_connection
        assert driver is not None
    driver.add_query_logger(lambda found: seen.append(found.query))
    for _ in range(2):
        async with sessions.begin() as session:
            await session.scalar(text("SELECT 1"))
    await engine.dispose()
    return seen


async def test_a_connection_that_was_just_used_is_not_tested(database: str) -> None:
    assert await statements_of_two_transactions(database, idle_after=timedelta(minutes=1)) == ["BEGIN;", "COMMIT;"] * 2


async def test_an_idle_connection_is_tested_with_one_round_trip(database: str) -> None:
    assert (
        await statements_of_two_transactions(database, idle_after=timedelta(0)) == ["SELECT 1", "BEGIN;", "COMMIT;"] * 2
    )


@pytest.mark.parametrize("idle_after", [timedelta(0), timedelta(minutes=1)], ids=["idle", "just used"])
async def test_connections_that_the_server_closed_are_replaced(database: str, idle_after: timedelta) -> None:
    engine = make_engine(database, pool_size=3, idle_after=idle_after)
    sessions, opened = make_sessions(engine), list[Any]()
    event.listen(engine.sync_engine, "connect", lambda connection, _: opened.append(connection.driver_connection))
    others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
    others += " AND backend_type = 'client backend'"
    await asyncio.gather(*(query(sessions, "SELECT pg_sleep(0.1)::text") for _ in range(3)))
    assert await query(sessions, f"{others} AND pid <> pg_backend_pid()") == 2
    async with asyncio.timeout(TIMEOUT):
        while sum(connection.is_closed() for connection in opened) < 2:
            await asyncio.sleep(0.01)

    assert await asyncio.gather(*(query(sessions, "SELECT 1") for _ in range(3))) == [1, 1, 1]
    await engine.dispose()
