"""A bank asks for 3-D Secure at a renewal: the reader is told, and confirms the payment on Stripe's page."""

from datetime import timedelta

from tests.journeys.lifecycle.test_manual_changes_at_stripe import only_subscription
from tests.support.shop import START_TIME, Shop

A_YEAR = START_TIME.replace(year=2027)


async def test_a_renewal_that_needs_3d_secure_has_a_page_to_confirm_it(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    stripe_id = (await only_subscription(shop, ada))["stripe_id"]
    (customer,) = await shop.stripe_customers()
    card = await shop.stripe_post("/v1/payment_methods/pm_card_authenticationRequired/attach", customer=customer["id"])
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", default_payment_method=card["id"])

    await shop.advance_to(A_YEAR + timedelta(hours=2))

    (renewal, _) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    notice = (await shop.get("/v1/me/subscription", ada)).json()["notice"]
    assert (notice["action"], notice["pay_url"]) == ("confirm_payment", renewal["hosted_invoice_url"])
    assert "bank" in notice["text"]
    assert (await shop.check(ada))["reason"] == "grace_period"
    payments = await shop.stripe_get("/v1/invoice_payments", invoice=renewal["id"], status="open")
    intent = payments["data"][0]["payment"]["payment_intent"]
    confirmed = await shop.stripe.post(f"/_sandbox/payment_intents/{intent}/authenticate", json={})
    assert confirmed.status_code == 200, confirmed.text
    await shop.wait_until_idle()
    assert (await shop.check(ada))["reason"] == "paid_term"
    assert (await shop.get("/v1/me/subscription", ada)).json()["notice"] is None
