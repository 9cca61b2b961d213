"""A renewal that was paid just before its reader would have ended the subscription buys its term."""

from datetime import timedelta

from tests.journeys.cancellations.test_ends import make_past_due
from tests.support.shop import START_TIME, Shop

A_YEAR = START_TIME.replace(year=2027)


async def test_a_renewal_that_was_paid_before_a_new_checkout_is_not_lost(shop: Shop) -> None:
    ada = shop.person()
    stripe_id, customer = await make_past_due(shop, ada)
    await shop.advance_to(A_YEAR + timedelta(days=15))
    good = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer)
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    listed = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    (renewal,) = [one["id"] for one in listed if one["status"] == "open"]
    await shop.stripe_post(f"/v1/invoices/{renewal}/pay", payment_method=good["id"])

    opened = await shop.open_checkout(ada)

    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.wait_until_idle()
    assert (opened.status_code, opened.json()["code"]) == (409, "already_subscribed")
    assert (await shop.check(ada))["reason"] == "paid_term"
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
