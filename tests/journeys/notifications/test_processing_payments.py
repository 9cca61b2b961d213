"""A first payment by bank debit takes days: what the reader and other systems are told meanwhile, and how it ends."""

from datetime import timedelta
from typing import Any

from tests.support.mailbox import Mailbox
from tests.support.notices import reach, scheduled
from tests.support.shop import START_TIME, Person, Shop

DAY = timedelta(days=1)
PAID_AT = START_TIME + 6 * DAY
SUCCEEDS, FAILS = "000123456789", "000222222227"
ANNOUNCED = "SELECT type FROM outbox_events ORDER BY sequence"


async def pay_by_debit(shop: Shop, reader: Person, account: str) -> None:
    """Subscribe by a bank debit that takes six days."""
    settings = {"payment_methods": ["card", "us_bank_account"], "debit_seconds": 6 * 86_400}
    await shop.stripe.put("/_sandbox/settings", json=settings)
    opened = await shop.open_checkout(reader)
    bank: dict[str, Any] = {
        "payment_method": "us_bank_account",
        "account_name": "Ada Invented",
        "account_number": account,
    }
    paid = await shop.pay_checkout(opened.json()["url"], **bank)
    assert paid.status_code == 303, paid.text
    await shop.wait_until_idle()


async def announced(shop: Shop) -> list[str]:
    """Return the types of the events for other systems."""
    return [row["type"] for row in await shop.rows(ANNOUNCED)]


async def test_a_first_debit_is_announced_when_it_is_paid(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await pay_by_debit(shop, ada, SUCCEEDS)
    seen = (await shop.get("/v1/me/subscription", ada)).json()
    assert (seen["notice"]["code"], await shop.may_read(ada)) == ("payment_processing", False)
    assert await announced(shop) == ["entitlements.changed"], "why the reader has no access"
    assert await scheduled(shop) == []

    await reach(shop, PAID_AT + timedelta(hours=1))

    assert await shop.may_read(ada)
    assert await announced(shop) == ["entitlements.changed", "subscription.started", "entitlements.changed"]
    assert await scheduled(shop) == [("ada", "renewal_ahead", START_TIME.replace(year=2027) - 30 * DAY)]
    assert mail.received == [], "the receipt is Stripe's"


async def test_a_first_debit_that_fails_is_mailed_with_the_page_to_pay(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await pay_by_debit(shop, ada, FAILS)

    await reach(shop, PAID_AT + timedelta(hours=1))
    (told,) = await mail.wait_for()
    pay_url = (await shop.get("/v1/me/subscription", ada)).json()["notice"]["pay_url"]
    await reach(shop, PAID_AT + 40 * DAY)

    assert told.subject == "Your payment failed"
    assert "You get access as soon as you have paid." in told.text
    assert f"Pay now: {pay_url}" in told.text
    assert "card" not in told.text, "it was a bank account"
    assert [one.subject for one in mail.received] == [told.subject, "Your subscription is canceled"]
    assert "We didn’t receive your payment, so your subscription to Slow Ferry" in mail.received[1].text
    assert await announced(shop) == ["entitlements.changed"], "it never started, so it doesn't end"
    assert await scheduled(shop) == []
