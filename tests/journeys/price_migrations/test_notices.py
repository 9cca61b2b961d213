"""The notice of a new price: sent before the price changes, with the exact total, and never contradicted by another."""

import pytest

from app.domain.price_migrations import NoticesOff
from tests.journeys.price_migrations.test_price_migrations import (
    DAY,
    QUOTED_AGAIN,
    RENEWAL,
    RENEWED,
    SWITCHED,
    TOLD,
    subscribed,
)
from tests.support.mailbox import Mailbox
from tests.support.price_migrations import invoices, new_price, only_change, prices, run_at, start
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


async def test_a_migration_needs_notices(shop: Shop) -> None:
    await new_price(shop, 59_00)
    with pytest.raises(NoticesOff):
        await start(shop, publisher_sends_notices=False)
