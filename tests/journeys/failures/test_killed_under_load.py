"""
The service, its workers and PostgreSQL are killed while events arrive and refunds are requested.

The processes and the signals are real, and the database is durable. Every acknowledged event is applied, and every
refund is paid once.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.support.crashes import kill_and_restart
from tests.support.database import ELSEWHERE, Postgres, home_of
from tests.support.event_histories import (
    StripeRecords,
    all_differences,
    deliver,
    deliver_until_accepted,
    list_events,
    refunds_at_stripe,
)
from tests.support.many_subscribers import create_subscribers, worker_process
from tests.support.randomness import fixed_seeds, random_seed, seeded
from tests.support.shop import Shop, open_shop
from tests.support.timeouts import TIMEOUT

SAVED = ("fsync=on", "synchronous_commit=on")
OPTIONS = tuple(word for option in SAVED for word in ("-c", option))
READERS, REFUNDED, KILLS = 16, 4, 3


@pytest.fixture
async def durable_postgres(tmp_path: Path) -> AsyncIterator[tuple[Postgres, str]]:
    """Provide a separate PostgreSQL server that may be killed, with a database."""
    if os.environ.get(ELSEWHERE):
        pytest.skip("the shared server must not be killed")
    server = Postgres(home_of(tmp_path), options=OPTIONS)
    await asyncio.to_thread(server.prepare)
    dsn = await server.create()
    yield server, dsn
    async with asyncio.timeout(TIMEOUT):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError):  # the server may still be starting
                await server.drop(dsn)
                break
            await asyncio.sleep(0.1)


@asynccontextmanager
async def run_killed_workers(shop: Shop, chance: random.Random) -> AsyncIterator[None]:
    """Run two more workers; each is killed at random times and replaced by another."""

    async def one() -> None:
        while True:
            async with worker_process(shop.settings):
                await asyncio.sleep(chance.uniform(1.5, 4))

    running = [asyncio.create_task(one()) for _ in range(2)]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def click_until_accepted(shop: Shop, payment: str) -> None:
    """Request a refund until the response says that it is paid or in process."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            with contextlib.suppress(httpx2.TransportError):
                answer = await shop.request_refund(payment, key=f"click-{payment}")
                if answer.status_code in {201, 202} or answer.json()["code"] == "already_refunded":
                    return
            await asyncio.sleep(0.2)


async def wait_until_no_work(shop: Shop) -> None:
    """Wait until no work is due, even if the database restarts during the wait."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if await shop.count_pending_work() == 0:
                    return
            await asyncio.sleep(0.1)


async def check_nothing_lost(shop: Shop, kill: Callable[[], Awaitable[None]], chance: random.Random) -> None:
    """Deliver events and request refunds while ``kill`` runs; then compare our records with Stripe's."""
    made = await create_subscribers(shop, READERS, clock=shop.clock)
    known = await list_events(shop)
    await asyncio.gather(*(deliver_until_accepted(shop, event) for event in known[: len(known) // 2]))
    await wait_until_no_work(shop)
    held = {row["stripe_id"] for row in await shop.rows("SELECT stripe_id FROM subscriptions")}
    refunded = [p for one in made if one in held for p in (await StripeRecords.of(shop, one)).payments][:REFUNDED]
    assert refunded
    await asyncio.gather(*(shop.stripe_post(f"/v1/subscriptions/{one}", **{"metadata[n]": "1"}) for one in made))
    later = (await list_events(shop))[len(known) // 2 :]
    chance.shuffle(later)

    async def deliver_all() -> None:
        for event in later:
            await deliver_until_accepted(shop, event)
            await asyncio.sleep(chance.uniform(0, 0.12))

    async with run_killed_workers(shop, chance), asyncio.TaskGroup() as load:
        load.create_task(deliver_all())
        for payment in refunded:
            load.create_task(click_until_accepted(shop, payment))
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.2, 1.2))
            await kill()
    await wait_until_no_work(shop)

    for event in await list_events(shop):  # of the refunds and the cancellations they cause
        await deliver_until_accepted(shop, event)
    await wait_until_no_work(shop)
    assert not (wrong := await all_differences(shop, made)), wrong
    amounts_by_payment = {payment: await refunds_at_stripe(shop, payment) for payment in refunded}
    assert [list(amounts.values()) for amounts in amounts_by_payment.values()] == [[49_00]] * len(refunded)
    lost = await shop.rows("SELECT id, state FROM events WHERE state NOT IN ('applied', 'ignored')")
    assert lost == []
    kept = {row["id"] for row in await shop.rows("SELECT id FROM events")}
    assert {event["id"] for event in known + later} <= kept


@pytest.mark.slow
@pytest.mark.parametrize("seed", fixed_seeds(2))
async def test_nothing_is_lost_when_the_service_and_its_workers_are_killed(killable_shop: Shop, seed: int) -> None:
    shop, chance = killable_shop, seeded(seed)
    process = shop.process
    assert process is not None

    async def kill() -> None:
        process.kill()
        await asyncio.sleep(chance.uniform(0, 0.3))
        await process.start()

    await check_nothing_lost(shop, kill, chance)


@pytest.mark.slow
@pytest.mark.parametrize("seed", fixed_seeds(2))
async def test_nothing_is_lost_when_postgresql_is_killed(
    durable_postgres: tuple[Postgres, str], sandbox: Any, issuer: Any, seed: int
) -> None:
    server, dsn = durable_postgres
    async with open_shop(dsn, sandbox, issuer, separate_process=True) as shop:

        async def kill() -> None:
            server.kill()

        await check_nothing_lost(shop, kill, seeded(seed))


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_nothing_is_lost_when_the_service_and_postgresql_are_killed(
    durable_postgres: tuple[Postgres, str], sandbox: Any, issuer: Any
) -> None:
    server, dsn = durable_postgres
    chance = seeded(random_seed())
    async with open_shop(dsn, sandbox, issuer, separate_process=True) as shop:
        process = shop.process
        assert process is not None

        async def kill() -> None:
            for end in chance.sample((server.kill, process.kill), 2):
                end()
                await asyncio.sleep(chance.uniform(0, 0.3))
            await process.start()

        await check_nothing_lost(shop, kill, chance)


HELD: Sequence[Any] = [
    pytest.param({"path": "/v1/subscriptions/*", "when": "before"}, id="claimed, nothing fetched"),
    pytest.param({"path": "/v1/subscriptions/*", "when": "after"}, id="subscription fetched, invoices not"),
    pytest.param({"path": "/v1/invoices", "when": "after"}, id="all fetched, nothing saved"),
]


@pytest.mark.parametrize("held", HELD)
async def test_a_killed_worker_leaves_its_event_to_the_next_one(
    killable_shop: Shop, held: Mapping[str, object]
) -> None:
    (one,) = await create_subscribers(killable_shop, 1, clock=killable_shop.clock)
    fault = await killable_shop.add_fault(method="GET", action="hold", times=1, **held)
    for event in await list_events(killable_shop):
        await deliver(killable_shop, event)
    await kill_and_restart(killable_shop, fault)
    await killable_shop.wait_until_idle()

    assert not (wrong := await all_differences(killable_shop, [one])), wrong


@pytest.mark.parametrize(
    "table",
    [
        pytest.param("events", id="event received, not committed"),
        pytest.param("subscriptions", id="fetched state being saved"),
        pytest.param("entitlements", id="state saved, not granted"),
    ],
)
async def test_a_transaction_interrupted_by_a_kill_is_repeated_in_full(killable_shop: Shop, table: str) -> None:
    (one,) = await create_subscribers(killable_shop, 1, clock=killable_shop.clock)
    events = await list_events(killable_shop)
    connection = await asyncpg.connect(killable_shop.dsn)
    waits = "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
    waits += " JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()"
    waits += " WHERE c.relname = $1 AND NOT l.granted)"
    arriving = []
    async with connection.transaction(), asyncio.timeout(TIMEOUT):
        await connection.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        arriving = [asyncio.create_task(deliver_until_accepted(killable_shop, event)) for event in events]
        while not await connection.fetchval(waits, table):
            await asyncio.sleep(0.02)
        await kill_and_restart(killable_shop)
    await connection.close()
    await asyncio.gather(*arriving)
    await killable_shop.wait_until_idle()

    assert not (wrong := await all_differences(killable_shop, [one])), wrong
    twice = await killable_shop.rows("SELECT object_id FROM audit_log GROUP BY object_id, action HAVING count(*) > 1")
    assert twice == []
