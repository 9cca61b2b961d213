"""Promotion codes that can't be used, and e-mail addresses that Stripe declines."""

import httpx2
import pytest

from tests.journeys.lifecycle.test_manual_changes_at_stripe import anomalies
from tests.support.shop import Person, Shop


async def create_code(shop: Shop, code: str, *, coupon: dict[str, str] | None = None, **restrictions: str) -> None:
    """Create a promotion code of half the price."""
    made = await shop.stripe_post("/v1/coupons", **{"duration": "once", **(coupon or {"percent_off": "50"})})
    promotion = {"promotion[type]": "coupon", "promotion[coupon]": made["id"]}
    limits = {f"restrictions[{name}]": value for name, value in restrictions.items()}
    await shop.stripe_post("/v1/promotion_codes", code=code, **promotion, **limits)


def check_reason(answer: httpx2.Response, reason: str) -> None:
    """Check that a code was declined with a reason, and not in Stripe's words."""
    assert (answer.status_code, answer.json()["code"]) == (409, "promotion_code_invalid"), answer.text
    assert answer.json()["reason"] == reason
    assert "redeemed" not in answer.text
    assert "coupon" not in answer.text.casefold()


async def leave(shop: Shop, by: Person) -> None:
    """Subscribe a reader, and cancel immediately."""
    await shop.subscribe(by)
    await shop.post("/v1/me/subscription/cancel", by, {"when": "now"})
    await shop.wait_until_idle()


async def test_a_code_for_new_customers_is_declined_for_a_former_subscriber(shop: Shop) -> None:
    ada, bob = shop.person(), shop.person("bob")
    await create_code(shop, "WELCOME", first_time_transaction="true")
    await leave(shop, ada)

    check_reason(await shop.open_checkout(ada, promotion_code="WELCOME"), "first_time_only")

    assert (await shop.open_checkout(ada)).status_code == 201, "without the code"
    assert (await shop.open_checkout(bob, promotion_code="WELCOME")).status_code == 201


@pytest.mark.parametrize(
    ("limits", "coupon", "reason"),
    [
        ({"minimum_amount": "6000", "minimum_amount_currency": "usd"}, None, "below_minimum"),
        ({"minimum_amount": "1000", "minimum_amount_currency": "eur"}, None, "other_currency"),
        ({}, {"amount_off": "500", "currency": "eur"}, "other_currency"),
    ],
    ids=["below its minimum", "minimum in another currency", "discount in another currency"],
)
async def test_a_code_that_does_not_fit_the_order_is_declined_with_the_reason(
    shop: Shop, limits: dict[str, str], coupon: dict[str, str] | None, reason: str
) -> None:
    ada = shop.person()
    await create_code(shop, "LIMITED", coupon=coupon, **limits)

    for _ in range(2):
        check_reason(await shop.open_checkout(ada, promotion_code="LIMITED"), reason)

    await shop.subscribe(ada)
    assert await shop.may_read(ada)


@pytest.mark.parametrize("code", ["NONE", "a b!", "é"])
async def test_a_code_that_does_not_exist_is_declined(shop: Shop, code: str) -> None:
    check_reason(await shop.open_checkout(shop.person(), promotion_code=code), "not_found")


async def test_a_declined_email_address_does_not_block_the_purchase(shop: Shop) -> None:
    ada = shop.person()
    await shop.add_fault(
        method="POST",
        path="/v1/customers",
        when="before",
        action="status",
        status=400,
        times=1,
        body={
            "error": {
                "type": "invalid_request_error",
                "code": "email_invalid",
                "param": "email",
                "message": "Invalid email address: ada@example.com",
            }
        },
    )

    await shop.subscribe(ada)

    assert await shop.may_read(ada)
    (customer,) = await shop.stripe_customers()
    assert (await anomalies(shop))[customer["id"]] == {"contact_refused"}
    await shop.stripe_post(f"/v1/customers/{customer['id']}", email=ada.email)
    await shop.wait_until_idle()
    assert customer["id"] not in await anomalies(shop)
