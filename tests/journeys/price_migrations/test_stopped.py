"""A migration that is stopped: no price changes at Stripe afterwards, and no notice of it is sent anymore."""

import asyncio

import pytest

from app.domain.errors import StripeFault, StripeUnavailable
from app.domain.price_migrations import PriceMigration
from app.services import price_migrations
from tests.journeys.price_migrations.test_interrupted import DUE, PREVIEW, UPDATE, audited
from tests.journeys.price_migrations.test_price_migrations import (
    ME,
    QUOTED_AGAIN,
    RENEWAL,
    RENEWED,
    SWITCHED,
    TOLD,
    subscribed,
)
from tests.support.crashes import wait_until_hit
from tests.support.mailbox import Mailbox
from tests.support.price_migrations import (
    NOTICE_REFUSED,
    PATH,
    admin,
    context,
    invoices,
    new_price,
    only_change,
    prices,
    run_at,
    run_due,
    start,
)
from tests.support.shop import Shop

NOTICES = "SELECT id FROM notifications WHERE kind = 'price_change'"
BUSY = "451 try again later"


async def stop(shop: Shop, migration: PriceMigration) -> None:
    stopped = await shop.post(f"{PATH}/{migration.id}/stop", admin(shop))
    assert stopped.status_code == 200, stopped.text


async def switching(shop: Shop, when: str) -> tuple[str, PriceMigration, str]:
    """Return a subscription whose price Stripe is being asked to change, its migration, and the fault that stops it."""
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    await run_at(shop, TOLD, QUOTED_AGAIN)
    await shop.advance_to(SWITCHED)
    fault = await shop.add_fault(method="POST", path=UPDATE, action="status", status=500, when=when, times=1000)
    change = (await only_change(shop, migration))["id"]
    async with context(shop) as ctx:
        with pytest.raises((StripeFault, StripeUnavailable)):
            await price_migrations.advance(ctx, change, now=await ctx.clock.policy())
    return held, migration, fault


@pytest.mark.parametrize(
    ("when", "status", "reason", "price"),
    [
        pytest.param("before", "stopped", "migration_stopped", 49_00, id="Stripe was down"),
        pytest.param("after", "switched", None, 59_00, id="its answer was lost"),
    ],
)
async def test_a_stop_while_stripe_is_asked_leaves_the_price_that_stripe_has(
    shop: Shop, when: str, status: str, reason: str | None, price: int
) -> None:
    held, migration, fault = await switching(shop, when)
    await stop(shop, migration)
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute(DUE)
    await shop.wait_until_idle()

    found = await only_change(shop, migration)
    assert (found["status"], found["reason"]) == (status, reason)
    assert await prices(shop, held) == {"digital": (price, 1)}
    await run_at(shop, RENEWED)
    assert (await invoices(shop, held))[-1]["total"] == price
    assert await audited(shop, "price_change.announced") == 1, "nobody was told of another renewal"


async def test_a_change_is_not_planned_again_if_its_migration_is_stopped_meanwhile(shop: Shop) -> None:
    held, migration, fault = await switching(shop, "before")
    coupon = await shop.stripe_post("/v1/coupons", percent_off="25", duration="forever")
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.stripe_post(f"/v1/subscriptions/{held}", **{"discounts[0][coupon]": coupon["id"]})
    quoting = await shop.add_fault(method="POST", path=PREVIEW, when="after", action="hold", times=1)
    await shop.execute(DUE)
    await wait_until_hit(shop, quoting)
    await stop(shop, migration)
    await shop.stripe.delete(f"/_sandbox/faults/{quoting}")
    await shop.wait_until("SELECT status <> 'switching' FROM price_changes")

    found = await only_change(shop, migration)
    assert (found["status"], found["reason"]) == ("stopped", "migration_stopped")
    assert await prices(shop, held) == {"digital": (49_00, 1)}


async def test_a_stop_waits_for_a_change_that_is_being_planned_again(shop: Shop) -> None:
    _, migration, _ = await switching(shop, "before")
    async with shop.pool.acquire() as connection:
        planning = connection.transaction()
        await planning.start()
        await connection.execute("UPDATE price_changes SET status = 'planned', due_at = NULL")
        stopping = asyncio.create_task(stop(shop, migration))
        await shop.wait_until(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock')"
        )
        await planning.commit()
    await stopping
    assert (await only_change(shop, migration))["status"] == "stopped"


async def test_a_notice_that_was_not_sent_is_dropped_when_its_migration_stops(
    mailing_shop: Shop, mail: Mailbox
) -> None:
    shop = mailing_shop
    await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop, publisher_sends_notices=False)
    mail.to_recipient += [BUSY] * 1000
    await shop.advance_to(TOLD)
    await run_due(shop)
    await shop.wait_until(NOTICE_REFUSED)
    await stop(shop, migration)
    await shop.wait_until(f"SELECT NOT EXISTS ({NOTICES})")
    assert await audited(shop, "price_change.announced") == 1


@pytest.mark.parametrize("canceled", [True, False], ids=["the reader cancels", "it is too late for the renewal"])
async def test_a_notice_that_was_not_sent_is_dropped_with_its_change(
    mailing_shop: Shop, mail: Mailbox, canceled: bool
) -> None:
    shop = mailing_shop
    ada, _ = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop, publisher_sends_notices=False)
    mail.to_recipient += [BUSY] * 1000
    await run_at(shop, TOLD)
    await shop.wait_until(NOTICE_REFUSED)
    if canceled:
        assert (await shop.post(f"{ME}/cancel", ada, {"when": "period_end"})).status_code == 200
    await run_at(shop, QUOTED_AGAIN, SWITCHED)
    found = await only_change(shop, migration)
    assert found["status"] == ("stopped" if canceled else "planned")
    assert canceled or found["renewal_at"] > RENEWAL.isoformat()
    assert await shop.rows(NOTICES) == []
