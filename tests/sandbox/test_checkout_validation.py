"""Validation of new checkout sessions."""

import time
from typing import Any

import pytest
import stripe

from tests.sandbox.client import SandboxAccount


@pytest.mark.parametrize(
    ("params", "param", "expected"),
    [
        pytest.param({"mode": ""}, "mode", "Invalid mode", id="no mode"),
        pytest.param({"success_url": "shop"}, "success_url", "Not a valid URL", id="a url without a scheme"),
        pytest.param({"success_url": "javascript:alert(1)"}, "success_url", "Not a valid URL", id="a script"),
        pytest.param({"line_items": []}, "line_items", "Missing required param", id="no line"),
        pytest.param({"line_items": [{"quantity": 1}]}, "line_items[0][price]", "Missing required", id="no price"),
        pytest.param(
            {"line_items": [{"price": "price_x", "quantity": 1}]},
            "line_items[0][price]",
            "No such price",
            id="unknown price",
        ),
        pytest.param({"customer": "cus_x"}, "customer", "No such customer", id="unknown customer"),
        pytest.param(
            {"customer_update": {"shipping": "auto"}}, "customer_update", "with `customer`", id="update of nobody"
        ),
        pytest.param({"customer_creation": "always"}, "customer_creation", "`payment` and `setup`", id="creation"),
        pytest.param(
            {"shipping_options": [{"shipping_rate": "shr_1"}]},
            "shipping_options",
            "`payment` mode",
            id="shipping options",
        ),
        pytest.param({"payment_method_types": ["card"]}, "payment_method_types", "unknown parameter", id="moved away"),
        pytest.param({"ui_mode": "hosted"}, "ui_mode", "must be one of", id="an older ui mode"),
        pytest.param(
            {"shipping_address_collection": {"allowed_countries": ["XX"]}},
            "shipping_address_collection[allowed_countries][0]",
            "must be one of",
            id="no such country",
        ),
        pytest.param({"expires_at": int(time.time()) + 60}, "expires_at", "at least 30 minutes", id="too soon"),
        pytest.param({"expires_at": int(time.time()) + 900_000}, "expires_at", "less than 24 hours", id="too late"),
        pytest.param(
            {"discounts": [{"coupon": "a"}, {"coupon": "b"}]}, "discounts", "only apply one", id="two discounts"
        ),
        pytest.param(
            {"discounts": [{"coupon": "a"}], "allow_promotion_codes": True},
            "allow_promotion_codes",
            "only specify one",
            id="a discount and codes",
        ),
        pytest.param({"discounts": [{"coupon": "a"}]}, "discounts[0][coupon]", "No such coupon", id="unknown coupon"),
    ],
)
async def test_sessions_that_break_a_rule_are_rejected(
    account: SandboxAccount, params: dict[str, Any], param: str, expected: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=expected) as caught:
        await account.checkout(**params)
    assert (caught.value.http_status, caught.value.param) == (400, param)


async def test_an_inactive_price_is_rejected_with_the_message_of_stripe(account: SandboxAccount) -> None:
    price = await account.price()
    await account.v1.prices.update_async(price.id, {"active": False})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.checkout(price=price)
    assert caught.value.user_message == "The price specified is inactive. This field only accepts active prices."
    assert caught.value.param == "line_items[0][price]"


async def test_a_one_time_price_is_rejected_for_subscriptions(account: SandboxAccount) -> None:
    product = await account.v1.products.create_async({"name": "Tote bag"})
    price = await account.v1.prices.create_async({"product": product.id, "currency": "usd", "unit_amount": 900})
    with pytest.raises(stripe.InvalidRequestError, match="type=recurring"):
        await account.checkout(price=price)


async def test_prices_in_different_currencies_cannot_be_combined(account: SandboxAccount) -> None:
    dollars, euros = await account.price(), await account.price(currency="eur")
    with pytest.raises(stripe.InvalidRequestError, match="same currency"):
        await account.checkout(line_items=[{"price": dollars.id, "quantity": 1}, {"price": euros.id, "quantity": 1}])


async def test_a_coupon_in_another_currency_is_rejected(account: SandboxAccount) -> None:
    coupon = await account.v1.coupons.create_async({"amount_off": 500, "currency": "eur", "duration": "once"})
    with pytest.raises(stripe.InvalidRequestError, match="has the currency eur, not usd"):
        await account.checkout(discounts=[{"coupon": coupon.id}])


async def test_automatic_tax_requires_the_location_of_the_customer(account: SandboxAccount) -> None:
    customer = await account.customer(method=None)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.checkout(customer=customer.id, automatic_tax={"enabled": True})
    assert caught.value.code == "customer_tax_location_invalid"
    update = {"address": "auto"}
    assert await account.checkout(customer=customer.id, automatic_tax={"enabled": True}, customer_update=update)


async def test_only_an_open_session_can_be_expired(account: SandboxAccount) -> None:
    session = await account.checkout()
    assert (await account.v1.checkout.sessions.expire_async(session.id)).status == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="Only Checkout Sessions with a status in"):
        await account.v1.checkout.sessions.expire_async(session.id)


async def test_line_items_are_included_only_when_expanded(account: SandboxAccount) -> None:
    digital, printed = await account.price(), await account.price(2000)
    session = await account.checkout(
        line_items=[{"price": digital.id, "quantity": 1}, {"price": printed.id, "quantity": 2}]
    )
    assert "line_items" not in session
    assert (session.amount_subtotal, session.ui_mode, session.expires_at - session.created) == (
        8900,
        "hosted_page",
        86400,
    )
    listed = await account.v1.checkout.sessions.line_items.list_async(session.id)
    assert [(line.price.id, line.quantity, line.amount_total) for line in listed.data] == [
        (digital.id, 1, 4900),
        (printed.id, 2, 4000),
    ]
    expanded = await account.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["line_items"]})
    assert len(expanded.line_items.data) == 2


async def test_sessions_can_be_listed_by_customer_and_status(account: SandboxAccount) -> None:
    customer = await account.customer(method=None)
    session = await account.checkout(customer=customer.id)
    await account.checkout()
    found = await account.v1.checkout.sessions.list_async({"customer": customer.id, "status": "open"})
    assert [each.id for each in found.data] == [session.id]


@pytest.mark.parametrize(
    ("behavior", "total", "tax"), [("exclusive", 5390, 490), ("inclusive", 4900, 445), ("unspecified", 5390, 490)]
)
async def test_automatic_tax_uses_the_configured_rate(
    account: SandboxAccount, behavior: str, total: int, tax: int
) -> None:
    await account.settings(tax_rate=10)
    session = await account.checkout(price=await account.price(tax_behavior=behavior), automatic_tax={"enabled": True})
    assert (session.amount_total, session.total_details.amount_tax) == (total, tax)
    await account.pay(session)
    invoice = (await account.completed_session(session)).subscription.latest_invoice
    assert (invoice.total, invoice.total_excluding_tax) == (total, total - tax)
    assert [(each.amount, each.taxability_reason) for each in invoice.total_taxes] == [(tax, "standard_rated")]


async def test_without_a_rate_automatic_tax_is_zero(account: SandboxAccount) -> None:
    session = await account.checkout(automatic_tax={"enabled": True})
    await account.pay(session)
    invoice = (await account.completed_session(session)).subscription.latest_invoice
    assert (invoice.total, invoice.total_taxes[0].amount) == (4900, 0)
    assert invoice.total_taxes[0].taxability_reason == "not_collecting"
