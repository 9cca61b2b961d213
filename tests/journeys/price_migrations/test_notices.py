"""The notice of a new price: sent before the price changes, with the exact total, and never contradicted by another."""

from pathlib import Path
from typing import Any

import pytest

from app.domain.price_migrations import NoticesOff
from app.services import notifications
from tests.journeys.price_migrations.test_price_migrations import (
    DAY,
    QUOTED_AGAIN,
    RENEWAL,
    RENEWED,
    SWITCHED,
    TOLD,
    subscribed,
)
from tests.journeys.price_migrations.test_stopped import stop
from tests.support.mailbox import Mailbox
from tests.support.notices import entry, open_mailing_shop
from tests.support.price_migrations import context, invoices, new_price, only_change, prices, run_at, start
from tests.support.shop import Shop

PREPARED = RENEWAL - 50 * DAY


async def mails_of(shop: Shop) -> list[tuple[str, str]]:
    rows = await shop.rows("SELECT kind, status FROM notifications WHERE settled_at IS NOT NULL ORDER BY settled_at")
    return [(row["kind"], row["status"]) for row in rows]


async def test_the_notice_is_sent_before_the_price_changes_and_kept(mailing_shop: Shop, mail: Mailbox) -> None:
    shop = mailing_shop
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop, publisher_sends_notices=False)
    await run_at(shop, PREPARED, TOLD)
    await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE kind = 'price_change' AND status = 'sent'")

    (notice,) = [one for one in mail.received if "price of your subscription" in one.subject]
    assert notice.subject == "The price of your subscription changes on March 1, 2027"
    assert "costs $59 instead of $49" in notice.text
    assert "the payment on that day is $59" in notice.text
    stored = await shop.rows("SELECT text FROM notifications WHERE kind = 'price_change'")
    assert [row["text"] for row in stored] == [notice.text], "the evidence is what was sent"
    (renewal,) = [
        row["data"] for row in await shop.rows("SELECT data::text FROM notifications WHERE kind = 'renewal_ahead'")
    ]
    assert '"amount": 5900' in renewal, "the notice of the renewal names the same price"

    await run_at(shop, QUOTED_AGAIN, SWITCHED, RENEWED)
    assert (await only_change(shop, migration))["status"] == "completed"
    assert (await invoices(shop, held))[-1]["total"] == 59_00
    assert len(await shop.rows("SELECT id FROM notifications WHERE kind = 'price_change'")) == 1


async def test_a_price_does_not_change_if_its_notice_is_refused(mailing_shop: Shop, mail: Mailbox) -> None:
    shop = mailing_shop
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop, publisher_sends_notices=False)
    await run_at(shop, PREPARED)
    mail.to_recipient += ["550 no such mailbox"] * 5
    await run_at(shop, TOLD)
    await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE kind = 'price_change' AND status = 'refused'")

    await run_at(shop, QUOTED_AGAIN, SWITCHED, RENEWED)
    assert await prices(shop, held) == {"digital": (49_00, 1)}
    assert (await invoices(shop, held))[-1]["total"] == 49_00
    found = await only_change(shop, migration)
    assert (found["status"], found["renewal_at"][:10]) == ("planned", "2028-03-01")


async def test_a_price_does_not_change_if_its_notice_came_back_for_good(mailing_shop: Shop, mail: Mailbox) -> None:
    shop = mailing_shop
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop, publisher_sends_notices=False)
    await run_at(shop, TOLD)
    await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE kind = 'price_change' AND status = 'sent'")
    (notice,) = await shop.rows("SELECT id FROM notifications WHERE kind = 'price_change'")
    async with context(shop) as ctx:
        await notifications.record_bounce(
            ctx, notice["id"], permanent=True, reason="550 no such mailbox", real_now=ctx.clock.real()
        )

    await run_at(shop, QUOTED_AGAIN, SWITCHED, RENEWED)
    assert await prices(shop, held) == {"digital": (49_00, 1)}
    assert (await invoices(shop, held))[-1]["total"] == 49_00
    found = await only_change(shop, migration)
    assert (found["status"], found["renewal_at"][:10]) == ("planned", "2028-03-01")
    queue = (await shop.get("/v1/support/queue", shop.agent)).json()["data"]
    assert [item["kind"] for item in queue] == ["notification"], "staff see that the reader was not told"

    await stop(shop, migration)
    await shop.wait_until_idle()
    assert await shop.rows("SELECT id FROM notifications WHERE kind = 'price_unchanged'") == []


async def test_a_migration_needs_notices(shop: Shop) -> None:
    await new_price(shop, 59_00)
    with pytest.raises(NoticesOff):
        await start(shop, publisher_sends_notices=False)


@pytest.mark.parametrize(
    ("days", "sent"),
    [
        pytest.param(14, 14, id="as the policy says"),
        pytest.param(7, 9, id="two days before the law's last day, in case that something fails"),
    ],
)
async def test_the_notice_is_sent_as_many_days_ahead_as_the_policy_says(
    database: str, sandbox: Any, issuer: Any, mail: Mailbox, tmp_path: Path, days: int, sent: int
) -> None:
    policy = entry("price_change", days)
    async with open_mailing_shop(database, sandbox, issuer, mail, tmp_path, policy) as shop:
        _, held = await subscribed(shop)
        await new_price(shop, 59_00)
        migration = await start(shop, publisher_sends_notices=False)
        await run_at(shop, PREPARED, TOLD, RENEWAL - (sent + 1) * DAY)
        assert (await only_change(shop, migration))["status"] == "planned"
        await run_at(shop, RENEWAL - sent * DAY)
        assert (await only_change(shop, migration))["status"] == "announced"
        await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE kind = 'price_change' AND status = 'sent'")
        await run_at(shop, RENEWAL - 8 * DAY, SWITCHED)
        assert await prices(shop, held) == {"digital": (59_00, 1)}


async def test_a_renewal_that_costs_something_else_than_the_notice_said_is_shown_to_staff(shop: Shop) -> None:
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    await run_at(shop, TOLD, QUOTED_AGAIN, SWITCHED)
    coupon = await shop.stripe_post("/v1/coupons", percent_off="50", duration="forever")
    await shop.stripe_post(f"/v1/subscriptions/{held}", **{"discounts[0][coupon]": coupon["id"]})
    await run_at(shop, RENEWED)

    assert (await only_change(shop, migration))["status"] == "completed"
    found = (await shop.get("/v1/support/queue", shop.agent, kind="anomaly")).json()["data"]
    assert [item["code"] for item in found] == ["renewal_differs"], found
    (reason,) = [row["reason"] for row in await shop.rows("SELECT reason FROM anomalies WHERE gone_at IS NULL")]
    assert (
        reason == "The renewal at the new price was billed at 29.50 USD, but the notice to the reader said 59.00 USD."
    )
