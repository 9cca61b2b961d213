"""Promotion codes, optional items and test cards at checkout."""

import time
from typing import Any

import pytest
import stripe

from tests.sandbox.client import HOUR, SandboxAccount


async def code(account: SandboxAccount, **rules: Any) -> Any:
    """Create a promotion code for ten dollars off."""
    coupon = await account.v1.coupons.create_async({"amount_off": 1000, "currency": "usd", "duration": "once"})
    return await account.v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "WELCOME", **rules}
    )


async def test_a_promotion_code_with_a_minimum_requires_a_larger_order(account: SandboxAccount) -> None:
    made = await code(account, restrictions={"minimum_amount": 5000, "minimum_amount_currency": "usd"})
    assert (made.restrictions.minimum_amount, made.restrictions.minimum_amount_currency) == (5000, "usd")
    small = await account.checkout(allow_promotion_codes=True)
    refused = await account.pay(small, promotion_code="WELCOME")
    assert (refused.status_code, "minimum amount" in refused.text) == (422, True)
    large = await account.checkout(price=await account.price(6000), allow_promotion_codes=True)
    assert (await account.pay(large, promotion_code="welcome")).status_code == 303
    assert (await account.completed_session(large)).amount_total == 5000
    for small_order in (account.subscribe, account.checkout):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await small_order(discounts=[{"promotion_code": made.id}])
        assert caught.value.code == "promotion_code_minimum_amount_not_met"


async def test_an_expired_or_exhausted_promotion_code_is_rejected(account: SandboxAccount) -> None:
    made = await code(account, max_redemptions=1)
    await account.subscribe(discounts=[{"promotion_code": made.id}])
    with pytest.raises(stripe.InvalidRequestError, match="expired"):
        await account.subscribe(discounts=[{"promotion_code": made.id}])
    assert (await account.v1.promotion_codes.retrieve_async(made.id)).times_redeemed == 1
    soon = await code(account, code="SOON", expires_at=int(time.time()) + HOUR)
    later = await account.v1.test_helpers.test_clocks.create_async({"frozen_time": int(time.time()) + 2 * HOUR})
    customer = await account.customer(test_clock=later.id)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.subscribe(customer=customer, discounts=[{"promotion_code": soon.id}])
    assert caught.value.code == "promotion_code_expired"


async def test_promotion_codes_can_be_limited_to_one_customer_or_first_purchase(account: SandboxAccount) -> None:
    customer, other = await account.customer(), await account.customer()
    theirs = await code(account, customer=customer.id)
    with pytest.raises(stripe.InvalidRequestError, match="by this customer"):
        await account.subscribe(customer=other, discounts=[{"promotion_code": theirs.id}])
    await account.subscribe(customer=customer, discounts=[{"promotion_code": theirs.id}])
    first = await code(account, code="FIRST", restrictions={"first_time_transaction": True})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.subscribe(customer=customer, discounts=[{"promotion_code": first.id}])
    assert caught.value.code == "promotion_code_customer_not_first_time"
    await account.subscribe(customer=other, discounts=[{"promotion_code": first.id}])


async def test_a_selected_optional_item_is_bought(account: SandboxAccount) -> None:
    digital, printed = await account.price(), await account.price(2000)
    session = await account.checkout(price=digital, optional_items=[{"price": printed.id, "quantity": 1}])
    assert (session.amount_total, session.optional_items[0].price) == (4900, printed.id)
    page = await account.browser.get(session.url)
    assert 'name="optional_0"' in page.text
    updated = await account.pay(session, optional_0="yes", action="apply")
    assert (updated.status_code, "$69.00" in updated.text) == (200, True)
    assert (await account.pay(session, optional_0="yes")).status_code == 303
    done = await account.completed_session(session)
    assert (done.amount_total, done.subscription.latest_invoice.total) == (6900, 6900)
    assert {item.price.id for item in done.subscription["items"].data} == {digital.id, printed.id}
    assert len((await account.v1.checkout.sessions.line_items.list_async(session.id)).data) == 2


async def test_an_unselected_optional_item_is_not_bought(account: SandboxAccount) -> None:
    session = await account.checkout(optional_items=[{"price": (await account.price(2000)).id, "quantity": 1}])
    await account.pay(session)
    done = await account.completed_session(session)
    assert (done.amount_total, len(done.subscription["items"].data)) == (4900, 1)


async def test_invalid_optional_items_are_rejected(account: SandboxAccount) -> None:
    price = await account.price()
    for items, expected in (
        ([{"price": price.id, "quantity": 1}], "cannot have the price of a line item"),
        ([{"price": f"price_{index}", "quantity": 1} for index in range(11)], "at most 10"),
        ([{"price": "price_none", "quantity": 1}], "No such price"),
    ):
        with pytest.raises(stripe.InvalidRequestError, match=expected):
            await account.checkout(price=price, optional_items=items)


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
async def test_each_test_card_is_available_by_number_and_by_id(
    account: SandboxAccount, method: str, number: str, page: int, api: str | None
) -> None:
    assert (await account.pay(await account.checkout(), card=number)).status_code == page
    customer = await account.customer(method=None)
    if api is None:
        with pytest.raises(stripe.CardError):
            await account.v1.payment_methods.attach_async(method, {"customer": customer.id})
        return
    attached = await account.v1.payment_methods.attach_async(method, {"customer": customer.id})
    assert attached.card.last4 == number[-4:]
    assert (await account.subscribe(customer=customer, default_payment_method=attached.id)).status == api
