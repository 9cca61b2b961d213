"""Actions on invoices: finalize, pay, void and mark as uncollectible."""

from sandbox.billing import charges, invoice_payments, invoicing, payments, renewals
from sandbox.control.simulations import simulation
from sandbox.errors import StripeError, invalid, unsupported
from sandbox.http.routing import Call, route
from sandbox.json_types import JsonObject
from sandbox.resources import payment_methods
from sandbox.store.accounts import Account


@route("POST", "/v1/invoices/{invoice}/finalize", takes="auto_advance")
def finalize(call: Call) -> JsonObject:
    """Finalize a draft before its hour is over, without charging it."""
    invoice = call.account.get("invoice", call.ids["invoice"])
    if invoice["status"] != "draft":
        raise invalid("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    invoice["auto_advance"] = call.params.get("auto_advance", invoice["auto_advance"])
    now = call.account.now_for(invoice["customer"])
    invoicing.finalize(call.account, invoice, now=now)
    subscription = call.account.find("subscription", invoice["_subscription"])
    if subscription and invoice["status"] == "paid":
        payments.activate_subscription(call.account, subscription, "paid")
    if invoice["auto_advance"] and invoice["next_payment_attempt"] is None:
        renewals.schedule_collection(call.account, invoice, now)
    return invoice


@route("POST", "/v1/invoices/{invoice}/void")
def void(call: Call) -> JsonObject:
    """Void an open invoice."""
    account = call.account
    invoice = account.get("invoice", call.ids["invoice"])
    if invoice["status"] not in ("open", "uncollectible"):
        message = f"You can only pass in open invoices. This invoice isn't open: its status is {invoice['status']}."
        raise invalid(message, code="invoice_not_editable" if invoice["status"] == "draft" else None)
    intent = account.find("payment_intent", invoice["_payment_intent"])
    if intent and intent["status"] == "processing":
        raise invalid("You cannot void an invoice while one of its payments is processing.")
    if any(payment["status"] == "paid" for payment in invoicing.payments_of(account, invoice["id"])):
        raise invalid("You cannot void an invoice that was paid in part.")
    invoicing.void(account, invoice, now=account.now_for(invoice["customer"]))
    subscription = account.find("subscription", invoice["_subscription"])
    if subscription is None:
        return invoice
    if subscription["status"] == "incomplete":
        with account.track_changes(subscription, "customer.subscription.updated"):
            subscription["status"] = "incomplete_expired"
            subscription["ended_at"] = account.now_for(invoice["customer"])
    elif subscription["status"] == "past_due" and not _has_open_invoice(account, subscription):
        with account.track_changes(subscription, "customer.subscription.updated"):
            subscription["status"] = "active"
    return invoice


def _has_open_invoice(account: Account, subscription: JsonObject) -> bool:
    return any(
        invoice["_subscription"] == subscription["id"] and invoice["status"] == "open"
        for invoice in account.all("invoice")
    )


@route("POST", "/v1/invoices/{invoice}/mark_uncollectible")
def mark_uncollectible(call: Call) -> JsonObject:
    """Mark an open invoice as uncollectible."""
    account = call.account
    invoice = account.get("invoice", call.ids["invoice"])
    if invoice["status"] != "open":
        raise invalid("You can only mark open invoices as uncollectible.")
    invoicing.mark_uncollectible(account, invoice, now=account.now_for(invoice["customer"]))
    return invoice


@route("POST", "/v1/invoices/{invoice}/pay", takes="off_session paid_out_of_band payment_method")
def pay(call: Call) -> JsonObject:
    """
    Pay an open invoice now. A draft is finalized first.

    :raises StripeError: 402 if the card is declined.
    """
    account, params = call.account, call.params
    invoice = account.get("invoice", call.ids["invoice"])
    now = account.now_for(invoice["customer"])
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] not in ("draft", "open", "uncollectible"):
        raise invalid(f"You cannot pay an invoice whose status is {invoice['status']}.")
    if invoice["status"] == "draft":
        invoicing.finalize(account, invoice, now=now)
    if params.get("paid_out_of_band"):
        invoice_payments.pay_out_of_band(account, invoice, now=now)
        return invoice
    subscription = account.find("subscription", invoice["_subscription"])
    method = _method(call, invoice) or payments.payment_method_for_invoice(account, invoice)
    if method is None and invoice["amount_remaining"] > 0:
        raise payments.no_payment_method()
    outcome: payments.Outcome = "paid"
    if method is None:
        invoicing.mark_paid(account, invoice, now=now)
    else:
        outcome = payments.pay(account, invoice, charges.Attempt(method=method, now=now))
    if outcome not in ("paid", "processing"):
        raise _payment_failed(account, invoice, outcome)
    if subscription:
        payments.activate_subscription(account, subscription, outcome)
    return invoice


@route("POST", "/v1/invoices/{invoice}/send")
def send(call: Call) -> JsonObject:
    """Send an invoice to the customer. A draft is finalized first."""
    account = call.account
    invoice = account.get("invoice", call.ids["invoice"])
    if invoice["collection_method"] != "send_invoice":
        raise invalid("You can only send invoices whose collection_method is send_invoice.")
    if invoice["status"] == "draft":
        invoicing.finalize(account, invoice, now=account.now_for(invoice["customer"]))
    if invoice["status"] not in ("open", "paid"):
        raise invalid(f"You cannot send an invoice whose status is {invoice['status']}.")
    renewals.send(account, invoice)
    return invoice


@route("POST", "/v1/invoices/{invoice}/attach_payment", takes="payment_intent payment_record")
def attach_payment(call: Call) -> JsonObject:
    """Attach a payment that was reported in a payment record. The amount can be a part of the invoice's."""
    account, params = call.account, call.params
    invoice = account.get("invoice", call.ids["invoice"])
    if "payment_intent" in params:
        raise unsupported("the parameter payment_intent on POST /v1/invoices/{invoice}/attach_payment")
    if "payment_record" not in params:
        message = "Missing required param: payment_record."
        raise invalid(message, param="payment_record", code="parameter_missing")
    record = account.get("payment_record", params["payment_record"], param="payment_record", status=400)
    if record["amount"]["currency"] != invoice["currency"]:
        raise invalid("The currency of the payment must be the currency of the invoice.", param="payment_record")
    invoice_payments.attach(
        account,
        invoice,
        kind="payment_record",
        reference=record["id"],
        amount=record["amount"]["value"],
        now=account.now_for(invoice["customer"]),
    )
    return invoice


@simulation("invoices/{id}/payments")
def simulate_payment(account: Account, invoice_id: str, wanted: JsonObject) -> JsonObject:
    """
    Simulate a payment of an open invoice: `{"type": "charge", "amount": 1000}` for a bank transfer, or `"payment_record"`.

    The default amount is what remains.
    """
    invoice = account.get("invoice", invoice_id)
    now = account.now_for(invoice["customer"])
    kind, amount = wanted.get("type", "charge"), wanted.get("amount", invoice["amount_remaining"])
    if kind not in ("charge", "payment_record") or not isinstance(amount, int) or amount <= 0:
        raise invalid("type must be 'charge' or 'payment_record', and amount a positive integer.", param="type")
    if kind == "charge":
        source = invoice_payments.bank_transfer(account, invoice, amount=amount, now=now)
    else:
        source = invoice_payments.record(
            account, amount=amount, currency=invoice["currency"], customer=invoice["customer"], reference=None, now=now
        )
    return invoice_payments.attach(account, invoice, kind=kind, reference=source["id"], amount=amount, now=now)


def _payment_failed(account: Account, invoice: JsonObject, outcome: payments.Outcome) -> StripeError:
    payments.record_failure(account, invoice, outcome, next_attempt=invoice["next_payment_attempt"])
    if outcome == "requires_action":
        return StripeError(
            402,
            "invalid_request_error",
            "This payment requires additional user action before it can be completed successfully.",
            code="invoice_payment_intent_requires_action",
        )
    return payments.card_error(account, invoice)


def _method(call: Call, invoice: JsonObject) -> JsonObject | None:
    if "payment_method" not in call.params:
        return None
    method = payment_methods.usable(call.account, call.params["payment_method"], param="payment_method")
    if method["customer"] not in (None, invoice["customer"]):
        raise invalid("The payment method belongs to another customer.", param="payment_method")
    return method
