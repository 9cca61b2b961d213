"""
Payments of an invoice other than its own payment intent: partial payments, and payments outside Stripe.

An invoice can have several payments. Each is a payment intent, a charge or a payment record.
"""

from sandbox.billing import balance_transactions, customer_balance, invoicing, payments
from sandbox.errors import invalid
from sandbox.http import expand
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id


def attach(account: Account, invoice: JsonObject, *, kind: str, reference: str, amount: int, now: int) -> JsonObject:
    """
    Attach a completed payment to an open invoice. The invoice is paid when nothing remains.

    :param kind: `payment_intent`, `charge` or `payment_record`; `reference` is its ID.
    :param amount: in minor units. What exceeds the remaining amount becomes the customer's credit.
    :raises StripeError: 400 unless the invoice is open.
    """
    if invoice["status"] != "open":
        raise invalid(f"You can only attach payments to open invoices. The status of this one is {invoice['status']}.")
    payment = account.add(
        {
            "id": new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": amount,
            "amount_requested": amount,
            "created": now,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": False,
            "livemode": False,
            "payment": {kind: reference, "type": kind},
            "status": "paid",
            "status_transitions": {"canceled_at": None, "paid_at": now},
        }
    )
    invoice["_payments"].append(payment["id"])
    account.emit("invoice_payment.paid", payment)
    overpaid = max(0, amount - invoice["amount_remaining"])
    with account.track_changes(invoice, "invoice.updated"):
        invoice["amount_paid"] += amount - overpaid
        invoice["amount_remaining"] -= amount - overpaid
        invoice["amount_overpaid"] += overpaid
    if kind == "payment_record":
        invoice["_paid_off_stripe"] = invoice.get("_paid_off_stripe", 0) + amount
    if overpaid:
        customer = account.get("customer", invoice["customer"])
        customer_balance.change(
            account,
            customer,
            -overpaid,
            currency=invoice["currency"],
            kind="invoice_overpaid",
            invoice=invoice["id"],
        )
    if invoice["amount_remaining"] == 0:
        complete(account, invoice, now=now)
    return payment


def pay_out_of_band(account: Account, invoice: JsonObject, *, now: int) -> None:
    """Mark an invoice as paid outside Stripe. It gets no payment."""
    invoice["_paid_off_stripe"] = invoice.get("_paid_off_stripe", 0) + invoice["amount_remaining"]
    complete(account, invoice, now=now)


def complete(account: Account, invoice: JsonObject, *, now: int) -> None:
    """Mark an invoice as paid, cancel its own payment intent and activate its subscription."""
    invoicing.cancel_open_payment(account, invoice, now=now, reason="automatic")
    invoicing.mark_paid(account, invoice, now=now)
    subscription = account.find("subscription", invoice["_subscription"])
    if subscription:
        payments.activate_subscription(account, subscription, "paid")


def record(
    account: Account, *, amount: int, currency: str, customer: str | None, reference: str | None, now: int
) -> JsonObject:
    """Create a payment record: a payment that was made outside Stripe and reported as completed."""
    none = {"currency": currency, "value": 0}
    return account.add(
        {
            "id": new_id("pr"),
            "object": "payment_record",
            "amount": {"currency": currency, "value": amount},
            "amount_authorized": dict(none),
            "amount_canceled": dict(none),
            "amount_failed": dict(none),
            "amount_guaranteed": {"currency": currency, "value": amount},
            "amount_refunded": dict(none),
            "amount_requested": {"currency": currency, "value": amount},
            "created": now,
            "customer_details": {"customer": customer, "email": None, "name": None, "phone": None}
            if customer
            else None,
            "latest_payment_attempt_record": new_id("par"),
            "livemode": False,
            "metadata": {},
            "processor_details": {"custom": {"payment_reference": reference}, "type": "custom"},
            "reported_by": "self",
        }
    )


def bank_transfer(account: Account, invoice: JsonObject, *, amount: int, now: int) -> JsonObject:
    """Create the charge of a bank transfer, as Stripe did before it had payment intents."""
    charge = account.add(
        {
            "id": new_id("py"),
            "object": "charge",
            "amount": amount,
            "amount_captured": amount,
            "amount_refunded": 0,
            "billing_details": {"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
            "captured": True,
            "created": now,
            "currency": invoice["currency"],
            "customer": invoice["customer"],
            "disputed": False,
            "livemode": False,
            "metadata": {},
            "paid": True,
            "payment_method_details": {
                "ach_credit_transfer": {
                    "account_number": "test_52796e3294dc",
                    "bank_name": "TEST BANK",
                    "routing_number": "110000000",
                    "swift_code": "TSTEZ122",
                },
                "type": "ach_credit_transfer",
            },
            "refunded": False,
            "status": "succeeded",
        }
    )
    charge["balance_transaction"] = balance_transactions.of_charge(account, charge, now=now)
    account.emit("charge.succeeded", charge)
    return charge


def _amount_paid_off_stripe(account: Account, invoice: JsonObject) -> int:
    return int(account.get("invoice", invoice["id"]).get("_paid_off_stripe", 0))


expand.EXPANDABLE_FIELDS["invoice", "amount_paid_off_stripe"] = _amount_paid_off_stripe
