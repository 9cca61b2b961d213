"""Payments that fail or wait for the reader, and what becomes of the subscription."""

from typing import Any

import pytest

from tests.sandbox.shop import DAY, HOUR, OPENING, YEAR, Shop

DUE = OPENING + YEAR + HOUR


async def renewing_with(shop: Shop, method: str) -> tuple[Any, Any]:
    """Return a clock and a subscription that was paid with a good card and renews with another."""
    clock = await shop.clock()
    customer = await shop.customer(test_clock=clock.id)
    subscription = await shop.subscribe(customer=customer)
    other = await shop.v1.payment_methods.attach_async(method, {"customer": customer.id})
    await shop.v1.customers.update_async(customer.id, {"invoice_settings": {"default_payment_method": other.id}})
    return clock, subscription


async def authenticate(shop: Shop, result: str = "complete") -> int:
    """Have the reader answer the bank about the newest payment; return the status of the reply."""
    intent = (await shop.v1.payment_intents.list_async()).data[0]
    answer = await shop.raw("POST", f"/_sandbox/payment_intents/{intent.id}/authenticate", json={"result": result})
    return answer.status_code


async def test_each_failed_attempt_is_told_with_its_number_and_the_next(shop: Shop) -> None:
    clock, _ = await renewing_with(shop, "pm_card_chargeCustomerFail")
    await shop.wind(clock, DUE + 20 * DAY)
    told = (await shop.v1.events.list_async({"type": "invoice.payment_failed"})).data
    assert [(event.data.object.attempt_count, event.data.object.next_payment_attempt) for event in reversed(told)] == [
        (1, DUE + 3 * DAY),
        (2, DUE + 8 * DAY),
        (3, DUE + 15 * DAY),
        (4, None),
    ]
    assert [event.created for event in reversed(told)] == [DUE, DUE + 3 * DAY, DUE + 8 * DAY, DUE + 15 * DAY]
    failed = [charge for charge in (await shop.v1.charges.list_async()).data if charge.status == "failed"]
    assert len(failed) == 4


async def test_a_replaced_card_recovers_it_at_the_next_attempt(shop: Shop) -> None:
    clock, subscription = await renewing_with(shop, "pm_card_chargeCustomerFail")
    await shop.wind(clock, DUE + DAY)
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == "past_due"
    better = await shop.v1.payment_methods.attach_async("pm_card_mastercard", {"customer": subscription.customer})
    await shop.v1.customers.update_async(
        subscription.customer, {"invoice_settings": {"default_payment_method": better.id}}
    )
    await shop.wind(clock, DUE + 3 * DAY)
    recovered = await shop.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert (recovered.status, recovered.latest_invoice.status, recovered.latest_invoice.attempt_count) == (
        "active",
        "paid",
        2,
    )
    assert (await shop.event("customer.subscription.updated")).data.previous_attributes.status == "past_due"


async def test_an_unpaid_subscription_goes_on_with_drafts_and_is_active_again_when_paid(shop: Shop) -> None:
    await shop.settings(after_retries="unpaid", retry_days=[1])
    clock, subscription = await renewing_with(shop, "pm_card_chargeCustomerFail")
    await shop.wind(clock, DUE + 2 * DAY)
    unpaid = await shop.v1.subscriptions.retrieve_async(subscription.id)
    assert unpaid.status == "unpaid"
    paid = await shop.v1.invoices.pay_async(unpaid.latest_invoice, {"payment_method": "pm_card_visa"})
    assert paid.status == "paid"
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == "active"


async def test_a_renewal_that_wants_3d_secure_is_paid_when_the_reader_confirms(shop: Shop) -> None:
    clock, subscription = await renewing_with(shop, "pm_card_authenticationRequired")
    await shop.wind(clock, DUE)
    waiting = await shop.v1.subscriptions.retrieve_async(subscription.id)
    assert waiting.status == "past_due"
    asked = await shop.event("invoice.payment_action_required")
    assert asked.data.object.id == waiting.latest_invoice
    assert await authenticate(shop, "perhaps") == 400
    assert await authenticate(shop) == 200
    assert await authenticate(shop) == 400
    paid = await shop.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert (paid.status, paid.latest_invoice.status) == ("active", "paid")
    charge = (await shop.v1.charges.list_async()).data[0]
    assert charge.payment_method_details.card.three_d_secure.result == "authenticated"


async def test_3d_secure_that_fails_leaves_it_overdue(shop: Shop) -> None:
    clock, subscription = await renewing_with(shop, "pm_card_authenticationRequired")
    await shop.wind(clock, DUE)
    assert await authenticate(shop, "fail") == 200
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == "past_due"
    error = (await shop.v1.payment_intents.list_async()).data[0].last_payment_error
    assert error.code == "payment_intent_authentication_failure"


async def test_a_first_payment_that_wants_3d_secure_begins_when_it_is_given(shop: Shop) -> None:
    customer = await shop.customer(method="pm_card_authenticationRequired")
    subscription = await shop.subscribe(customer=customer)
    assert subscription.status == "incomplete"
    assert await authenticate(shop) == 200
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == "active"


@pytest.mark.parametrize(
    ("method", "first", "later"),
    [("pm_card_pendingRefund", "pending", "succeeded"), ("pm_card_refundFail", "succeeded", "failed")],
)
async def test_on_a_test_clock_a_refund_changes_its_mind_in_its_time(
    shop: Shop, method: str, first: str, later: str
) -> None:
    await shop.settings(refund_seconds=5 * DAY)
    clock = await shop.clock()
    subscription = await shop.subscribe(customer=await shop.customer(method=method, test_clock=clock.id))
    intent = await shop.payment_intent_of(subscription.latest_invoice)
    refund = await shop.v1.refunds.create_async({"payment_intent": intent.id})
    await shop.wind(clock, OPENING + 5 * DAY - 1)
    assert (await shop.v1.refunds.retrieve_async(refund.id)).status == first
    await shop.wind(clock, OPENING + 5 * DAY)
    assert (await shop.v1.refunds.retrieve_async(refund.id)).status == later
