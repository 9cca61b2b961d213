"""A price of print that changes, of a reader who drops print before or after."""

from datetime import datetime

import pytest

from tests.journeys.price_migrations.test_price_migrations import ME, QUOTED_AGAIN, RENEWED, SWITCHED, TOLD, subscribed
from tests.support.labels import HOME
from tests.support.price_migrations import invoices, new_price, only_change, run_at, start
from tests.support.print_edition import change as change_print
from tests.support.shop import Shop

DIGITAL, PRINT = "newsstand_annual_digital", "newsstand_annual_print"


@pytest.mark.parametrize(
    ("before", "made", "after"),
    [
        pytest.param([TOLD], 0, [QUOTED_AGAIN, SWITCHED, RENEWED], id="before it changes"),
        pytest.param([TOLD, QUOTED_AGAIN, SWITCHED], 1, [RENEWED], id="after it has changed at Stripe"),
    ],
)
async def test_a_reader_who_drops_print_has_no_new_price_of_print(
    shop: Shop, before: list[datetime], made: int, after: list[datetime]
) -> None:
    await shop.plan_issues(60)
    ada, held = await subscribed(shop)
    await change_print(shop, ada, enabled=True, address=HOME)
    await new_price(shop, 30_00, "print")
    migration = await start(shop, PRINT)
    await run_at(shop, *before)
    await change_print(shop, ada, enabled=False, key="print-2")
    await run_at(shop, *after)

    found = await only_change(shop, migration)
    assert (found["status"], found["reason"]) == ("stopped", "unchanged")
    assert len(await shop.rows("SELECT id FROM audit_log WHERE action = 'price_change.made'")) == made
    assert (await shop.get(ME, ada)).json()["next_price"] is None
    assert (await invoices(shop, held))[-1]["total"] == 49_00
    assert await shop.rows("SELECT reason FROM anomalies WHERE code = 'renewal_differs'") == []


async def test_print_that_is_dropped_after_both_prices_changed_is_not_shown_to_staff(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada, held = await subscribed(shop)
    await change_print(shop, ada, enabled=True, address=HOME)
    await new_price(shop, 30_00, "print")
    await new_price(shop, 59_00)
    migration = await start(shop, DIGITAL, PRINT)
    await run_at(shop, TOLD, QUOTED_AGAIN, SWITCHED)
    await change_print(shop, ada, enabled=False, key="print-2")
    await run_at(shop, RENEWED)

    assert (await only_change(shop, migration))["status"] == "completed"
    assert (await invoices(shop, held))[-1]["total"] == 59_00
    assert await shop.rows("SELECT reason FROM anomalies WHERE code = 'renewal_differs'") == []
