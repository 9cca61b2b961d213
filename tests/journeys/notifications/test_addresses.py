"""A reader who is owed printed copies and gave no address is asked for it after a day, once."""

from datetime import timedelta

from tests.support.mailbox import Mailbox
from tests.support.notices import ILLINOIS, live_in, reach, scheduled
from tests.support.shop import START_TIME, Person, Shop

DAY, AN_HOUR = timedelta(days=1), timedelta(hours=1)


async def sell_print_without_address(shop: Shop, reader: Person) -> None:
    """Sell both editions in the Dashboard, which asks for no address."""
    await shop.open_checkout(reader)
    (customer,) = [one for one in await shop.stripe_customers() if one["email"] == reader.email]
    card = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer["id"])
    sold = [one for one in (await shop.stripe_get("/v1/prices", active="true"))["data"] if one["recurring"]]
    amounts = {one["unit_amount"]: one["id"] for one in sold}
    await shop.stripe_post(
        "/v1/subscriptions",
        customer=customer["id"],
        default_payment_method=card["id"],
        **{"items[0][price]": amounts[49_00], "items[1][price]": amounts[24_00]},
    )
    await shop.wait_until_idle()


async def test_a_missing_address_is_asked_for_a_day_after_the_payment(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await sell_print_without_address(shop, ada)
    assert await scheduled(shop, "address_needed") == [("ada", "address_needed", START_TIME + DAY)]

    await reach(shop, START_TIME + DAY - AN_HOUR)
    assert mail.received == []
    await reach(shop, START_TIME + DAY + AN_HOUR)
    (told,) = await mail.wait_for()
    await reach(shop, START_TIME + 20 * DAY)

    assert told.subject == "Where should we send your copies?"
    assert "(24 Issues Per Year) includes the print edition, but we don’t have a postal address" in told.text
    assert len(mail.received) == 1


async def test_an_address_or_an_end_of_the_copies_stops_the_question(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada, ben = mailing_shop, mailing_shop.person(), mailing_shop.person("ben")
    await sell_print_without_address(shop, ada)
    await sell_print_without_address(shop, ben)
    assert len(await scheduled(shop, "address_needed")) == 2

    await live_in(shop, ada, ILLINOIS)
    assert [sub for sub, _, _ in await scheduled(shop, "address_needed")] == ["ben"]
    await shop.post("/v1/me/subscription/cancel", ben, {"when": "now"})
    await shop.wait_until_idle()
    assert await scheduled(shop, "address_needed") == []
    await reach(shop, START_TIME + 3 * DAY)

    assert [(one.to, one.subject) for one in mail.received] == [(ben.email, "Your subscription is canceled")]
