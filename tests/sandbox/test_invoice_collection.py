"""Invoices sent to the customer, payments outside Stripe, and several payments of one invoice."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import DAY, HOUR, OPENING, YEAR, SandboxAccount


async def sent_subscription(account: SandboxAccount) -> tuple[Any, Any, Any]:
    """Return a clock, a subscription on it with `send_invoice`, and its sent first invoice."""
    clock = await account.clock()
    customer = await account.customer(method=None, test_clock=clock.id)
    subscription = await account.subscribe(customer=customer, collection_method="send_invoice", days_until_due=30)
    await account.advance(clock, OPENING + 2 * HOUR)
    return clock, subscription, await account.v1.invoices.retrieve_async(subscription.latest_invoice)


async def simulate_payment(account: SandboxAccount, invoice: str, **payment: Any) -> Any:
    """Simulate a payment of an invoice."""
    answer = await account.control.post(f"/_sandbox/invoices/{invoice}/payments", json=payment)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_subscription_with_send_invoice_is_active_and_its_invoice_is_due_later(account: SandboxAccount) -> None:
    _, subscription, invoice = await sent_subscription(account)
    assert (subscription.status, subscription.days_until_due) == ("active", 30)
    assert (invoice.status, invoice.collection_method, invoice.attempt_count) == ("open", "send_invoice", 0)
    assert invoice.due_date == invoice.status_transitions.finalized_at + 30 * DAY
    assert "invoice.sent" in await account.types()


async def test_an_invoice_past_its_due_date_is_overdue(account: SandboxAccount) -> None:
    clock, subscription, invoice = await sent_subscription(account)
    await account.advance(clock, invoice.due_date + HOUR)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "past_due"
    assert (await account.event("invoice.overdue")).data.object.id == invoice.id
    await account.v1.invoices.pay_async(invoice.id, {"paid_out_of_band": True})
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "active"


async def test_a_renewal_with_send_invoice_is_not_charged(account: SandboxAccount) -> None:
    clock, subscription, invoice = await sent_subscription(account)
    await account.v1.invoices.pay_async(invoice.id, {"paid_out_of_band": True})
    await account.advance(clock, OPENING + YEAR + 2 * HOUR)
    renewal = (await account.v1.invoices.list_async({"subscription": subscription.id})).data[0]
    assert (renewal.status, renewal.billing_reason, renewal.attempted) == ("open", "subscription_cycle", False)


async def test_an_invoice_paid_out_of_band_has_no_payment(account: SandboxAccount) -> None:
    _, _, invoice = await sent_subscription(account)
    paid = await account.v1.invoices.pay_async(
        invoice.id, {"paid_out_of_band": True, "expand": ["amount_paid_off_stripe", "payments"]}
    )
    assert (paid.status, paid.amount_paid, paid.amount_paid_off_stripe) == ("paid", 4900, 4900)
    assert [payment.status for payment in paid.payments.data] == ["canceled"]
    assert "amount_paid_off_stripe" not in (await account.event("invoice.paid")).data.object


async def test_an_invoice_that_was_paid_in_part_is_credited_instead_of_voided(account: SandboxAccount) -> None:
    _, _, invoice = await sent_subscription(account)
    await simulate_payment(account, invoice.id, type="charge", amount=2000)
    with pytest.raises(stripe.InvalidRequestError, match="paid in part"):
        await account.v1.invoices.void_invoice_async(invoice.id)
    await account.v1.credit_notes.create_async({"invoice": invoice.id, "amount": 2900})
    credited = await account.v1.invoices.retrieve_async(invoice.id)
    assert (credited.status, credited.amount_remaining, credited.amount_paid) == ("paid", 0, 2000)


async def test_a_bank_transfer_is_a_payment_with_a_charge(account: SandboxAccount) -> None:
    _, _, invoice = await sent_subscription(account)
    payment = await simulate_payment(account, invoice.id, type="charge")
    assert payment["payment"]["type"] == "charge"
    found = await account.v1.invoice_payments.list_async({"invoice": invoice.id, "status": "paid"})
    charge = await account.v1.charges.retrieve_async(found.data[0].payment.charge)
    assert (charge.amount, charge.payment_intent) == (4900, None)
    assert (await account.v1.invoices.retrieve_async(invoice.id)).status == "paid"
    refund = await account.v1.refunds.create_async({"charge": charge.id, "amount": 900})
    note = await account.v1.credit_notes.create_async(
        {"invoice": invoice.id, "amount": 900, "refunds": [{"refund": refund.id}]}
    )
    assert note.refunds[0].refund == refund.id


async def test_an_invoice_can_be_paid_in_several_parts(account: SandboxAccount) -> None:
    _, _, invoice = await sent_subscription(account)
    await simulate_payment(account, invoice.id, type="charge", amount=1000)
    partly = await account.v1.invoices.retrieve_async(invoice.id)
    assert (partly.status, partly.amount_paid, partly.amount_remaining) == ("open", 1000, 3900)
    await simulate_payment(account, invoice.id, type="payment_record", amount=900)
    method = await account.v1.payment_methods.attach_async("pm_card_visa", {"customer": invoice.customer})
    paid = await account.v1.invoices.pay_async(invoice.id, {"payment_method": method.id, "expand": ["payments"]})
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 4900, 0)
    assert sorted((p.payment.type, p.amount_paid) for p in paid.payments.data) == [
        ("charge", 1000),
        ("payment_intent", 3000),
        ("payment_record", 900),
    ]


async def test_an_overpayment_becomes_credit(account: SandboxAccount) -> None:
    _, _, invoice = await sent_subscription(account)
    await simulate_payment(account, invoice.id, type="charge", amount=5000)
    paid = await account.v1.invoices.retrieve_async(invoice.id)
    assert (paid.status, paid.amount_paid, paid.amount_overpaid) == ("paid", 4900, 100)
    assert (await account.v1.customers.retrieve_async(invoice.customer)).balance == -100


async def test_a_reported_payment_can_be_attached_to_an_invoice(account: SandboxAccount) -> None:
    _, _, invoice = await sent_subscription(account)
    record = await account.v1.payment_records.report_payment_async(
        {
            "amount_requested": {"currency": "usd", "value": 4900},
            "initiated_at": OPENING,
            "outcome": "guaranteed",
            "guaranteed": {"guaranteed_at": OPENING + HOUR},
            "payment_method_details": {"type": "custom", "custom": {"display_name": "Check"}},
        }
    )
    paid = await account.v1.invoices.attach_payment_async(invoice.id, {"payment_record": record.id})
    assert paid.status == "paid"
    payments = await account.v1.invoice_payments.list_async({"invoice": invoice.id, "status": "paid"})
    assert payments.data[0].payment.payment_record == record.id


async def test_send_invoice_requires_a_due_date(account: SandboxAccount) -> None:
    for params in ({"collection_method": "send_invoice"}, {"days_until_due": 5}):
        with pytest.raises(stripe.InvalidRequestError, match="days_until_due"):
            await account.subscribe(**params)


async def test_an_invoice_sent_by_hand_is_finalized_first(account: SandboxAccount) -> None:
    customer = await account.customer(method=None)
    await account.v1.invoice_items.create_async({"customer": customer.id, "amount": 900, "currency": "usd"})
    draft = await account.v1.invoices.create_async(
        {
            "customer": customer.id,
            "collection_method": "send_invoice",
            "days_until_due": 14,
            "pending_invoice_items_behavior": "include",
        }
    )
    sent = await account.v1.invoices.send_invoice_async(draft.id)
    assert (sent.status, sent.amount_due) == ("open", 900)
    assert sent.due_date == sent.status_transitions.finalized_at + 14 * DAY


async def test_a_customer_is_delinquent_until_the_invoice_is_paid(account: SandboxAccount) -> None:
    customer = await account.customer(method="pm_card_chargeCustomerFail")
    subscription = await account.subscribe(customer=customer)
    assert (await account.v1.customers.retrieve_async(customer.id)).delinquent is True
    event = await account.event("invoice.updated")
    assert (event.data.object.attempt_count, event.data.previous_attributes.attempt_count) == (1, 0)
    good = await account.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    await account.v1.invoices.pay_async(subscription.latest_invoice, {"payment_method": good.id})
    assert (await account.v1.customers.retrieve_async(customer.id)).delinquent is False
