"""Subscriptions: how they begin, change and end."""

from typing import Any

import pytest
import stripe

from tests.sandbox.shop import DAY, HOUR, OPENING, YEAR, Shop


async def test_a_subscription_begins_active_with_a_paid_invoice(shop: Shop) -> None:
    subscription = await shop.subscribe(metadata={"plan": "annual"}, expand=["latest_invoice"])
    assert subscription.status == "active"
    assert subscription.billing_mode.type == "flexible"
    assert "current_period_end" not in subscription
    item = subscription["items"].data[0]
    assert item.current_period_end > item.current_period_start == subscription.start_date
    assert subscription.latest_invoice.status == "paid"
    assert subscription.latest_invoice.number.endswith("-0001")
    listed = await shop.v1.subscription_items.list_async({"subscription": subscription.id})
    assert [each.id for each in listed.data] == [item.id]


async def test_what_stripe_took_away_is_gone(shop: Shop) -> None:
    subscription = await shop.subscribe(expand=["latest_invoice"])
    intent = await shop.payment_intent_of(subscription.latest_invoice.id)
    charge = await shop.v1.charges.retrieve_async(intent.latest_charge)
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
async def test_a_first_payment_that_does_not_come_leaves_it_incomplete(
    shop: Shop, behavior: str, method: str, intent_status: str
) -> None:
    customer = await shop.customer(method=method)
    subscription = await shop.subscribe(
        customer=customer, payment_behavior=behavior, expand=["latest_invoice.confirmation_secret"]
    )
    assert (subscription.status, subscription.latest_invoice.status) == ("incomplete", "open")
    assert subscription.latest_invoice.confirmation_secret.type == "payment_intent"
    assert (await shop.v1.payment_intents.list_async()).data[0].status == intent_status


async def test_error_if_incomplete_is_a_card_error_and_sells_nothing(shop: Shop) -> None:
    customer = await shop.customer(method="pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError) as caught:
        await shop.subscribe(customer=customer, payment_behavior="error_if_incomplete")
    error = caught.value.error
    assert (caught.value.http_status, caught.value.code) == (402, "card_declined")
    assert error is not None
    assert error.decline_code == "generic_decline"
    assert str(error.charge).startswith("ch_")
    assert error.payment_intent is not None
    assert (await shop.v1.subscriptions.list_async()).data == []


async def test_a_customer_without_a_payment_method_cannot_subscribe(shop: Shop) -> None:
    customer = await shop.customer(method=None)
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        await shop.subscribe(customer=customer)


async def test_an_open_first_invoice_can_be_paid_later(shop: Shop) -> None:
    subscription = await shop.subscribe(payment_behavior="default_incomplete")
    with pytest.raises(stripe.CardError):
        await shop.v1.invoices.pay_async(subscription.latest_invoice, {"payment_method": "pm_card_visa_chargeDeclined"})
    invoice = await shop.v1.invoices.pay_async(subscription.latest_invoice)
    assert (invoice.status, invoice.amount_remaining) == ("paid", 0)
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == "active"
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        await shop.v1.invoices.pay_async(subscription.latest_invoice)


async def test_a_first_invoice_that_stays_unpaid_for_23_hours_ends_it(shop: Shop) -> None:
    clock = await shop.clock()
    customer = await shop.customer(test_clock=clock.id)
    subscription = await shop.subscribe(customer=customer, payment_behavior="default_incomplete")
    await shop.wind(clock, OPENING + 23 * HOUR - 1)
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == "incomplete"
    await shop.wind(clock, OPENING + 23 * HOUR)
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == "incomplete_expired"
    assert (await shop.v1.invoices.retrieve_async(subscription.latest_invoice)).status == "void"
    assert (await shop.v1.payment_intents.list_async()).data[0].status == "canceled"


async def test_the_list_leaves_out_what_ended_and_what_is_on_a_test_clock(shop: Shop) -> None:
    live, ended = await shop.subscribe(), await shop.subscribe()
    await shop.v1.subscriptions.cancel_async(ended.id)
    clock = await shop.clock()
    clocked = await shop.subscribe(customer=await shop.customer(test_clock=clock.id))

    async def ids(**params: Any) -> list[str]:
        return [each.id for each in (await shop.v1.subscriptions.list_async(params)).data]

    assert await ids() == [live.id]
    assert await ids(status="all") == [ended.id, live.id]
    assert await ids(status="canceled") == [ended.id]
    assert await ids(test_clock=clock.id) == [clocked.id]
    assert await ids(customer=clocked.customer) == [clocked.id]
    assert await ids(price=live["items"].data[0].price.id) == [live.id]


async def test_cancelling_now_ends_it_refunds_nothing_and_is_told(shop: Shop) -> None:
    subscription = await shop.subscribe()
    ended = await shop.v1.subscriptions.cancel_async(
        subscription.id, {"cancellation_details": {"comment": "bye", "feedback": "unused"}}
    )
    assert (ended.status, ended.cancellation_details.feedback) == ("canceled", "unused")
    assert ended.cancellation_details.reason == "cancellation_requested"
    assert ended.ended_at == ended.canceled_at
    assert (await shop.v1.refunds.list_async()).data == []
    assert (await shop.event("customer.subscription.deleted")).data.object.status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.subscriptions.cancel_async(subscription.id)
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


@pytest.mark.parametrize(
    "form", ["cancel_at_period_end", "cancel_at", "min_period_end"], ids=["by the flag", "by a time", "by a word"]
)
async def test_a_scheduled_end_comes_at_the_end_of_the_period_and_renews_nothing(shop: Shop, form: str) -> None:
    clock = await shop.clock()
    subscription = await shop.subscribe(customer=await shop.customer(test_clock=clock.id))
    end = subscription["items"].data[0].current_period_end
    wanted = {"cancel_at_period_end": {"cancel_at_period_end": True}, "cancel_at": {"cancel_at": end}}
    changed = await shop.v1.subscriptions.update_async(
        subscription.id, wanted.get(form, {"cancel_at": "min_period_end"})
    )
    assert (changed.status, changed.cancel_at) == ("active", end)
    assert changed.cancel_at_period_end == (form == "cancel_at_period_end")
    await shop.wind(clock, end)
    ended = await shop.v1.subscriptions.retrieve_async(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", end)
    assert len((await shop.v1.invoices.list_async({"subscription": subscription.id})).data) == 1


@pytest.mark.parametrize("undo", [{"cancel_at_period_end": False}, {"cancel_at": ""}])
async def test_a_scheduled_end_can_be_taken_back(shop: Shop, undo: dict[str, Any]) -> None:
    subscription = await shop.subscribe()
    await shop.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    kept = await shop.v1.subscriptions.update_async(subscription.id, undo)
    assert (kept.cancel_at, kept.cancel_at_period_end, kept.canceled_at) == (None, False, None)
    event = await shop.event("customer.subscription.updated")
    assert event.data.previous_attributes.cancel_at_period_end


async def test_the_flag_does_not_take_back_a_cancel_at(shop: Shop) -> None:
    subscription = await shop.subscribe()
    end = subscription["items"].data[0].current_period_end
    await shop.v1.subscriptions.update_async(subscription.id, {"cancel_at": end})
    same = await shop.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": False})
    assert same.cancel_at == end


@pytest.mark.parametrize(
    ("params", "told"),
    [
        pytest.param({"cancel_at": 1}, "must be in the future", id="in the past"),
        pytest.param({"cancel_at": 4_000_000_000, "cancel_at_period_end": True}, "only specify one", id="both"),
        pytest.param({"default_payment_method": "pm_none"}, "No such PaymentMethod", id="no such payment method"),
    ],
)
async def test_an_update_that_makes_no_sense_is_refused(shop: Shop, params: dict[str, Any], told: str) -> None:
    subscription = await shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match=told):
        await shop.v1.subscriptions.update_async(subscription.id, params)


async def test_an_ended_subscription_changes_no_more(shop: Shop) -> None:
    subscription = await shop.subscribe()
    await shop.v1.subscriptions.cancel_async(subscription.id)
    with pytest.raises(stripe.InvalidRequestError, match="canceled subscription"):
        await shop.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    noted = await shop.v1.subscriptions.update_async(subscription.id, {"metadata": {"seen": "yes"}})
    assert noted.metadata.to_dict() == {"seen": "yes"}


async def test_a_payment_method_is_attached_once_and_detached_for_good(shop: Shop) -> None:
    customer, other = await shop.customer(method=None), await shop.customer(method=None)
    method = await shop.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    assert method.id.startswith("pm_")
    assert method.id != "pm_card_visa"
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        await shop.v1.payment_methods.attach_async(method.id, {"customer": other.id})
    listed = await shop.v1.customers.payment_methods.list_async(customer.id)
    assert [each.card.last4 for each in listed.data] == ["4242"]
    assert (await shop.v1.payment_methods.detach_async(method.id)).customer is None
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        await shop.v1.payment_methods.attach_async(method.id, {"customer": customer.id})


async def test_a_card_that_declines_cannot_even_be_attached(shop: Shop) -> None:
    customer = await shop.customer(method=None)
    with pytest.raises(stripe.CardError) as caught:
        await shop.v1.payment_methods.attach_async("pm_card_visa_chargeDeclined", {"customer": customer.id})
    assert caught.value.code == "card_declined"


async def test_a_card_number_is_never_taken_by_the_api(shop: Shop) -> None:
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    with pytest.raises(stripe.CardError, match="generally unsafe"):
        await shop.v1.payment_methods.create_async({"type": "card", "card": card})


async def test_deleting_a_customer_ends_the_subscription(shop: Shop) -> None:
    customer = await shop.customer()
    subscription = await shop.subscribe(customer=customer)
    await shop.v1.customers.delete_async(customer.id)
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == "canceled"


async def test_an_invoice_can_be_voided_while_it_is_open(shop: Shop) -> None:
    subscription = await shop.subscribe(payment_behavior="default_incomplete")
    voided = await shop.v1.invoices.void_invoice_async(subscription.latest_invoice)
    assert voided.status == "void"
    assert voided.status_transitions.voided_at >= voided.created
    with pytest.raises(stripe.InvalidRequestError, match="void"):
        await shop.v1.invoices.void_invoice_async(subscription.latest_invoice)
    paid = await shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="paid"):
        await shop.v1.invoices.void_invoice_async(paid.latest_invoice)


async def test_invoice_payments_are_found_by_invoice_and_by_payment_intent(shop: Shop) -> None:
    subscription = await shop.subscribe()
    await shop.subscribe()
    by_invoice = await shop.v1.invoice_payments.list_async({"invoice": subscription.latest_invoice, "status": "paid"})
    intent = by_invoice.data[0].payment.payment_intent
    by_intent = await shop.v1.invoice_payments.list_async(
        {"payment": {"type": "payment_intent", "payment_intent": intent}, "expand": ["data.invoice"]}
    )
    assert [each.id for each in by_intent.data] == [by_invoice.data[0].id]
    assert by_intent.data[0].invoice.id == subscription.latest_invoice


async def test_a_clock_goes_forward_only_and_not_too_far(shop: Shop) -> None:
    clock = await shop.clock()
    await shop.subscribe(customer=await shop.customer(test_clock=clock.id))
    for target, told in ((OPENING, "in the past"), (OPENING + 2 * YEAR + 2 * DAY, "two intervals")):
        with pytest.raises(stripe.InvalidRequestError, match=told):
            await shop.v1.test_helpers.test_clocks.advance_async(clock.id, {"frozen_time": target})
    assert (await shop.v1.test_helpers.test_clocks.retrieve_async(clock.id)).frozen_time == OPENING
    await shop.v1.test_helpers.test_clocks.delete_async(clock.id)
    assert (await shop.v1.test_helpers.test_clocks.list_async()).data == []
