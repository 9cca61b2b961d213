"""Failed payments, 3-D Secure and retries."""

from typing import Any

import pytest

from tests.sandbox.client import DAY, HOUR, OPENING, YEAR, SandboxAccount

DUE = OPENING + YEAR + HOUR


async def renewal_with(account: SandboxAccount, method: str) -> tuple[Any, Any]:
    """Return a clock and a paid subscription that renews with another payment method."""
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    other = await account.v1.payment_methods.attach_async(method, {"customer": customer.id})
    await account.v1.customers.update_async(customer.id, {"invoice_settings": {"default_payment_method": other.id}})
    return clock, subscription


async def authenticate(account: SandboxAccount, result: str = "complete") -> int:
    """Simulate 3-D Secure for the latest payment and return the status code."""
    intent = (await account.v1.payment_intents.list_async()).data[0]
    answer = await account.request(
        "POST", f"/_sandbox/payment_intents/{intent.id}/authenticate", json={"result": result}
    )
    return answer.status_code


async def test_each_failed_attempt_sends_its_number_and_the_next_attempt(account: SandboxAccount) -> None:
    clock, _ = await renewal_with(account, "pm_card_chargeCustomerFail")
    await account.advance(clock, DUE + 20 * DAY)
    expected = (await account.v1.events.list_async({"type": "invoice.payment_failed"})).data
    assert [
        (event.data.object.attempt_count, event.data.object.next_payment_attempt) for event in reversed(expected)
    ] == [
        (1, DUE + 3 * DAY),
        (2, DUE + 8 * DAY),
        (3, DUE + 15 * DAY),
        (4, None),
    ]
    assert [event.created for event in reversed(expected)] == [DUE, DUE + 3 * DAY, DUE + 8 * DAY, DUE + 15 * DAY]
    failed = [charge for charge in (await account.v1.charges.list_async()).data if charge.status == "failed"]
    assert len(failed) == 4


async def test_a_replaced_card_pays_the_next_attempt(account: SandboxAccount) -> None:
    clock, subscription = await renewal_with(account, "pm_card_chargeCustomerFail")
    await account.advance(clock, DUE + DAY)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "past_due"
    better = await account.v1.payment_methods.attach_async("pm_card_mastercard", {"customer": subscription.customer})
    await account.v1.customers.update_async(
        subscription.customer, {"invoice_settings": {"default_payment_method": better.id}}
    )
    await account.advance(clock, DUE + 3 * DAY)
    recovered = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert (recovered.status, recovered.latest_invoice.status, recovered.latest_invoice.attempt_count) == (
        "active",
        "paid",
        2,
    )
    assert (await account.event("customer.subscription.updated")).data.previous_attributes.status == "past_due"


async def test_an_unpaid_subscription_creates_drafts_and_reactivates_when_paid(account: SandboxAccount) -> None:
    await account.settings(after_retries="unpaid", retry_days=[1])
    clock, subscription = await renewal_with(account, "pm_card_chargeCustomerFail")
    await account.advance(clock, DUE + 2 * DAY)
    unpaid = await account.v1.subscriptions.retrieve_async(subscription.id)
    assert unpaid.status == "unpaid"
    paid = await account.v1.invoices.pay_async(unpaid.latest_invoice, {"payment_method": "pm_card_visa"})
    assert paid.status == "paid"
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "active"


async def test_a_renewal_with_3d_secure_is_paid_after_authentication(account: SandboxAccount) -> None:
    clock, subscription = await renewal_with(account, "pm_card_authenticationRequired")
    await account.advance(clock, DUE)
    waiting = await account.v1.subscriptions.retrieve_async(subscription.id)
    assert waiting.status == "past_due"
    asked = await account.event("invoice.payment_action_required")
    assert asked.data.object.id == waiting.latest_invoice
    assert await authenticate(account, "perhaps") == 400
    assert await authenticate(account) == 200
    assert await authenticate(account) == 400
    paid = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert (paid.status, paid.latest_invoice.status) == ("active", "paid")
    charge = (await account.v1.charges.list_async()).data[0]
    assert charge.payment_method_details.card.three_d_secure.result == "authenticated"


async def test_failed_3d_secure_leaves_the_subscription_past_due(account: SandboxAccount) -> None:
    clock, subscription = await renewal_with(account, "pm_card_authenticationRequired")
    await account.advance(clock, DUE)
    assert await authenticate(account, "fail") == 200
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "past_due"
    error = (await account.v1.payment_intents.list_async()).data[0].last_payment_error
    assert error.code == "payment_intent_authentication_failure"


async def test_a_first_payment_with_3d_secure_activates_after_authentication(account: SandboxAccount) -> None:
    customer = await account.customer(method="pm_card_authenticationRequired")
    subscription = await account.subscribe(customer=customer)
    assert subscription.status == "incomplete"
    assert await authenticate(account) == 200
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "active"


@pytest.mark.parametrize(
    ("method", "first", "later"),
    [("pm_card_pendingRefund", "pending", "succeeded"), ("pm_card_refundFail", "succeeded", "failed")],
)
async def test_refunds_on_a_test_clock_change_status_by_its_time(
    account: SandboxAccount, method: str, first: str, later: str
) -> None:
    await account.settings(refund_seconds=5 * DAY)
    clock = await account.clock()
    subscription = await account.subscribe(customer=await account.customer(method=method, test_clock=clock.id))
    intent = await account.payment_intent_of(subscription.latest_invoice)
    refund = await account.v1.refunds.create_async({"payment_intent": intent.id})
    await account.advance(clock, OPENING + 5 * DAY - 1)
    assert (await account.v1.refunds.retrieve_async(refund.id)).status == first
    await account.advance(clock, OPENING + 5 * DAY)
    assert (await account.v1.refunds.retrieve_async(refund.id)).status == later


@pytest.mark.parametrize(
    ("settings", "days", "reason"),
    [
        pytest.param({"after_first_failure": "pause"}, 1, "first_payment_failure", id="first failure"),
        pytest.param({"after_retries": "pause", "retry_days": [2]}, 3, "final_payment_failure", id="last failure"),
    ],
)
async def test_a_failed_payment_can_pause_the_subscription(
    account: SandboxAccount, settings: dict[str, Any], days: int, reason: str
) -> None:
    await account.settings(**settings)
    clock, subscription = await renewal_with(account, "pm_card_chargeCustomerFail")
    await account.advance(clock, OPENING + YEAR + days * DAY)
    paused = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert (paused.status, paused.status_details.paused.subscription.type) == ("paused", reason)
    assert paused.latest_invoice.status == "open"
    good = await account.v1.payment_methods.attach_async("pm_card_visa", {"customer": paused.customer})
    await account.v1.invoices.pay_async(paused.latest_invoice.id, {"payment_method": good.id})
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "active"
