"""Cards: told before one expires that should pay the renewal, and when the bank asks to confirm a payment."""

from datetime import UTC, datetime, timedelta

from tests.support.mailbox import Mailbox
from tests.support.notices import german, held_by, reach, scheduled
from tests.support.shop import START_TIME, Person, Shop

DAY, AN_HOUR = timedelta(days=1), timedelta(hours=1)
A_YEAR = START_TIME.replace(year=2027)
EXPIRED = datetime(2027, 1, 1, 6, tzinfo=UTC)  # the first moment in Chicago at which a card of 12/26 is expired
DUE = EXPIRED - 30 * DAY


async def subscribe_with_card_of_december(shop: Shop, reader: Person) -> None:
    opened = await shop.open_checkout(reader)
    paid = await shop.pay_checkout(opened.json()["url"], card_expiry="12 / 26")
    assert paid.status_code == 303, paid.text
    await shop.wait_until_idle()


async def use_card(shop: Shop, reader: Person, method: str) -> str:
    """Have a subscription pay with another card; return its Stripe ID."""
    (customer,) = await shop.stripe_customers()
    stripe_id = await held_by(shop, reader)
    card = await shop.stripe_post(f"/v1/payment_methods/{method}/attach", customer=customer["id"])
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", default_payment_method=card["id"])
    await shop.wait_until_idle()
    return stripe_id


async def test_a_card_that_expires_before_the_renewal_is_announced_once(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await subscribe_with_card_of_december(shop, ada)
    assert await scheduled(shop, "card_expiring") == [("ada", "card_expiring", DUE)]

    await reach(shop, DUE - AN_HOUR)
    assert mail.received == []
    await reach(shop, DUE + AN_HOUR)
    (told,) = await mail.wait_for()
    await reach(shop, EXPIRED + DAY)

    assert told.subject == "Your card expires before your subscription renews"
    assert "Your Visa •••• 4242 expires on December 31, 2026." in told.text
    assert "(24 Issues Per Year) renews on March 1, 2027." in told.text
    assert len(mail.received) == 1
    assert await scheduled(shop, "card_expiring") == []


async def test_a_new_card_or_a_cancellation_stops_the_notice_of_the_card(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await subscribe_with_card_of_december(shop, ada)
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    assert await scheduled(shop) == [], "an expired card matters to nobody who leaves"
    await shop.post("/v1/me/subscription/resume", ada)
    assert await scheduled(shop, "card_expiring") == [("ada", "card_expiring", DUE)]

    await use_card(shop, ada, "pm_card_mastercard")
    assert await scheduled(shop) == [("ada", "renewal_ahead", A_YEAR - 30 * DAY)]
    await reach(shop, EXPIRED)

    assert [one.subject for one in mail.received] == ["Your subscription is canceled"]


async def test_a_payment_to_confirm_is_announced_once_in_german(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, german(mailing_shop)
    await shop.subscribe(ada)
    await reach(shop, A_YEAR - 30 * DAY + AN_HOUR)
    await mail.wait_for()
    stripe_id = await use_card(shop, ada, "pm_card_authenticationRequired")

    await reach(shop, A_YEAR + 2 * AN_HOUR)
    told = (await mail.wait_for(2))[1]
    (renewal, _) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    await confirm(shop, renewal["id"])
    await reach(shop, A_YEAR + 10 * DAY)

    assert told.subject == "Bitte bestätigen Sie Ihre Zahlung"
    assert (
        "Ihre Bank bittet Sie, die Zahlung für Ihr Abo von Slow Ferry (24 Issues Per Year) zu bestätigen." in told.text
    )
    assert f"Zahlung bestätigen: {renewal['hosted_invoice_url']}" in told.text
    assert len(mail.received) == 2
    assert [kind for _, kind, _ in await scheduled(shop)] == ["renewal_ahead"]


async def test_a_payment_confirmed_meanwhile_is_not_announced(mailing_shop: Shop, mail: Mailbox) -> None:
    shop, ada = mailing_shop, mailing_shop.person()
    await shop.subscribe(ada)
    await reach(shop, A_YEAR - 30 * DAY + AN_HOUR)
    await mail.wait_for()
    stripe_id = await use_card(shop, ada, "pm_card_authenticationRequired")
    mail.to_recipient += ["451 try again later"] * 1000
    await shop.advance_to(A_YEAR + 2 * AN_HOUR)
    waiting = "kind = 'confirmation_needed' AND status = 'scheduled' AND last_error LIKE '451%'"
    await shop.wait_until(f"SELECT count(*) = 1 FROM notifications WHERE {waiting}")

    (renewal, _) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    await confirm(shop, renewal["id"])

    assert await shop.rows("SELECT status FROM notifications WHERE kind = 'confirmation_needed'") == []
    assert [one.subject for one in mail.received] == ["Your subscription renews on March 1, 2027"]


async def confirm(shop: Shop, invoice: str) -> None:
    """Confirm the payment of an invoice, as the reader does with their bank."""
    payments = await shop.stripe_get("/v1/invoice_payments", invoice=invoice, status="open")
    intent = payments["data"][0]["payment"]["payment_intent"]
    confirmed = await shop.stripe.post(f"/_sandbox/payment_intents/{intent}/authenticate", json={})
    assert confirmed.status_code == 200, confirmed.text
    await shop.wait_until_idle()
