"""Currencies: which are supported, their smallest and largest amounts, and prices in several currencies."""

from typing import Any

import pytest
import stripe

from sandbox.billing import currencies
from tests.sandbox.client import SandboxAccount


@pytest.mark.parametrize(
    ("currency", "amount", "message"),
    [
        pytest.param("xyz", 100, "Invalid currency: xyz", id="unknown currency"),
        pytest.param("usd", 100_000_000, "no more than 999,999.99 usd", id="above the maximum"),
        pytest.param("jpy", 100_000_000, "no more than 99,999,999 jpy", id="above the maximum without decimals"),
        pytest.param("isk", 550, "divisible by 100", id="ISK without decimals"),
        pytest.param("ugx", 50, "divisible by 100", id="UGX without decimals"),
        pytest.param("kwd", 10_505, "last digit", id="three decimals"),
    ],
)
async def test_invalid_amounts_are_rejected(account: SandboxAccount, currency: str, amount: int, message: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=message):
        await account.price(amount, currency=currency)


@pytest.mark.parametrize(("currency", "amount"), [("usd", 99_999_999), ("isk", 500), ("kwd", 10_500), ("jpy", 4900)])
async def test_valid_amounts_are_accepted(account: SandboxAccount, currency: str, amount: int) -> None:
    assert (await account.price(amount, currency=currency)).unit_amount == amount


def test_each_currency_has_an_exponent() -> None:
    assert {currencies.exponent(code) for code in currencies.SUPPORTED} == {0, 2, 3}
    assert [currencies.exponent(code) for code in ("jpy", "kwd", "isk", "ugx", "huf", "usd")] == [0, 3, 2, 2, 2, 2]
    assert currencies.ZERO_DECIMAL | currencies.THREE_DECIMAL | currencies.WHOLE_UNITS <= currencies.SUPPORTED


async def test_a_checkout_below_the_minimum_is_rejected(account: SandboxAccount) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=r"at least 0.50 usd") as caught:
        await account.checkout(price=await account.price(40))
    assert caught.value.code == "amount_too_small"


async def test_a_checkout_line_requires_a_quantity(account: SandboxAccount) -> None:
    price = await account.price()
    with pytest.raises(stripe.InvalidRequestError, match="Quantity is required"):
        await account.checkout(price=price, line_items=[{"price": price.id}])


async def price_with_options(account: SandboxAccount) -> Any:
    """Create a price in dollars that is also available in euros and yen."""
    return await account.price(
        4900, currency_options={"eur": {"unit_amount": 4500}, "jpy": {"unit_amount": 7000, "tax_behavior": "inclusive"}}
    )


async def test_a_price_can_have_other_currencies(account: SandboxAccount) -> None:
    price = await price_with_options(account)
    assert "currency_options" not in price
    price = await account.v1.prices.retrieve_async(price.id, {"expand": ["currency_options"]})
    amounts = {currency: option["unit_amount"] for currency, option in price.currency_options.to_dict().items()}
    assert amounts == {"usd": 4900, "eur": 4500, "jpy": 7000}


async def test_a_subscription_can_be_in_another_currency_of_its_price(account: SandboxAccount) -> None:
    subscription = await account.subscribe(price=await price_with_options(account), currency="eur")
    invoice = await account.v1.invoices.retrieve_async(subscription.latest_invoice)
    assert (subscription.currency, invoice.currency, invoice.amount_paid) == ("eur", "eur", 4500)


async def test_a_checkout_can_be_in_another_currency_of_its_price(account: SandboxAccount) -> None:
    session = await account.checkout(price=await price_with_options(account), currency="jpy")
    assert (session.currency, session.amount_total) == ("jpy", 7000)
    assert "¥7,000" in (await account.browser.get(session.url)).text
    await account.pay(session)
    bought = await account.completed_session(session)
    assert bought.subscription.latest_invoice.total == 7000


async def test_a_currency_that_a_price_does_not_have_is_rejected(account: SandboxAccount) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="only supports `usd`, `eur`, `jpy`"):
        await account.subscribe(price=await price_with_options(account), currency="gbp")


async def test_a_customer_cannot_have_active_subscriptions_in_two_currencies(account: SandboxAccount) -> None:
    customer = await account.customer()
    first = await account.subscribe(customer=customer)
    euros = await account.price(currency="eur")
    for call in (
        account.subscribe(customer=customer, price=euros),
        account.checkout(price=euros, customer=customer.id),
    ):
        with pytest.raises(stripe.InvalidRequestError, match="cannot combine currencies"):
            await call
    await account.v1.subscriptions.cancel_async(first.id)
    assert (await account.subscribe(customer=customer, price=euros)).currency == "eur"


async def test_a_refund_must_fit_the_currency(account: SandboxAccount) -> None:
    subscription = await account.subscribe(price=await account.price(10_500, currency="kwd"))
    intent = await account.payment_intent_of(subscription.latest_invoice)
    with pytest.raises(stripe.InvalidRequestError, match="last digit"):
        await account.v1.refunds.create_async({"payment_intent": intent.id, "amount": 5005})
    assert (await account.v1.refunds.create_async({"payment_intent": intent.id, "amount": 5000})).amount == 5000
