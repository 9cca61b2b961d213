"""A reader with several subscriptions sees the one that was paid, on every page."""

from datetime import timedelta

from tests.journeys.subscribing.test_duplicates import by_stripe_id, pay_in_another_tab
from tests.support.shop import START_TIME, Shop

FREE_CODE = "FREEYEAR"


async def subscribe_for_free(shop: Shop) -> None:
    """Subscribe a reader with a promotion code that makes the first year free."""
    coupon = await shop.stripe_post("/v1/coupons", percent_off="100", duration="once")
    promotion = {"promotion[type]": "coupon", "promotion[coupon]": coupon["id"]}
    await shop.stripe_post("/v1/promotion_codes", code=FREE_CODE, **promotion)
    await shop.subscribe(shop.person(), promotion_code=FREE_CODE)


async def test_the_paid_subscription_is_shown_after_a_duplicate_was_refunded(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (first,) = await by_stripe_id(shop, ada)
    (customer,) = await shop.stripe_customers()
    await shop.advance_to(START_TIME + timedelta(minutes=5))
    await pay_in_another_tab(shop, customer["id"], first)
    await shop.wait_until_idle()
    paid = next(one for one in (await shop.overview(ada))["subscriptions"] if one["stripe_id"] == first)

    mine = (await shop.get("/v1/me/subscription", ada)).json()
    preview = (await shop.get("/v1/me/subscription/cancel-preview", ada)).json()
    assert (mine["id"], mine["status"], preview["refund"]["eligible"]) == (paid["id"], "active", True)
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})).json()["id"] == paid["id"]
    await shop.wait_until_idle()

    mine = (await shop.get("/v1/me/subscription", ada)).json()
    quote = (await shop.get("/v1/me/refund-quote", ada)).json()
    assert (mine["id"], mine["ended_by"]) == (paid["id"], "cancel_now")
    assert (quote["allowed"], quote["amount"]["amount"]) == (True, 49_00)
    body = {"expected_amount": {"amount": 49_00, "currency": "usd"}}
    assert (await shop.post("/v1/me/refunds", ada, body, **{"Idempotency-Key": "click"})).status_code == 201
    await shop.wait_until_idle()
    assert sorted(one["basis"] for one in (await shop.overview(ada))["refunds"]) == ["duplicate", "guarantee"]


async def test_the_paid_subscription_is_shown_beside_an_incomplete_checkout(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (first,) = await by_stripe_id(shop, ada)
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})).status_code == 200
    await shop.wait_until_idle()
    await shop.advance_to(START_TIME + timedelta(days=1))
    (customer,) = await shop.stripe_customers()
    card = await shop.stripe_post("/v1/payment_methods/pm_card_authenticationRequired/attach", customer=customer["id"])
    items = (await shop.stripe_get(f"/v1/subscriptions/{first}"))["items"]["data"]
    pending = await shop.stripe_post(
        "/v1/subscriptions",
        customer=customer["id"],
        default_payment_method=card["id"],
        payment_behavior="allow_incomplete",
        **{"items[0][price]": items[0]["price"]["id"]},
    )
    await shop.wait_until_idle()
    found = await by_stripe_id(shop, ada)
    assert {one["status"] for one in found.values()} == {"canceled", "incomplete"}

    mine = (await shop.get("/v1/me/subscription", ada)).json()
    quote = (await shop.get("/v1/me/refund-quote", ada)).json()

    assert mine["id"] == found[first]["id"]
    assert (mine["notice"]["code"], mine["notice"]["action"]) == ("payment_incomplete", "confirm_payment")
    assert (
        mine["notice"]["pay_url"]
        == (await shop.stripe_get(f"/v1/invoices/{pending['latest_invoice']}"))["hosted_invoice_url"]
    )
    assert (quote["allowed"], quote["effect"]) == (
        True,
        "Only the payment is refunded. The subscription has already ended.",
    )
    refused = await shop.get("/v1/me/subscription/cancel-preview", ada)
    assert (refused.status_code, refused.json()["code"]) == (409, "already_ended")


async def test_a_free_subscription_has_no_charge_to_refund(shop: Shop) -> None:
    ada = shop.person()
    await subscribe_for_free(shop)
    assert await shop.may_read(ada)

    quote = await shop.get("/v1/me/refund-quote", ada)
    mine = (await shop.get("/v1/me/subscription", ada)).json()
    preview = (await shop.get("/v1/me/subscription/cancel-preview", ada)).json()
    body = {"expected_amount": {"amount": 49_00, "currency": "usd"}}
    refused = await shop.post("/v1/me/refunds", ada, body, **{"Idempotency-Key": "click"})

    assert quote.status_code == 200
    assert (quote.json()["allowed"], quote.json()["reason"], quote.json()["payment"]) == (False, "paid_by_credit", None)
    no_guarantee = {"eligible": False, "until": None, "amount": None, "reason": "paid_by_credit"}
    assert mine["guarantee"] == no_guarantee
    assert preview["refund"] == no_guarantee
    assert (refused.status_code, refused.json()["code"]) == (409, "paid_by_credit")
