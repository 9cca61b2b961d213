"""Readers subscribe and get access."""

import asyncio
from typing import Any

import pytest

from tests.support.shop import ADDRESS, DECLINED, REQUIRES_3DS, START_TIME, Shop


async def test_a_reader_who_subscribes_to_the_digital_edition_has_access(shop: Shop) -> None:
    ada = shop.person()
    assert await shop.check(ada) == {"allowed": False, "reason": "never_subscribed", "until": None}

    session = await shop.subscribe(ada)

    assert await shop.check(ada) == {"allowed": True, "reason": "paid_term", "until": "2027-03-01T18:00:00Z"}
    mine = (await shop.get("/v1/me/subscription", ada)).json()
    assert (mine["status"], mine["plan"], mine["editions"]) == ("active", "annual", ["digital"])
    assert mine["price"] == {"amount": 49_00, "currency": "usd", "formatted": "$49"}
    assert (mine["renews_at"], mine["ends_at"]) == ("2027-03-01T18:00:00Z", None)
    assert mine["issues"]["owed"] == 24
    assert mine["guarantee"]["eligible"] is True
    assert mine["guarantee"]["until"].startswith("2026-05-01T05:00:00Z")
    outcome = (await shop.get(f"/v1/checkout-sessions/{session}", ada)).json()
    assert outcome == {"id": session, "status": "complete", "payment_status": "paid", "entitled": True}


async def test_a_digital_subscription_grants_all_features_except_print_and_announced(shop: Shop) -> None:
    ada = shop.person()

    await shop.subscribe(ada)

    held = (await shop.get("/v1/me/entitlements", ada)).json()
    assert set(held["features"]) == {"digital_edition", "exclusive_content", "audio", "archive"}
    assert await shop.check(ada, "ad_free") == {"allowed": False, "reason": "coming_soon", "until": None}
    assert (await shop.check(ada, "print_edition"))["reason"] == "not_included"
    seen_by_server = await shop.http.get(
        f"/v1/subscribers/{ada.sub}/entitlements", headers={"Authorization": f"Bearer {shop.server_key}"}
    )
    assert seen_by_server.json() == held


async def test_a_print_subscription_stores_the_shipping_address_at_stripe(shop: Shop) -> None:
    ada = shop.person()

    await shop.subscribe(ada, print_edition=True)

    assert await shop.may_read(ada, "print_edition")
    mine = (await shop.get("/v1/me/subscription", ada)).json()
    assert mine["editions"] == ["digital", "print"]
    assert mine["price"]["amount"] == 73_00
    (customer,) = await shop.stripe_customers()
    assert customer["shipping"]["address"]["line1"] == ADDRESS["shipping_line1"]


async def test_a_reader_can_pay_with_another_card_after_a_decline(shop: Shop) -> None:
    ada = shop.person()
    url = (await shop.open_checkout(ada)).json()["url"]

    declined = await shop.pay_checkout(url, card=DECLINED)
    await shop.wait_until_idle()

    assert declined.status_code == 402
    assert "declined" in declined.text
    assert not await shop.may_read(ada)

    assert (await shop.pay_checkout(url)).status_code == 303
    await shop.wait_until_idle()
    assert await shop.may_read(ada)
    assert len((await shop.overview(ada))["payments"]) == 1


@pytest.mark.parametrize(("result", "reads"), [("complete", True), ("fail", False)])
async def test_a_card_that_requires_3d_secure_can_pay(shop: Shop, result: str, *, reads: bool) -> None:
    ada = shop.person()
    url = (await shop.open_checkout(ada)).json()["url"]

    asked = await shop.pay_checkout(url, card=REQUIRES_3DS)
    if asked.status_code == 303:
        assert "/authenticate" in asked.headers["location"]
    assert not await shop.may_read(ada)
    await shop.browser.post(f"{url}/authenticate", data={"result": result}, follow_redirects=False)
    await shop.wait_until_idle()

    assert await shop.may_read(ada) is reads


async def test_a_double_click_creates_one_customer_and_one_checkout_session(shop: Shop) -> None:
    ada = shop.person()

    clicks = await asyncio.gather(*(shop.open_checkout(ada) for _ in range(5)))

    assert {click.status_code for click in clicks} == {201}, [click.text for click in clicks]
    assert len({click.json()["id"] for click in clicks}) == 1
    assert len(await shop.stripe_customers()) == 1
    assert len((await shop.stripe_get("/v1/checkout/sessions"))["data"]) == 1


async def test_another_choice_expires_the_open_checkout_session(shop: Shop) -> None:
    ada = shop.person()
    first = (await shop.open_checkout(ada)).json()

    second = (await shop.open_checkout(ada, print_edition=True)).json()

    assert first["id"] != second["id"]
    assert (await shop.stripe_get(f"/v1/checkout/sessions/{first['id']}"))["status"] == "expired"
    again = (await shop.open_checkout(ada, print_edition=True)).json()
    assert again["id"] == second["id"]


async def test_a_subscriber_cannot_buy_a_second_subscription(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)

    refused = await shop.open_checkout(ada, print_edition=True)

    assert (refused.status_code, refused.json()["code"]) == (409, "already_subscribed")


async def test_a_reader_who_just_paid_cannot_buy_a_second_subscription(shop: Shop) -> None:
    ada = shop.person()
    url = (await shop.open_checkout(ada)).json()["url"]
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.pay_checkout(url)

    refused = await shop.open_checkout(ada, print_edition=True)

    assert (refused.status_code, refused.json()["code"]) == (409, "already_subscribed")


async def test_a_completed_checkout_is_applied_without_a_webhook(shop: Shop) -> None:
    ada = shop.person()
    opened = (await shop.open_checkout(ada)).json()
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})

    await shop.pay_checkout(opened["url"])

    outcome = (await shop.get(f"/v1/checkout-sessions/{opened['id']}", ada)).json()
    assert outcome["entitled"] is True
    assert await shop.may_read(ada)


async def test_another_readers_checkout_session_is_not_found(shop: Shop) -> None:
    ada, bob = shop.person("ada"), shop.person("bob")
    opened = (await shop.open_checkout(ada)).json()

    assert (await shop.get(f"/v1/checkout-sessions/{opened['id']}", bob)).status_code == 404


async def test_a_promotion_code_reduces_the_price(shop: Shop) -> None:
    ada = shop.person()
    coupon = await shop.stripe_post("/v1/coupons", percent_off="50", duration="once")
    promotion = {"promotion[type]": "coupon", "promotion[coupon]": coupon["id"]}
    await shop.stripe_post("/v1/promotion_codes", code="HALF", **promotion)

    await shop.subscribe(ada, promotion_code="HALF")

    (payment,) = (await shop.overview(ada))["payments"]
    assert payment["amount"]["amount"] == 24_50
    wrong = await shop.open_checkout(shop.person("bob"), promotion_code="NONE")
    assert (wrong.status_code, wrong.json()["code"]) == (409, "promotion_code_invalid")


async def test_metadata_is_set_on_the_session_and_the_subscription(shop: Shop) -> None:
    ada = shop.person()
    session = await shop.subscribe(ada)

    reader_id = (await shop.overview(ada))["id"]
    seen = await shop.stripe_get(f"/v1/checkout/sessions/{session}")
    bought = await shop.stripe_get(f"/v1/subscriptions/{seen['subscription']}")
    assert seen["metadata"]["newsstand_subscriber"] == bought["metadata"]["newsstand_subscriber"] == reader_id


async def test_a_new_session_can_be_created_after_an_unpaid_one_expires(shop: Shop) -> None:
    ada = shop.person()
    first = (await shop.open_checkout(ada)).json()

    await shop.stripe_post(f"/v1/checkout/sessions/{first['id']}/expire")
    await shop.wait_until_idle()

    assert (await shop.get(f"/v1/checkout-sessions/{first['id']}", ada)).json()["status"] == "expired"
    assert (await shop.open_checkout(ada)).json()["id"] != first["id"]


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        pytest.param({"plan": "weekly"}, 422, "unknown_plan", id="unknown plan"),
        pytest.param(
            {"success_url": "https://evil.example.net/"}, 422, "return_url_not_allowed", id="return URL on another host"
        ),
        pytest.param({"cancel_url": "javascript:alert(1)"}, 422, "return_url_not_allowed", id="JavaScript URL"),
        pytest.param({"coupon": "x"}, 422, "validation_failed", id="unknown field"),
        pytest.param({"print_edition": "perhaps"}, 422, "validation_failed", id="field of the wrong type"),
    ],
)
async def test_an_invalid_checkout_request_creates_nothing(
    shop: Shop, wrong: dict[str, Any], status: int, code: str
) -> None:
    refused = await shop.open_checkout(shop.person(), **wrong)

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.headers["content-type"] == "application/problem+json"
    assert await shop.stripe_customers() == []
    assert await shop.rows("SELECT * FROM subscribers") == []


async def test_an_archived_price_is_not_sold(shop: Shop) -> None:
    (price,) = (await shop.stripe_get("/v1/prices", **{"lookup_keys[0]": "newsstand_annual_digital"}))["data"]
    await shop.stripe_post(f"/v1/prices/{price['id']}", active="false")

    refused = await shop.open_checkout(shop.person())

    assert (refused.status_code, refused.json()["code"]) == (409, "price_unavailable")
    assert (await shop.stripe_get("/v1/checkout/sessions"))["data"] == []


async def test_subscribing_requires_signing_in(shop: Shop) -> None:
    refused = await shop.http.post("/v1/checkout-sessions", json={})

    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")


async def test_the_test_clock_starts_at_the_start_time(shop: Shop) -> None:
    clock = await shop.stripe_get(f"/v1/test_helpers/test_clocks/{shop.clock}")

    assert clock["frozen_time"] == int(START_TIME.timestamp())


async def test_a_reader_who_is_billed_in_another_currency_gets_a_clear_error(shop: Shop) -> None:
    """Stripe bills a customer in one currency at a time, and the customer may have a subscription to another product."""
    ada = shop.person()
    assert (await shop.open_checkout(ada)).status_code == 201
    (customer,) = await shop.stripe_customers()
    card = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer["id"])
    product = await shop.stripe_post("/v1/products", name="A puzzle a week")
    monthly = {"recurring[interval]": "month"}
    price = await shop.stripe_post("/v1/prices", product=product["id"], unit_amount="300", currency="eur", **monthly)
    other = await shop.stripe_post(
        "/v1/subscriptions",
        customer=customer["id"],
        default_payment_method=card["id"],
        **{"items[0][price]": price["id"]},
    )

    refused = await shop.open_checkout(ada, print_edition=True)

    assert (refused.status_code, refused.json()["code"], refused.json()["currency"]) == (409, "currency_in_use", "usd")
    assert "combine currencies" not in refused.text, "not Stripe's own sentence"
    await shop.stripe.delete(f"/v1/subscriptions/{other['id']}")
    assert (await shop.open_checkout(ada, print_edition=True)).status_code == 201
