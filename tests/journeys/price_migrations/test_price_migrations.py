"""Current subscribers move to a new price at a renewal: told before, exactly as quoted, and never in between."""

from datetime import timedelta

import pytest

from app.domain.price_migrations import MigrationInProgress
from tests.journeys.lifecycle.test_manual_changes_at_stripe import only_subscription
from tests.support.labels import HOME
from tests.support.price_migrations import (
    KEY,
    PATH,
    admin,
    changes,
    invoices,
    new_price,
    only_change,
    prices,
    run_at,
    run_due,
    start,
    status,
)
from tests.support.print_edition import change as change_print
from tests.support.shop import START_TIME, Person, Shop

RENEWAL = START_TIME.replace(year=2027)
DAY = timedelta(days=1)
TOLD, QUOTED_AGAIN, SWITCHED, RENEWED = RENEWAL - 28 * DAY, RENEWAL - 9 * DAY, RENEWAL - 3 * DAY, RENEWAL + DAY
ME = "/v1/me/subscription"


async def subscribed(shop: Shop, name: str = "ada", *, print_edition: bool = False) -> tuple[Person, str]:
    reader = shop.person(name)
    await shop.subscribe(reader, print_edition=print_edition)
    return reader, str((await only_subscription(shop, reader))["stripe_id"])


async def test_the_renewal_costs_what_the_reader_was_told_and_nothing_is_charged_before(shop: Shop) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"tax_rate": 8})
    coupon = await shop.stripe_post("/v1/coupons", percent_off="25", duration="forever")
    ada, held = await subscribed(shop, print_edition=True)
    await shop.stripe_post(
        f"/v1/subscriptions/{held}", **{"discounts[0][coupon]": coupon["id"], "automatic_tax[enabled]": "true"}
    )
    digital, _ = await prices(shop, held), await new_price(shop, 59_00)
    before = await shop.stripe_get(f"/v1/subscriptions/{held}")
    migration = await start(shop)
    assert (await only_change(shop, migration))["status"] == "planned"
    assert (await shop.get(ME, ada)).json()["next_price"] is None

    await run_at(shop, TOLD)
    told = await only_change(shop, migration)
    assert (told["status"], told["before"]["amount"], told["after"]["amount"]) == ("announced", 49_00, 59_00)
    coming = (await shop.get(ME, ada)).json()["next_price"]
    assert coming["from"].startswith("2027-03-01")
    assert coming["total"]["amount"] == told["total"]["amount"] > coming["before"]["amount"]
    assert await prices(shop, held) == digital, "the reader was told, and nothing else happened"

    await run_at(shop, QUOTED_AGAIN, SWITCHED)
    assert await prices(shop, held) == {"digital": (59_00, 1), "print": (24_00, 1)}
    after = await shop.stripe_get(f"/v1/subscriptions/{held}")
    kept = ("current_period_start", "current_period_end")
    assert [[item[name] for name in kept] for item in after["items"]["data"]] == [
        [item[name] for name in kept] for item in before["items"]["data"]
    ]
    assert after["discounts"] == before["discounts"]
    assert after["billing_cycle_anchor"] == before["billing_cycle_anchor"]
    assert len(await invoices(shop, held)) == 1
    assert (await shop.stripe_get("/v1/invoiceitems"))["data"] == []
    upcoming = await shop.stripe_post("/v1/invoices/create_preview", subscription=held)
    assert upcoming["total"] == told["total"]["amount"]

    await run_at(shop, RENEWED)
    first, renewal = await invoices(shop, held)
    assert (first["total"], renewal["total"]) == (73_00, told["total"]["amount"])
    assert (await only_change(shop, migration))["status"] == "completed"
    assert await status(shop, migration) == "finished"
    assert await shop.may_read(ada)
    seen = [
        row["action"] for row in await shop.rows("SELECT action FROM audit_log WHERE action LIKE 'price%' ORDER BY id")
    ]
    assert seen == [
        "price_migration.started",
        "price_change.announced",
        "price_change.made",
        "price_migration.finished",
    ]


async def test_a_cancellation_stops_it_and_a_resumption_renews_at_the_old_price(shop: Shop) -> None:
    ada, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    await run_at(shop, TOLD)
    assert (await only_change(shop, migration))["status"] == "announced"

    canceled = await shop.post(f"{ME}/cancel", ada, {"when": "period_end"})
    assert canceled.status_code == 200, canceled.text
    assert canceled.json()["next_price"] is None
    await shop.wait_until_idle()
    await run_at(shop, QUOTED_AGAIN, SWITCHED)
    found = await only_change(shop, migration)
    assert (found["status"], found["reason"]) == ("stopped", "ending")

    assert (await shop.post(f"{ME}/resume", ada)).status_code == 200
    await run_at(shop, SWITCHED + DAY, RENEWED)
    assert (await invoices(shop, held))[-1]["total"] == 49_00
    assert await prices(shop, held) == {"digital": (49_00, 1)}


async def test_a_cancellation_that_is_undone_in_time_changes_nothing(shop: Shop) -> None:
    ada, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    await run_at(shop, TOLD)
    assert (await shop.post(f"{ME}/cancel", ada, {"when": "period_end"})).status_code == 200
    assert (await shop.post(f"{ME}/resume", ada)).status_code == 200
    await run_at(shop, QUOTED_AGAIN, SWITCHED, RENEWED)
    assert (await only_change(shop, migration))["status"] == "completed"
    assert (await invoices(shop, held))[-1]["total"] == 59_00


async def test_a_reader_who_was_not_told_in_time_renews_once_more_at_the_old_price(shop: Shop) -> None:
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    await shop.advance_to(RENEWAL - 6 * DAY)  # no worker ran for three weeks
    await run_due(shop)
    found = await only_change(shop, migration)
    assert (found["status"], found["renewal_at"][:10]) == ("planned", "2028-03-01")
    await run_at(shop, RENEWED)
    assert (await invoices(shop, held))[-1]["total"] == 49_00
    assert (await only_change(shop, migration))["status"] == "planned"


async def test_a_renewal_without_workers_is_at_the_old_price(shop: Shop) -> None:
    ada, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    await run_at(shop, TOLD)
    await shop.advance_to(RENEWED)  # no worker ran before the renewal
    await run_due(shop)
    assert (await invoices(shop, held))[-1]["total"] == 49_00
    found = await only_change(shop, migration)
    assert (found["status"], found["renewal_at"][:10], found["total"]) == ("planned", "2028-03-01", None)
    assert (await shop.get(ME, ada)).json()["next_price"] is None


async def test_a_reader_who_adds_print_gets_a_notice_with_the_new_total(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    await run_at(shop, TOLD)
    assert (await only_change(shop, migration))["total"]["amount"] == 59_00

    await change_print(shop, ada, enabled=True, address=HOME)
    await run_at(shop, QUOTED_AGAIN)
    found = await only_change(shop, migration)
    assert (found["status"], found["total"]["amount"]) == ("announced", 83_00)
    assert found["announced_at"].startswith("2027-02-20")
    await run_at(shop, SWITCHED, RENEWED)
    assert (await invoices(shop, held))[-1]["total"] == 83_00


async def test_a_grandfathered_price_survives_an_extension(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada, held = await subscribed(shop)
    await new_price(shop, 59_00)
    ours = (await only_subscription(shop, ada))["id"]
    extended = await shop.post(
        f"/v1/support/subscriptions/{ours}/extend",
        shop.agent,
        {"issues": 2, "reason": "other", "note": "a kindness"},
        **{"Idempotency-Key": "extend-1"},
    )
    assert extended.status_code in (200, 201), extended.text
    await run_at(shop, RENEWED)
    assert await prices(shop, held) == {"digital": (49_00, 1)}
    assert (await invoices(shop, held))[-1]["total"] == 49_00


async def test_an_extension_neither_moves_nor_stops_a_change(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    await run_at(shop, TOLD)
    ours = (await only_subscription(shop, ada))["id"]
    body = {"issues": 2, "reason": "other", "note": "a kindness"}
    extended = await shop.post(
        f"/v1/support/subscriptions/{ours}/extend", shop.agent, body, **{"Idempotency-Key": "extend-1"}
    )
    assert extended.status_code in (200, 201), extended.text
    await run_at(shop, QUOTED_AGAIN, SWITCHED, RENEWED)
    assert (await only_change(shop, migration))["status"] == "completed"
    assert (await invoices(shop, held))[-1]["total"] == 59_00


async def test_a_stopped_migration_leaves_prices_as_they_are_and_another_can_start(shop: Shop) -> None:
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    await run_at(shop, TOLD)
    with pytest.raises(MigrationInProgress):
        await start(shop)

    stopped = await shop.post(f"{PATH}/{migration.id}/stop", admin(shop))
    assert stopped.status_code == 200, stopped.text
    assert stopped.json()["counts"] == [{"status": "stopped", "reason": "migration_stopped", "count": 1}]
    again = await shop.post(f"{PATH}/{migration.id}/stop", admin(shop))
    assert (again.status_code, again.json()["code"]) == (409, "migration_not_running")
    assert (await shop.post(f"{PATH}/{migration.id}/stop", shop.agent)).status_code == 403

    await new_price(shop, 69_00, version=3)
    second = await start(shop, KEY)
    await run_at(shop, RENEWAL - 20 * DAY, QUOTED_AGAIN, SWITCHED, RENEWED)
    assert (await invoices(shop, held))[-1]["total"] == 69_00
    assert await status(shop, second) == "finished"
    assert await status(shop, migration) == "stopped"


async def test_those_who_keep_their_price_are_listed_with_the_reason(shop: Shop) -> None:
    _, ending = await subscribed(shop, "ada")
    _, custom = await subscribed(shop, "ben")
    _, free = await subscribed(shop, "cleo")
    await shop.stripe_post(f"/v1/subscriptions/{ending}", cancel_at_period_end="true")
    item = (await shop.stripe_get(f"/v1/subscriptions/{custom}"))["items"]["data"][0]["id"]
    agreed = await shop.stripe_post(
        "/v1/prices",
        **{
            "product": "newsstand_annual_digital",
            "unit_amount": "1000",
            "currency": "usd",
            "recurring[interval]": "year",
            "tax_behavior": "exclusive",
        },
    )
    change = {"items[0][id]": item, "items[0][price]": agreed["id"], "proration_behavior": "none"}
    await shop.stripe_post(f"/v1/subscriptions/{custom}", **change)
    await new_price(shop, 59_00)
    coupon = await shop.stripe_post("/v1/coupons", percent_off="100", duration="forever")
    await shop.stripe_post(f"/v1/subscriptions/{free}", **{"discounts[0][coupon]": coupon["id"]})
    await shop.wait_until_idle()

    migration = await start(shop)
    await run_at(shop, TOLD)
    found = {one["stripe_id"]: (one["status"], one["reason"]) for one in await changes(shop, migration)}
    assert found == {
        ending: ("left_out", "ending"),
        custom: ("left_out", "custom_price"),
        free: ("stopped", "complimentary"),
    }
