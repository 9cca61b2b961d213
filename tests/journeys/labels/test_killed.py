"""The service is killed during a freeze or a supplement. The run is whole or absent, and no copy is on two runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import httpx2
import pytest

from tests.support.labels import HOME, freeze, labels, move, try_to_freeze
from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT

pytestmark = pytest.mark.slow
ISSUE = 5
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)
WAITING = "(EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()))"
AFTER_COMMIT = "idempotent_requests"
STEPS = ("labels", "label_runs", "calendar_edition", "derivation_runs", "audit_log", AFTER_COMMIT)  # in this order
MAIN_ONLY = {"calendar_edition", "derivation_runs"}  # a supplement doesn't change the calendar


async def kill_at(shop: Shop, table: str, *, supplement: bool) -> None:
    """Freeze, and kill the service when it is about to write to a table."""
    assert shop.process is not None
    async with AsyncExitStack() as stack:
        holder, other = [await stack.enter_async_context(_connection(shop)) for _ in range(2)]
        holding = holder.transaction()
        await holding.start()
        await holder.execute(f"LOCK TABLE {'audit_log' if table == AFTER_COMMIT else table} IN SHARE MODE")
        click = asyncio.create_task(try_to_freeze(shop, ISSUE, supplement=supplement))
        await _wait_for(shop, WAITING)
        if table == AFTER_COMMIT:  # let it commit, and stop it before it stores its answer
            await other.execute("BEGIN; SELECT FROM idempotent_requests FOR UPDATE")
            await holding.rollback()
            await _wait_for(shop, f"EXISTS (SELECT FROM label_runs WHERE number = {supplement:d}) AND {WAITING}")
        shop.process.kill()
        with contextlib.suppress(httpx2.TransportError):
            await click
        if table != AFTER_COMMIT:
            await holding.rollback()
        await other.execute("ROLLBACK")
    await _wait_for(shop, f"NOT {WAITING}")
    await shop.process.start()
    await shop.execute("UPDATE idempotent_requests SET running_until = now()")  # end the killed request's lease


@asynccontextmanager
async def _connection(shop: Shop) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(shop.dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def _wait_for(shop: Shop, condition: str) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not await shop.pool.fetchval(f"SELECT {condition}"):
            await asyncio.sleep(0.02)


async def runs(shop: Shop) -> list[tuple[int, int, int]]:
    """Return each run with the copies that it says it has, and those that it has."""
    rows = await shop.rows(
        "SELECT r.number, r.copies, (SELECT count(*) FROM labels l WHERE l.run_id = r.id) AS labels FROM label_runs r"
        " ORDER BY number"
    )
    return [(row["number"], row["copies"], row["labels"]) for row in rows]


@pytest.mark.parametrize("table", STEPS)
async def test_a_killed_freeze_is_whole_or_absent_and_repeated_once(killable_shop: Shop, table: str) -> None:
    shop = killable_shop
    await shop.plan_issues(30)
    for name in ("ada", "ben"):
        await shop.subscribe(shop.person(name), print_edition=True)
    await shop.advance_to(CUTOFF)

    await kill_at(shop, table, supplement=False)
    made = await runs(shop)
    await freeze(shop, ISSUE)

    assert made == ([(0, 2, 2)] if table == AFTER_COMMIT else [])
    assert await runs(shop) == [(0, 2, 2)]
    assert len(await labels(shop, ISSUE)) == 2
    (entries,) = await shop.rows("SELECT count(*) FROM audit_log WHERE action = 'labels.frozen'")
    assert entries["count"] == 1


@pytest.mark.parametrize("table", [table for table in STEPS if table not in MAIN_ONLY])
async def test_a_killed_supplement_is_whole_or_absent_and_repeated_once(killable_shop: Shop, table: str) -> None:
    shop = killable_shop
    await shop.plan_issues(30)
    ada = shop.person("ada")
    for reader in (ada, shop.person("ben")):
        await shop.subscribe(reader, print_edition=True)
    await shop.execute(
        "UPDATE postal_addresses SET is_usable = false WHERE subscriber_id IN"
        " (SELECT id FROM subscribers WHERE sub = 'ada')"
    )
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    await move(shop, ada, {**HOME, "line2": "Apt 2"})

    await kill_at(shop, table, supplement=True)
    made = await runs(shop)
    await freeze(shop, ISSUE, supplement=True)

    assert made == [(0, 1, 1), *([(1, 1, 1)] if table == AFTER_COMMIT else [])]
    assert await runs(shop) == [(0, 1, 1), (1, 1, 1)]
    twice = "SELECT FROM labels GROUP BY subscription_id, issue_number HAVING count(*) > 1"
    assert await shop.rows(twice) == []
