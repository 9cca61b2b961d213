"""Offers at the checkout: promotion codes with their rules, items that may be added, and the test cards."""

import time
from typing import Any

import pytest
import stripe

from tests.sandbox.shop import Shop


async def code(shop: Shop, **rules: Any) -> Any:
    """Make a promotion code for ten dollars off."""
    coupon = await shop.v1.coupons.create_async({"amount_off": 1000, "currency": "usd", "duration": "once"})
    return await shop.v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "WELCOME", **rules}
    )


async def test_a_code_with_a_minimum_is_for_larger_orders(shop: Shop) -> None:
    made = await code(shop, restrictions={"minimum_amount": 5000, "minimum_amount_currency": "usd"})
    assert (made.restrictions.minimum_amount, made.restrictions.minimum_amount_currency) == (5000, "usd")
    small = await shop.checkout(allow_promotion_codes=True)
    refused = await shop.pay(small, promotion_code="WELCOME")
    assert (refused.status_code, "minimum amount" in refused.text) == (422, True)
    large = await shop.checkout(price=await shop.price(6000), allow_promotion_codes=True)
    assert (await shop.pay(large, promotion_code="welcome")).status_code == 303
    assert (await shop.bought(large)).amount_total == 5000
    for small_order in (shop.subscribe, shop.checkout):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await small_order(discounts=[{"promotion_code": made.id}])
        assert caught.value.code == "promotion_code_minimum_amount_not_met"


async def test_a_code_that_is_used_up_or_over_is_refused(shop: Shop) -> None:
    made = await code(shop, max_redemptions=1)
    await shop.subscribe(discounts=[{"promotion_code": made.id}])
    with pytest.raises(stripe.InvalidRequestError, match="expired"):
        await shop.subscribe(discounts=[{"promotion_code": made.id}])
    assert (await shop.v1.promotion_codes.retrieve_async(made.id)).times_redeemed == 1
    soon = await code(shop, code="SOON", expires_at=int(time.time()) + 1)
    time.sleep(1.1)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.subscribe(discounts=[{"promotion_code": soon.id}])
    assert caught.value.code == "promotion_code_expired"


async def test_a_code_may_be_one_customers_and_for_first_purchases_alone(shop: Shop) -> None:
    customer, other = await shop.customer(), await shop.customer()
    theirs = await code(shop, customer=customer.id)
    with pytest.raises(stripe.InvalidRequestError, match="by this customer"):
        await shop.subscribe(customer=other, discounts=[{"promotion_code": theirs.id}])
    await shop.subscribe(customer=customer, discounts=[{"promotion_code": theirs.id}])
    first = await code(shop, code="FIRST", restrictions={"first_time_transaction": True})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.subscribe(customer=customer, discounts=[{"promotion_code": first.id}])
    assert caught.value.code == "promotion_code_customer_not_first_time"
    await shop.subscribe(customer=other, discounts=[{"promotion_code": first.id}])


async def test_an_optional_item_is_bought_if_it_is_ticked(shop: Shop) -> None:
    digital, printed = await shop.price(), await shop.price(2000)
    session = await shop.checkout(price=digital, optional_items=[{"price": printed.id, "quantity": 1}])
    assert (session.amount_total, session.optional_items[0].price) == (4900, printed.id)
    page = await shop.browser.get(session.url)
    assert 'name="optional_0"' in page.text
    updated = await shop.pay(session, optional_0="yes", action="apply")
    assert (updated.status_code, "$69.00" in updated.text) == (200, True)
    assert (await shop.pay(session, optional_0="yes")).status_code == 303
    done = await shop.bought(session)
    assert (done.amount_total, done.subscription.latest_invoice.total) == (6900, 6900)
    assert {item.price.id for item in done.subscription["items"].data} == {digital.id, printed.id}
    assert len((await shop.v1.checkout.sessions.line_items.list_async(session.id)).data) == 2


async def test_an_optional_item_that_is_not_ticked_is_not_bought(shop: Shop) -> None:
    session = await shop.checkout(optional_items=[{"price": (await shop.price(2000)).id, "quantity": 1}])
    await shop.pay(session)
    done = await shop.bought(session)
    assert (done.amount_total, len(done.subscription["items"].data)) == (4900, 1)


async def test_optional_items_have_rules(shop: Shop) -> None:
    price = await shop.price()
    for items, told in (
        ([{"price": price.id, "quantity": 1}], "cannot have the price of a line item"),
        ([{"price": f"price_{index}", "quantity": 1} for index in range(11)], "at most 10"),
        ([{"price": "price_none", "quantity": 1}], "No such price"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=told):
            await shop.checkout(price=price, optional_items=items)


@pytest.mark.parametrize(
    ("method", "number", "page", "api"),
    [
        pytest.param("pm_card_visa", "4242424242424242", 303, "active", id="succeeds"),
        pytest.param("pm_card_visa_chargeDeclined", "4000000000000002", 402, None, id="declined"),
        pytest.param(
            "pm_card_visa_chargeDeclinedInsufficientFunds", "4000000000009995", 402, None, id="insufficient funds"
        ),
        pytest.param("pm_card_chargeCustomerFail", "4000000000000341", 402, "incomplete", id="attaches, then fails"),
        pytest.param("pm_card_authenticationRequired", "4000002760003184", 303, "incomplete", id="3-D Secure"),
        pytest.param("pm_card_createDispute", "4000000000000259", 303, "active", id="disputed"),
        pytest.param("pm_card_createIssuerFraudRecord", "4000000000005423", 303, "active", id="fraud warning"),
        pytest.param("pm_card_pendingRefund", "4000000000007726", 303, "active", id="refund pends"),
        pytest.param("pm_card_refundFail", "4000000000005126", 303, "active", id="refund fails"),
    ],
)
async def test_each_test_card_is_known_by_its_number_and_by_its_name(
    shop: Shop, method: str, number: str, page: int, api: str | None
) -> None:
    assert (await shop.pay(await shop.checkout(), card=number)).status_code == page
    customer = await shop.customer(method=None)
    if api is None:
        with pytest.raises(stripe.CardError):
            await shop.v1.payment_methods.attach_async(method, {"customer": customer.id})
        return
    attached = await shop.v1.payment_methods.attach_async(method, {"customer": customer.id})
    assert attached.card.last4 == number[-4:]
    assert (await shop.subscribe(customer=customer, default_payment_method=attached.id)).status == api
