"""A change of the price is made once: killed at any step, declined, without an answer, or by two workers at a time."""

import asyncio

import pytest

from app.services import price_migrations
from tests.journeys.price_migrations.test_price_migrations import QUOTED_AGAIN, RENEWED, SWITCHED, TOLD, subscribed
from tests.support.crashes import kill_and_restart
from tests.support.price_migrations import context, invoices, new_price, only_change, prices, run_at, run_due, start
from tests.support.shop import Shop

PREVIEW, UPDATE = "/v1/invoices/create_preview", "/v1/subscriptions/*"
DUE = "UPDATE price_changes SET act_at = NULL, due_at = now()"


async def audited(shop: Shop, action: str) -> int:
    return len(await shop.rows("SELECT id FROM audit_log WHERE action = $1", action))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "when"),
    [
        pytest.param("GET", "/v1/subscriptions", "before", id="while listing subscriptions"),
        pytest.param("POST", PREVIEW, "after", id="quoted, not announced"),
        pytest.param("POST", UPDATE, "before", id="intent stored, Stripe not asked"),
        pytest.param("POST", UPDATE, "after", id="changed at Stripe, not recorded"),
    ],
)
async def test_a_change_that_is_killed_is_made_once(killable_shop: Shop, method: str, path: str, when: str) -> None:
    shop = killable_shop
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    fault = {"method": method, "path": path, "when": when, "action": "hold", "times": 1}

    async def killed_at(step: str) -> None:
        held_call = await shop.add_fault(**fault) if step == path else None
        await shop.execute(DUE)
        if held_call is not None:
            await kill_and_restart(shop, held_call)
        await shop.wait_until_idle()

    if path == "/v1/subscriptions":
        held_list = await shop.add_fault(**fault)
        starting = asyncio.create_task(start(shop))
        await kill_and_restart(shop, held_list)
        migration = await starting
    else:
        migration = await start(shop)
    await shop.advance_to(TOLD)
    await killed_at(PREVIEW)
    assert (await only_change(shop, migration))["status"] == "announced"
    await run_at(shop, QUOTED_AGAIN)
    await shop.advance_to(SWITCHED)
    await killed_at(UPDATE)

    assert (await only_change(shop, migration))["status"] == "switched"
    assert await prices(shop, held) == {"digital": (59_00, 1)}
    assert (await audited(shop, "price_change.announced"), await audited(shop, "price_change.made")) == (1, 1)
    await run_at(shop, RENEWED)
    assert [one["total"] for one in await invoices(shop, held)] == [49_00, 59_00]
    assert (await only_change(shop, migration))["status"] == "completed"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"action": "status", "status": 500, "when": "before"}, id="a server error"),
        pytest.param({"action": "status", "status": 500, "when": "after"}, id="a server error after the change"),
        pytest.param({"action": "drop", "when": "after"}, id="no answer after the change"),
    ],
)
async def test_a_failure_of_stripe_delays_a_change(shop: Shop, fault: dict[str, object]) -> None:
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    await run_at(shop, TOLD, QUOTED_AGAIN)
    await shop.add_fault(method="POST", path=UPDATE, times=1, **fault)
    await run_at(shop, SWITCHED)
    await shop.wait_until("SELECT status = 'switched' FROM price_changes")
    assert await prices(shop, held) == {"digital": (59_00, 1)}
    assert await audited(shop, "price_change.made") == 1
    assert await shop.rows("SELECT key FROM intents WHERE settled_at IS NULL") == []
    await run_at(shop, RENEWED)
    assert (await only_change(shop, migration))["status"] == "completed"


async def test_two_workers_announce_and_change_a_price_once(shop: Shop) -> None:
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    change = (await only_change(shop, migration))["id"]

    async def twice() -> None:
        async with context(shop) as ctx:
            now = await ctx.clock.policy()
            both = (price_migrations.advance(ctx, change, now=now) for _ in range(2))
            await asyncio.gather(*both, return_exceptions=True)  # one of them may have to try again

    await shop.advance_to(TOLD)
    await twice()
    assert await audited(shop, "price_change.announced") == 1
    await run_at(shop, QUOTED_AGAIN)
    await shop.advance_to(SWITCHED)
    await twice()
    await run_due(shop)
    assert await audited(shop, "price_change.made") == 1
    assert await prices(shop, held) == {"digital": (59_00, 1)}
    made = await shop.stripe_requests("POST", f"/v1/subscriptions/{held}")
    assert len(made) == 1, "both sent the same key"


async def test_two_starts_at_once_make_one_migration(shop: Shop) -> None:
    await new_price(shop, 59_00)
    results = await asyncio.gather(start(shop), start(shop), return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["MigrationInProgress", "PriceMigration"]
