"""What Stripe refuses when a checkout session is made."""

import time
from typing import Any

import pytest
import stripe

from tests.sandbox.shop import Shop


@pytest.mark.parametrize(
    ("params", "param", "told"),
    [
        pytest.param({"mode": ""}, "mode", "Invalid mode", id="no mode"),
        pytest.param({"success_url": "shop"}, "success_url", "Not a valid URL", id="a url without a scheme"),
        pytest.param({"success_url": "javascript:alert(1)"}, "success_url", "Not a valid URL", id="a script"),
        pytest.param({"line_items": []}, "line_items", "Missing required param", id="no line"),
        pytest.param({"line_items": [{"quantity": 1}]}, "line_items[0][price]", "Missing required", id="no price"),
        pytest.param(
            {"line_items": [{"price": "price_x"}]}, "line_items[0][price]", "No such price", id="unknown price"
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
        pytest.param({"expires_at": int(time.time()) + 90_000}, "expires_at", "less than 24 hours", id="too late"),
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
async def test_a_session_that_breaks_a_rule_is_refused(
    shop: Shop, params: dict[str, Any], param: str, told: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=told) as caught:
        await shop.checkout(**params)
    assert (caught.value.http_status, caught.value.param) == (400, param)


async def test_an_inactive_price_is_refused_in_stripes_words(shop: Shop) -> None:
    price = await shop.price()
    await shop.v1.prices.update_async(price.id, {"active": False})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.checkout(price=price)
    assert caught.value.user_message == "The price specified is inactive. This field only accepts active prices."
    assert caught.value.param == "line_items[0][price]"


async def test_a_price_that_is_paid_once_cannot_be_subscribed_to(shop: Shop) -> None:
    product = await shop.v1.products.create_async({"name": "Tote bag"})
    price = await shop.v1.prices.create_async({"product": product.id, "currency": "usd", "unit_amount": 900})
    with pytest.raises(stripe.InvalidRequestError, match="type=recurring"):
        await shop.checkout(price=price)


async def test_prices_of_two_currencies_do_not_go_together(shop: Shop) -> None:
    dollars, euros = await shop.price(), await shop.price(currency="eur")
    with pytest.raises(stripe.InvalidRequestError, match="same currency"):
        await shop.checkout(line_items=[{"price": dollars.id, "quantity": 1}, {"price": euros.id, "quantity": 1}])


async def test_a_coupon_of_another_currency_is_refused(shop: Shop) -> None:
    coupon = await shop.v1.coupons.create_async({"amount_off": 500, "currency": "eur", "duration": "once"})
    with pytest.raises(stripe.InvalidRequestError, match="in eur, not in usd"):
        await shop.checkout(discounts=[{"coupon": coupon.id}])


async def test_automatic_tax_needs_to_know_where_a_customer_is(shop: Shop) -> None:
    customer = await shop.customer(method=None)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.checkout(customer=customer.id, automatic_tax={"enabled": True})
    assert caught.value.code == "customer_tax_location_invalid"
    update = {"address": "auto"}
    assert await shop.checkout(customer=customer.id, automatic_tax={"enabled": True}, customer_update=update)


async def test_only_an_open_session_can_be_expired(shop: Shop) -> None:
    session = await shop.checkout()
    assert (await shop.v1.checkout.sessions.expire_async(session.id)).status == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="Only Checkout Sessions with a status in"):
        await shop.v1.checkout.sessions.expire_async(session.id)


async def test_a_session_shows_its_lines_only_if_asked(shop: Shop) -> None:
    digital, printed = await shop.price(), await shop.price(2000)
    session = await shop.checkout(
        line_items=[{"price": digital.id, "quantity": 1}, {"price": printed.id, "quantity": 2}]
    )
    assert "line_items" not in session
    assert (session.amount_subtotal, session.ui_mode, session.expires_at - session.created) == (
        8900,
        "hosted_page",
        86400,
    )
    listed = await shop.v1.checkout.sessions.line_items.list_async(session.id)
    assert [(line.price.id, line.quantity, line.amount_total) for line in listed.data] == [
        (digital.id, 1, 4900),
        (printed.id, 2, 4000),
    ]
    expanded = await shop.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["line_items"]})
    assert len(expanded.line_items.data) == 2


async def test_sessions_are_listed_by_customer_and_status(shop: Shop) -> None:
    customer = await shop.customer(method=None)
    session = await shop.checkout(customer=customer.id)
    await shop.checkout()
    found = await shop.v1.checkout.sessions.list_async({"customer": customer.id, "status": "open"})
    assert [each.id for each in found.data] == [session.id]


@pytest.mark.parametrize(
    ("behavior", "total", "tax"), [("exclusive", 5390, 490), ("inclusive", 4900, 445), ("unspecified", 5390, 490)]
)
async def test_automatic_tax_is_reckoned_at_the_rate_of_the_settings(
    shop: Shop, behavior: str, total: int, tax: int
) -> None:
    await shop.settings(tax_rate=10)
    session = await shop.checkout(price=await shop.price(tax_behavior=behavior), automatic_tax={"enabled": True})
    assert (session.amount_total, session.total_details.amount_tax) == (total, tax)
    await shop.pay(session)
    invoice = (await shop.bought(session)).subscription.latest_invoice
    assert (invoice.total, invoice.total_excluding_tax) == (total, total - tax)
    assert [(each.amount, each.taxability_reason) for each in invoice.total_taxes] == [(tax, "standard_rated")]


async def test_without_a_rate_automatic_tax_is_zero(shop: Shop) -> None:
    session = await shop.checkout(automatic_tax={"enabled": True})
    await shop.pay(session)
    invoice = (await shop.bought(session)).subscription.latest_invoice
    assert (invoice.total, invoice.total_taxes[0].amount) == (4900, 0)
    assert invoice.total_taxes[0].taxability_reason == "not_collecting"
