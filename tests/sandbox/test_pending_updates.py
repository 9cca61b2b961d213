"""Changes that wait for their payment, and subscriptions with prices of different intervals."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import DAY, HOUR, OPENING, YEAR, SandboxAccount

MONTHLY = {"interval": "month"}


async def upgrade(account: SandboxAccount, card: str) -> tuple[Any, Any, str]:
    """Upgrade a subscription in the middle of its year, with another card. Return clock, subscription and item ID."""
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    await account.advance(clock, OPENING + 100 * DAY)
    method = await account.v1.payment_methods.attach_async(card, {"customer": customer.id})
    await account.v1.subscriptions.update_async(subscription.id, {"default_payment_method": method.id})
    item = subscription["items"].data[0].id
    updated = await account.v1.subscriptions.update_async(
        subscription.id,
        {
            "items": [{"id": item, "price": (await account.price(9900)).id}],
            "payment_behavior": "pending_if_incomplete",
            "proration_behavior": "always_invoice",
        },
    )
    return clock, updated, item


async def test_a_change_that_is_paid_applies_immediately(account: SandboxAccount) -> None:
    _, subscription, _ = await upgrade(account, "pm_card_visa")
    assert subscription.pending_update is None
    assert subscription["items"].data[0].price.unit_amount == 9900
    assert (await account.v1.invoices.retrieve_async(subscription.latest_invoice)).status == "paid"


async def test_a_change_that_is_not_paid_is_pending_and_applies_later(account: SandboxAccount) -> None:
    _, subscription, item = await upgrade(account, "pm_card_chargeCustomerFail")
    assert (subscription.status, subscription["items"].data[0].price.unit_amount) == ("active", 4900)
    assert subscription.pending_update.subscription_items[0].id == item
    assert subscription.pending_update.subscription_items[0].price.unit_amount == 9900
    good = await account.v1.payment_methods.attach_async("pm_card_visa", {"customer": subscription.customer})
    await account.v1.invoices.pay_async(subscription.latest_invoice, {"payment_method": good.id})
    subscription = await account.v1.subscriptions.retrieve_async(subscription.id)
    assert subscription.pending_update is None
    assert subscription["items"].data[0].price.unit_amount == 9900
    assert "customer.subscription.pending_update_applied" in await account.types()


async def test_a_pending_change_expires_after_23_hours(account: SandboxAccount) -> None:
    clock, subscription, _ = await upgrade(account, "pm_card_chargeCustomerFail")
    await account.advance(clock, subscription.pending_update.expires_at + HOUR)
    invoice = await account.v1.invoices.retrieve_async(subscription.latest_invoice)
    subscription = await account.v1.subscriptions.retrieve_async(subscription.id)
    assert (invoice.status, subscription.pending_update) == ("void", None)
    assert subscription["items"].data[0].price.unit_amount == 4900
    assert "customer.subscription.pending_update_expired" in await account.types()


async def mixed(account: SandboxAccount, **more: Any) -> tuple[Any, Any]:
    """Return a clock and a subscription with a yearly and a monthly price."""
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    items = [{"price": (await account.price()).id}, {"price": (await account.price(490, recurring=MONTHLY)).id}]
    return clock, await account.v1.subscriptions.create_async({"customer": customer.id, "items": items, **more})


async def test_prices_with_different_intervals_renew_separately(account: SandboxAccount) -> None:
    clock, subscription = await mixed(account)
    yearly, monthly = subscription["items"].data
    assert (yearly.current_period_end, monthly.current_period_end) == (OPENING + YEAR, OPENING + 31 * DAY)
    await account.advance(clock, OPENING + 31 * DAY + 2 * HOUR)
    first, second = reversed((await account.v1.invoices.list_async({"subscription": subscription.id})).data)
    assert ([line.amount for line in first.lines.data], first.total) == ([4900, 490], 5390)
    assert ([line.amount for line in second.lines.data], second.billing_reason) == ([490], "subscription_cycle")


async def test_mixed_intervals_share_an_invoice_when_they_end_together(account: SandboxAccount) -> None:
    clock, subscription = await mixed(account)
    for month in range(1, 7):
        await account.advance(clock, OPENING + month * 59 * DAY)
    await account.advance(clock, OPENING + YEAR + 2 * HOUR)
    invoices = (await account.v1.invoices.list_async({"subscription": subscription.id, "limit": 100})).data
    assert len(invoices) == 13
    assert [line.amount for line in invoices[0].lines.data] == [4900, 490]


async def test_a_price_with_another_interval_can_be_added(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    price = await account.price(3100, recurring=MONTHLY)
    await account.advance(clock, OPENING + 11 * DAY)
    item = await account.v1.subscription_items.create_async(
        {"subscription": subscription.id, "price": price.id, "proration_behavior": "always_invoice"}
    )
    assert (item.current_period_start, item.current_period_end) == (OPENING, OPENING + 31 * DAY)
    newest = (await account.v1.invoices.list_async({"subscription": subscription.id})).data[0]
    assert newest.total == 2000


async def test_mixed_intervals_require_flexible_billing_and_multiples(account: SandboxAccount) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="flexible"):
        await mixed(account, billing_mode={"type": "classic"})
    weekly = await account.price(100, recurring={"interval": "week"})
    with pytest.raises(stripe.InvalidRequestError, match="multiples"):
        await account.v1.subscriptions.create_async(
            {
                "customer": (await account.customer()).id,
                "items": [{"price": (await account.price()).id}, {"price": weekly.id}],
            }
        )
