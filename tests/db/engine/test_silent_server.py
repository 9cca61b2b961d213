"""A server that accepts connections and answers nothing delays nobody for long."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from app.db import sign_outs
from app.db.engine.connections import JOB_TIMEOUT, REQUEST_TIMEOUT, hosts_of, limit_statements
from app.db.engine.fast_reads import FastReads
from app.db.engine.notifications import listen
from app.db.engine.pool import Pool, open_pool
from app.db.engine.session import DatabaseUnreachable, ServerTimeouts, make_engine, make_sessions
from app.db.entitlements import EntitlementLookup
from app.db.inbox_writer import InboxWriter, ReceivedEvent
from app.domain.events import EventNotStored
from app.gateway.events import refetch_request
from app.services.entitlements import Entitlements
from tests.services.test_entitlements import GRANTED, NOW, OFFER, TAKEN, Checks
from tests.support.database_proxy import DatabaseProxy, database_proxy
from tests.support.timeouts import TIMEOUT

SOON = 30.0  # seconds; without a limit of our own, a minute at the least
EVENT = (
    '{"object": "event", "id": "evt_1", "type": "invoice.paid", "livemode": false, "data": {"object": {"id": "in_1"}}}'
)


@pytest.fixture
async def wire(database: str) -> AsyncIterator[DatabaseProxy]:
    """Provide a proxy to the database."""
    async with database_proxy(database) as proxy:
        yield proxy


@pytest.fixture
async def pool(wire: DatabaseProxy) -> AsyncIterator[Pool]:
    """Provide a pool whose connections go through the proxy."""
    opened = await open_pool(wire.url, size=2, pooler=False)
    yield opened
    wire.restore()
    await opened.close()


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("postgresql://u:p@db.example.com/n", [("db.example.com", 5432)]),
        (
            "postgresql://u@a:6432,b,[::1]:7000/n?target_session_attrs=read-write",
            [("a", 6432), ("b", 5432), ("::1", 7000)],
        ),
        ("postgresql://postgres@/n?host=/run", []),
    ],
)
def test_the_hosts_of_a_url_are_found(dsn: str, hosts: list[tuple[str, int]]) -> None:
    assert hosts_of(dsn) == hosts


async def test_a_silent_first_host_does_not_hide_the_second(database: str) -> None:
    async with database_proxy(database) as first, database_proxy(database) as second:
        both = urlsplit(second.url)
        other = urlsplit(first.url).netloc.rpartition("@")[2]
        dsn = both._replace(
            netloc=f"postgres@{other},{both.netloc.rpartition('@')[2]}", query="sslmode=disable"
        ).geturl()
        first.silence()
        engine, pool = make_engine(dsn, pool_size=1), await open_pool(dsn, size=1, pooler=False)
        try:
            async with asyncio.timeout(SOON), make_sessions(engine).begin() as session:
                assert await session.scalar(text("SELECT 1")) == 1
                assert await pool.fetchval("SELECT 2") == 2
        finally:
            await engine.dispose()
            pool.terminate()


@pytest.mark.parametrize("began", [False, True], ids=["before the transaction", "within the transaction"])
async def test_a_silent_server_ends_a_transaction_in_the_time_of_its_work(wire: DatabaseProxy, *, began: bool) -> None:
    engine = make_engine(wire.url, pool_size=1, timeouts=ServerTimeouts())
    sessions = make_sessions(engine)

    async def ask(seconds: float) -> object:
        limit_statements(seconds)
        async with sessions.begin() as session:
            if began:
                await session.execute(text("SELECT 1"))
            wire.silence()
            return await session.scalar(text("SELECT 2"))

    async with sessions.begin() as session:
        await session.execute(text("SELECT 1"))  # the pool has a connection
    with pytest.raises(DatabaseUnreachable):
        await asyncio.wait_for(asyncio.create_task(ask(0.2)), SOON)
    wire.restore()
    async with sessions.begin() as session:
        assert await session.scalar(text("SELECT 3")) == 3  # on a new connection
    await engine.dispose()


async def test_each_transaction_has_the_time_of_its_own_work(database: str) -> None:
    """On the same connection, one after the other."""
    engine = make_engine(database, pool_size=1, timeouts=ServerTimeouts())
    sessions, seen = make_sessions(engine), list[tuple[object, float]]()

    async def work(seconds: float | None) -> None:
        if seconds is not None:
            limit_statements(seconds)
        async with sessions.begin() as session:
            driver = (await (await session.connection()).get_raw_connection()).driver_connection
            assert driver is not None
            seen.append((driver, driver._config.command_timeout))

    for seconds in (REQUEST_TIMEOUT, None, REQUEST_TIMEOUT):
        await asyncio.create_task(work(seconds))
    await engine.dispose()
    assert [limit for _, limit in seen] == [REQUEST_TIMEOUT, JOB_TIMEOUT, REQUEST_TIMEOUT]
    assert len({driver for driver, _ in seen}) == 1


async def test_a_listener_that_is_canceled_ends_although_the_server_is_silent(wire: DatabaseProxy) -> None:
    listens = asyncio.Event()
    listening = asyncio.create_task(listen(wire.url, lambda _: listens.set()))
    await asyncio.wait_for(listens.wait(), TIMEOUT)
    wire.silence()

    listening.cancel()
    await asyncio.wait({listening}, timeout=SOON)
    assert listening.cancelled()


async def test_a_silent_server_refuses_an_event_soon(wire: DatabaseProxy, pool: Pool) -> None:
    writer = InboxWriter(pool)
    event = ReceivedEvent(refetch_request(EVENT), EVENT)
    await pool.fetch("SELECT 1")
    wire.silence()

    stored = asyncio.gather(*(writer.store(event) for _ in range(3)), return_exceptions=True)
    for refusal in await asyncio.wait_for(stored, SOON):
        assert isinstance(refusal, EventNotStored)

    wire.restore()
    async with asyncio.timeout(TIMEOUT):
        while True:
            try:
                await writer.store(event)
                break
            except EventNotStored:
                await asyncio.sleep(0.05)
    assert await pool.fetchval("SELECT count(*) FROM events") == 1


async def test_a_page_without_a_connection_in_time_reports_an_unreachable_database(
    wire: DatabaseProxy, pool: Pool
) -> None:
    wire.silence()
    with pytest.raises(DatabaseUnreachable):  # not a bare TimeoutError, which would be an internal server error
        await asyncio.wait_for(sign_outs.last(FastReads(pool), "robin"), SOON)


async def test_known_readers_do_not_wait_while_one_probe_asks(wire: DatabaseProxy, pool: Pool) -> None:
    checks, lookup = Checks(pool), EntitlementLookup(pool)
    await checks.write("ada", GRANTED)
    await checks.write("bob", TAKEN)
    allowance = timedelta(minutes=5)
    answers = Entitlements(lookup, OFFER, outage_allowance=allowance, time=lambda: checks.time)
    for reader in ("ada", "bob"):
        await answers.check(reader, "archive", now=NOW)
    wire.silence()
    checks.time += 60  # the cached rows are too old for anything but an outage

    first = await asyncio.wait_for(answers.check("ada", "archive", now=NOW), SOON)
    at_once = answers.check("ada", "archive", now=NOW)
    with pytest.raises(StopIteration) as answered:  # it does not wait for anything
        at_once.send(None)
    assert (first.decision.reason, answered.value.value.decision.reason) == ("paid_term", "paid_term")
    with pytest.raises(DatabaseUnreachable):
        await asyncio.wait_for(lookup.get("bob"), SOON)

    wire.restore()
    async with asyncio.timeout(TIMEOUT):
        while lookup.is_slow:
            await asyncio.sleep(0.05)
        await checks.write("ada", TAKEN)
        while (await answers.check("ada", "archive", now=NOW)).decision.reason != "refunded":
            await asyncio.sleep(0.05)
    lookup.close()
