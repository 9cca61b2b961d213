"""A price migration that is stopped while Stripe or the mail server has not answered, and what the reader is told then."""

import asyncio
from pathlib import Path

import pytest

from app import main
from app.domain.errors import StripeUnavailable
from app.services import catalogue, price_migrations
from tests.journeys.price_migrations.test_interrupted import DUE, UPDATE
from tests.journeys.price_migrations.test_price_migrations import (
    DAY,
    QUOTED_AGAIN,
    RENEWED,
    SWITCHED,
    TOLD,
    subscribed,
)
from tests.journeys.price_migrations.test_stopped import stop
from tests.support.crashes import wait_until_hit
from tests.support.mailbox import Mailbox
from tests.support.price_migrations import (
    NOTICE_REFUSED,
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

OPEN_INTENTS = "SELECT key FROM intents WHERE action = 'price_switch' AND settled_at IS NULL"
STAYS = "The price of your subscription does not change"


async def test_an_answer_that_comes_after_a_stop_is_recorded_as_the_new_price(shop: Shop) -> None:
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop)
    await run_at(shop, TOLD, QUOTED_AGAIN)
    await shop.advance_to(SWITCHED)
    change = (await only_change(shop, migration))["id"]
    async with context(shop) as ctx:
        now = await ctx.clock.policy()
        fault = await shop.add_fault(method="POST", path=UPDATE, action="hold", when="before", times=1)
        asking = asyncio.create_task(price_migrations.advance(ctx, change, now=now))
        await wait_until_hit(shop, fault)
        await stop(shop, migration)
        await price_migrations.advance(ctx, change, now=now)  # another process, while Stripe has the old price
        assert (await only_change(shop, migration))["status"] == "stopped"
        await shop.stripe.delete(f"/_sandbox/faults/{fault}")
        await asking

    found = await only_change(shop, migration)
    assert (found["status"], found["reason"]) == ("switched", None)
    assert await prices(shop, held) == {"digital": (59_00, 1)}
    assert await shop.rows(OPEN_INTENTS) == []
    await run_at(shop, RENEWED)
    assert (await invoices(shop, held))[-1]["total"] == 59_00


@pytest.mark.parametrize(("arrives", "status"), [(True, "switched"), (False, "stopped")])
async def test_stripe_is_asked_again_for_an_answer_that_nobody_waited_for(
    shop: Shop, arrives: bool, status: str
) -> None:
    _, held = await subscribed(shop)
    target = await new_price(shop, 59_00)
    migration = await start(shop)
    await run_at(shop, TOLD, QUOTED_AGAIN)
    await shop.advance_to(SWITCHED)
    fault = await shop.add_fault(method="POST", path=UPDATE, action="drop", when="before", times=1000)
    change = (await only_change(shop, migration))["id"]
    async with context(shop) as ctx:
        with pytest.raises(StripeUnavailable):
            await price_migrations.advance(ctx, change, now=await ctx.clock.policy())
    await stop(shop, migration)
    await shop.execute(DUE)
    await shop.wait_until_idle()
    assert (await only_change(shop, migration))["status"] == "stopped"
    assert len(await shop.rows(OPEN_INTENTS)) == 1
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    if arrives:  # the request of the killed process, late
        item = (await shop.stripe_get(f"/v1/subscriptions/{held}"))["items"]["data"][0]["id"]
        await shop.stripe_post(
            f"/v1/subscriptions/{held}",
            **{"items[0][id]": item, "items[0][price]": target, "proration_behavior": "none"},
        )
    await run_at(shop, SWITCHED + DAY / 24)

    assert (await only_change(shop, migration))["status"] == status
    assert await shop.rows(OPEN_INTENTS) == []


async def test_a_reader_who_was_told_of_a_price_learns_that_it_stays(mailing_shop: Shop, mail: Mailbox) -> None:
    shop = mailing_shop
    await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop, publisher_sends_notices=False)
    await run_at(shop, TOLD)
    await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE kind = 'price_change' AND status = 'sent'")
    await stop(shop, migration)
    await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE kind = 'price_unchanged' AND status = 'sent'")

    (told,) = [one for one in mail.received if one.subject == STAYS]
    assert "would cost $59 from March 1, 2027" in told.text
    assert "the price stays $49" in told.text
    assert (await only_change(shop, migration))["status"] == "stopped"


async def test_a_reader_learns_that_the_price_stays_because_it_was_locked(
    mailing_shop: Shop, mail: Mailbox, tmp_path: Path
) -> None:
    """The catalogue promises the old price after the notice was sent."""
    shop = mailing_shop
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop, publisher_sends_notices=False)
    await run_at(shop, TOLD)
    await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE kind = 'price_change' AND status = 'sent'")
    locked = tmp_path / "catalogue.toml"
    offer = shop.settings.catalogue.read_text()
    locked.write_text(offer.replace("amount = 4900", "amount = 4900\nlocked = true", 1))
    assert locked.read_text() != offer
    await shop.advance_to(QUOTED_AGAIN)
    async with main.open_context(shop.settings, catalogue.load(locked)) as ctx:  # another process, with the new file
        change = (await only_change(shop, migration))["id"]
        await price_migrations.advance(ctx, change, now=await ctx.clock.policy())
    await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE kind = 'price_unchanged' AND status = 'sent'")

    (told,) = [one for one in mail.received if one.subject == STAYS]
    assert "would cost $59 from March 1, 2027" in told.text
    assert "the price stays $49" in told.text
    found = await only_change(shop, migration)
    assert (found["status"], found["reason"]) == ("stopped", "locked")
    await run_at(shop, SWITCHED, RENEWED)
    assert (await invoices(shop, held))[-1]["total"] == 49_00
    assert [one.subject for one in mail.received].count(STAYS) == 1


async def test_a_reader_of_an_earlier_notice_learns_that_the_price_stays(mailing_shop: Shop, mail: Mailbox) -> None:
    shop = mailing_shop
    _, held = await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop, publisher_sends_notices=False)
    await run_at(shop, TOLD)
    await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE kind = 'price_change' AND status = 'sent'")
    coupon = await shop.stripe_post("/v1/coupons", percent_off="50", duration="forever")
    await shop.stripe_post(f"/v1/subscriptions/{held}", **{"discounts[0][coupon]": coupon["id"]})
    await shop.wait_until_idle()  # another total, so another notice
    mail.to_recipient += ["451 try again later"] * 1000
    await run_at(shop, QUOTED_AGAIN)
    second = "kind = 'price_change' AND about LIKE '%/2'"
    await shop.wait_until(f"{NOTICE_REFUSED} AND {second}")
    await shop.execute(f"UPDATE notifications SET due_at = now() + interval '1 day' WHERE {second}")
    mail.to_recipient.clear()
    await stop(shop, migration)
    await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE kind = 'price_unchanged' AND status = 'sent'")

    (told,) = [one for one in mail.received if one.subject == STAYS]
    assert "would cost $59 from March 1, 2027" in told.text
    assert await shop.rows(f"SELECT id FROM notifications WHERE {second}") == [], "it is not sent anymore"


async def test_a_notice_that_was_being_sent_at_the_stop_is_not_sent_again(mailing_shop: Shop, mail: Mailbox) -> None:
    shop = mailing_shop
    await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop, publisher_sends_notices=False)
    mail.to_recipient += ["451 try again later"] * 1000
    await run_at(shop, TOLD)
    await shop.wait_until(NOTICE_REFUSED)
    # As while the mail server has the message, before it refuses it for now.
    await shop.execute("UPDATE notifications SET status = 'sending', due_at = NULL WHERE kind = 'price_change'")
    await stop(shop, migration)
    await shop.wait_until_idle()
    await shop.execute(
        "UPDATE notifications SET status = 'scheduled', due_at = now() + interval '1 day' WHERE kind = 'price_change'"
    )
    mail.to_recipient.clear()
    await run_at(shop, TOLD + DAY / 24)
    await shop.wait_until("SELECT due_at IS NULL AND act_at IS NULL FROM price_changes")
    assert await shop.rows("SELECT id FROM notifications WHERE kind IN ('price_change', 'price_unchanged')") == []


async def test_a_stop_waits_for_a_notice_that_is_being_sent(mailing_shop: Shop, mail: Mailbox) -> None:
    shop = mailing_shop
    await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop, publisher_sends_notices=False)
    await run_at(shop, TOLD)
    sent = "SELECT count(*) = 1 FROM notifications WHERE kind = 'price_change' AND status = 'sent'"
    await shop.wait_until(sent)
    # As while the mail server has the message and has not answered.
    await shop.execute("UPDATE notifications SET status = 'sending' WHERE kind = 'price_change'")
    await stop(shop, migration)
    await shop.wait_until_idle()
    assert await shop.rows("SELECT id FROM notifications WHERE kind = 'price_unchanged'") == []

    await shop.execute("UPDATE notifications SET status = 'sent' WHERE kind = 'price_change'")
    await run_at(shop, TOLD + DAY / 24)
    await shop.wait_until("SELECT count(*) = 1 FROM notifications WHERE kind = 'price_unchanged' AND status = 'sent'")
    assert [one.subject for one in mail.received].count(STAYS) == 1


async def test_a_reader_whose_notice_was_dropped_gets_no_mail(mailing_shop: Shop, mail: Mailbox) -> None:
    shop = mailing_shop
    await subscribed(shop)
    await new_price(shop, 59_00)
    migration = await start(shop, publisher_sends_notices=False)
    mail.to_recipient += ["451 try again later"] * 1000
    await shop.advance_to(TOLD)
    await run_due(shop)
    await shop.wait_until(NOTICE_REFUSED)
    await stop(shop, migration)
    await shop.wait_until("SELECT due_at IS NULL FROM price_changes")
    assert await shop.rows("SELECT id FROM notifications WHERE kind IN ('price_change', 'price_unchanged')") == []
