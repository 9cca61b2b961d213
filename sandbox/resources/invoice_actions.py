"""Actions on invoices: finalize, pay, void and mark as uncollectible."""

from sandbox.billing import charges, invoicing, payments, renewals
from sandbox.errors import StripeError, invalid
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


@route("POST", "/v1/invoices/{invoice}/pay", takes="off_session payment_method")
def pay(call: Call) -> JsonObject:
    """
    Pay an open invoice now. A draft is finalized first.

    :raises StripeError: 402 if the card is declined.
    """
    account = call.account
    invoice = account.get("invoice", call.ids["invoice"])
    now = account.now_for(invoice["customer"])
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] not in ("draft", "open", "uncollectible"):
        raise invalid(f"You cannot pay an invoice whose status is {invoice['status']}.")
    if invoice["status"] == "draft":
        invoicing.finalize(account, invoice, now=now)
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
