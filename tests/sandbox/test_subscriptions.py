"""The life cycle of subscriptions."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import DAY, HOUR, OPENING, YEAR, SandboxAccount


async def test_a_new_subscription_is_active_with_a_paid_invoice(account: SandboxAccount) -> None:
    subscription = await account.subscribe(metadata={"plan": "annual"}, expand=["latest_invoice"])
    assert subscription.status == "active"
    assert subscription.billing_mode.type == "flexible"
    assert "current_period_end" not in subscription
    item = subscription["items"].data[0]
    assert item.current_period_end > item.current_period_start == subscription.start_date
    assert subscription.latest_invoice.status == "paid"
    assert subscription.latest_invoice.number.endswith("-0001")
    listed = await account.v1.subscription_items.list_async({"subscription": subscription.id})
    assert [each.id for each in listed.data] == [item.id]


async def test_removed_fields_are_absent(account: SandboxAccount) -> None:
    subscription = await account.subscribe(expand=["latest_invoice"])
    intent = await account.payment_intent_of(subscription.latest_invoice.id)
    charge = await account.v1.charges.retrieve_async(intent.latest_charge)
    for thing, names in (
        (subscription, ("current_period_start", "discount", "plan")),
        (subscription.latest_invoice, ("paid", "charge", "payment_intent", "subscription", "tax", "discount")),
        (intent, ("invoice", "charges")),
        (charge, ("invoice",)),
    ):
        assert [name for name in names if name in thing] == []


@pytest.mark.parametrize(
    ("behavior", "method", "intent_status"),
    [
        pytest.param("allow_incomplete", "pm_card_chargeCustomerFail", "requires_payment_method", id="declined"),
        pytest.param("allow_incomplete", "pm_card_authenticationRequired", "requires_action", id="3-D Secure"),
        pytest.param("default_incomplete", "pm_card_visa", "requires_payment_method", id="not tried"),
    ],
)
async def test_a_failed_first_payment_leaves_the_subscription_incomplete(
    account: SandboxAccount, behavior: str, method: str, intent_status: str
) -> None:
    customer = await account.customer(method=method)
    subscription = await account.subscribe(
        customer=customer, payment_behavior=behavior, expand=["latest_invoice.confirmation_secret"]
    )
    assert (subscription.status, subscription.latest_invoice.status) == ("incomplete", "open")
    assert subscription.latest_invoice.confirmation_secret.type == "payment_intent"
    assert (await account.v1.payment_intents.list_async()).data[0].status == intent_status


async def test_error_if_incomplete_raises_a_card_error_and_creates_nothing(account: SandboxAccount) -> None:
    customer = await account.customer(method="pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError) as caught:
        await account.subscribe(customer=customer, payment_behavior="error_if_incomplete")
    error = caught.value.error
    assert (caught.value.http_status, caught.value.code) == (402, "card_declined")
    assert error is not None
    assert error.decline_code == "generic_decline"
    assert str(error.charge).startswith("ch_")
    assert error.payment_intent is not None
    assert (await account.v1.subscriptions.list_async()).data == []


async def test_a_customer_without_a_payment_method_cannot_subscribe(account: SandboxAccount) -> None:
    customer = await account.customer(method=None)
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        await account.subscribe(customer=customer)


async def test_an_incomplete_subscription_can_be_paid_later(account: SandboxAccount) -> None:
    subscription = await account.subscribe(payment_behavior="default_incomplete")
    with pytest.raises(stripe.CardError):
        await account.v1.invoices.pay_async(
            subscription.latest_invoice, {"payment_method": "pm_card_visa_chargeDeclined"}
        )
    invoice = await account.v1.invoices.pay_async(subscription.latest_invoice)
    assert (invoice.status, invoice.amount_remaining) == ("paid", 0)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "active"
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        await account.v1.invoices.pay_async(subscription.latest_invoice)


async def test_an_incomplete_subscription_expires_after_23_hours(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer, payment_behavior="default_incomplete")
    await account.advance(clock, OPENING + 23 * HOUR - 1)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "incomplete"
    await account.advance(clock, OPENING + 23 * HOUR)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "incomplete_expired"
    assert (await account.v1.invoices.retrieve_async(subscription.latest_invoice)).status == "void"
    assert (await account.v1.payment_intents.list_async()).data[0].status == "canceled"


async def test_the_list_excludes_ended_and_test_clock_subscriptions(account: SandboxAccount) -> None:
    live, ended = await account.subscribe(), await account.subscribe()
    await account.v1.subscriptions.cancel_async(ended.id)
    clock = await account.clock()
    clocked = await account.subscribe(customer=await account.customer(test_clock=clock.id))

    async def ids(**params: Any) -> list[str]:
        return [each.id for each in (await account.v1.subscriptions.list_async(params)).data]

    assert await ids() == [live.id]
    assert await ids(status="all") == [ended.id, live.id]
    assert await ids(status="canceled") == [ended.id]
    assert await ids(test_clock=clock.id) == [clocked.id]
    assert await ids(customer=clocked.customer) == [clocked.id]
    assert await ids(price=live["items"].data[0].price.id) == [live.id]


async def test_immediate_cancellation_refunds_nothing(account: SandboxAccount) -> None:
    subscription = await account.subscribe()
    ended = await account.v1.subscriptions.cancel_async(
        subscription.id, {"cancellation_details": {"comment": "bye", "feedback": "unused"}}
    )
    assert (ended.status, ended.cancellation_details.feedback) == ("canceled", "unused")
    assert ended.cancellation_details.reason == "cancellation_requested"
    assert ended.ended_at == ended.canceled_at
    assert (await account.v1.refunds.list_async()).data == []
    assert (await account.event("customer.subscription.deleted")).data.object.status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.v1.subscriptions.cancel_async(subscription.id)
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


@pytest.mark.parametrize(
    "form", ["cancel_at_period_end", "cancel_at", "min_period_end"], ids=["by the flag", "by a time", "by a word"]
)
async def test_a_subscription_scheduled_to_end_does_not_renew(account: SandboxAccount, form: str) -> None:
    clock = await account.clock()
    subscription = await account.subscribe(customer=await account.customer(test_clock=clock.id))
    end = subscription["items"].data[0].current_period_end
    wanted = {"cancel_at_period_end": {"cancel_at_period_end": True}, "cancel_at": {"cancel_at": end}}
    changed = await account.v1.subscriptions.update_async(
        subscription.id, wanted.get(form, {"cancel_at": "min_period_end"})
    )
    assert (changed.status, changed.cancel_at) == ("active", end)
    assert changed.cancel_at_period_end == (form == "cancel_at_period_end")
    await account.advance(clock, end)
    ended = await account.v1.subscriptions.retrieve_async(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", end)
    assert len((await account.v1.invoices.list_async({"subscription": subscription.id})).data) == 1


@pytest.mark.parametrize("undo", [{"cancel_at_period_end": False}, {"cancel_at": ""}])
async def test_a_scheduled_end_can_be_removed(account: SandboxAccount, undo: dict[str, Any]) -> None:
    subscription = await account.subscribe()
    await account.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    kept = await account.v1.subscriptions.update_async(subscription.id, undo)
    assert (kept.cancel_at, kept.cancel_at_period_end, kept.canceled_at) == (None, False, None)
    event = await account.event("customer.subscription.updated")
    assert event.data.previous_attributes.cancel_at_period_end


async def test_cancel_at_period_end_false_keeps_a_separate_cancel_at(account: SandboxAccount) -> None:
    subscription = await account.subscribe()
    end = subscription["items"].data[0].current_period_end
    await account.v1.subscriptions.update_async(subscription.id, {"cancel_at": end})
    same = await account.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": False})
    assert same.cancel_at == end


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        pytest.param({"cancel_at": 1}, "must be in the future", id="in the past"),
        pytest.param({"cancel_at": 4_000_000_000, "cancel_at_period_end": True}, "only specify one", id="both"),
        pytest.param({"default_payment_method": "pm_none"}, "No such PaymentMethod", id="no such payment method"),
    ],
)
async def test_invalid_subscription_updates_are_rejected(
    account: SandboxAccount, params: dict[str, Any], expected: str
) -> None:
    subscription = await account.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match=expected):
        await account.v1.subscriptions.update_async(subscription.id, params)


async def test_an_ended_subscription_cannot_change(account: SandboxAccount) -> None:
    subscription = await account.subscribe()
    await account.v1.subscriptions.cancel_async(subscription.id)
    with pytest.raises(stripe.InvalidRequestError, match="canceled subscription"):
        await account.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    noted = await account.v1.subscriptions.update_async(subscription.id, {"metadata": {"seen": "yes"}})
    assert noted.metadata.to_dict() == {"seen": "yes"}


async def test_a_detached_payment_method_cannot_be_attached_again(account: SandboxAccount) -> None:
    customer, other = await account.customer(method=None), await account.customer(method=None)
    method = await account.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    assert method.id.startswith("pm_")
    assert method.id != "pm_card_visa"
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        await account.v1.payment_methods.attach_async(method.id, {"customer": other.id})
    listed = await account.v1.customers.payment_methods.list_async(customer.id)
    assert [each.card.last4 for each in listed.data] == ["4242"]
    assert (await account.v1.payment_methods.detach_async(method.id)).customer is None
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        await account.v1.payment_methods.attach_async(method.id, {"customer": customer.id})


async def test_a_declined_card_cannot_be_attached(account: SandboxAccount) -> None:
    customer = await account.customer(method=None)
    with pytest.raises(stripe.CardError) as caught:
        await account.v1.payment_methods.attach_async("pm_card_visa_chargeDeclined", {"customer": customer.id})
    assert caught.value.code == "card_declined"


async def test_raw_card_numbers_are_rejected(account: SandboxAccount) -> None:
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    with pytest.raises(stripe.CardError, match="generally unsafe"):
        await account.v1.payment_methods.create_async({"type": "card", "card": card})


async def test_deleting_a_customer_cancels_the_subscription(account: SandboxAccount) -> None:
    customer = await account.customer()
    subscription = await account.subscribe(customer=customer)
    await account.v1.customers.delete_async(customer.id)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "canceled"


async def test_only_open_invoices_can_be_voided(account: SandboxAccount) -> None:
    subscription = await account.subscribe(payment_behavior="default_incomplete")
    voided = await account.v1.invoices.void_invoice_async(subscription.latest_invoice)
    assert voided.status == "void"
    assert voided.status_transitions.voided_at >= voided.created
    with pytest.raises(stripe.InvalidRequestError, match="void"):
        await account.v1.invoices.void_invoice_async(subscription.latest_invoice)
    paid = await account.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="paid"):
        await account.v1.invoices.void_invoice_async(paid.latest_invoice)


async def test_invoice_payments_can_be_listed_by_invoice_and_payment_intent(account: SandboxAccount) -> None:
    subscription = await account.subscribe()
    await account.subscribe()
    by_invoice = await account.v1.invoice_payments.list_async(
        {"invoice": subscription.latest_invoice, "status": "paid"}
    )
    intent = by_invoice.data[0].payment.payment_intent
    by_intent = await account.v1.invoice_payments.list_async(
        {"payment": {"type": "payment_intent", "payment_intent": intent}, "expand": ["data.invoice"]}
    )
    assert [each.id for each in by_intent.data] == [by_invoice.data[0].id]
    assert by_intent.data[0].invoice.id == subscription.latest_invoice


async def test_a_test_clock_only_advances_and_not_too_far(account: SandboxAccount) -> None:
    clock = await account.clock()
    await account.subscribe(customer=await account.customer(test_clock=clock.id))
    for target, expected in ((OPENING, "in the past"), (OPENING + 2 * YEAR + 2 * DAY, "two intervals")):
        with pytest.raises(stripe.InvalidRequestError, match=expected):
            await account.v1.test_helpers.test_clocks.advance_async(clock.id, {"frozen_time": target})
    assert (await account.v1.test_helpers.test_clocks.retrieve_async(clock.id)).frozen_time == OPENING
    await account.v1.test_helpers.test_clocks.delete_async(clock.id)
    assert (await account.v1.test_helpers.test_clocks.list_async()).data == []
