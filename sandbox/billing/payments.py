"""
Paying invoices, with the result that the test card or test bank account stands for.

An attempt succeeds, is declined, requires 3-D Secure, or is processed for days (direct debits).
"""

from typing import Literal

from sandbox.billing import charges, disputes, invoicing, pausing, test_cards
from sandbox.billing.test_bank_accounts import CURRENCIES, BankAccount
from sandbox.errors import StripeError, invalid
from sandbox.http import expand
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account

Outcome = Literal["paid", "declined", "requires_action", "processing"]

_DELAY = 180
"""Additional seconds of "delayed" test bank accounts."""


def pay(account: Account, invoice: JsonObject, attempt: charges.Attempt) -> Outcome:
    """
    Try to pay an open invoice. Does not change its subscription.

    :raises StripeError: 400 if another payment of the invoice is processing, or the currency does not fit the debit.
    """
    if invoice["amount_remaining"] == 0:
        invoicing.mark_paid(account, invoice, now=attempt.now)
        return "paid"
    intent = account.get("payment_intent", invoice["_payment_intent"])
    if intent["status"] == "processing":
        message = f"The payment of the invoice {invoice['id']} is processing. Wait for its result before you pay again."
        raise invalid(message, code="payment_intent_unexpected_state")
    if intent["amount"] != invoice["amount_remaining"]:
        intent["amount"] = invoice["amount_remaining"]
        for payment in invoicing.payments_of(account, invoice["id"]):
            if payment["is_default"]:
                payment["amount_requested"] = intent["amount"]
    intent["payment_method_types"] = [attempt.method["type"]]
    if attempt.method.get("_bank"):
        return _start_debit(account, invoice, intent, attempt)
    card: test_cards.Card = attempt.method["_card"]
    invoice["attempted"] = True
    if card.authentication and not attempt.authenticated:
        charges.require_authentication(account, intent, attempt)
        return "requires_action"
    if card.decline:
        charges.decline(account, intent, attempt, card.decline)
        return "declined"
    charges.succeed(account, intent, attempt)
    charges.record_payment(account, invoice, attempt.now)
    invoice["attempt_count"] += 1
    invoicing.mark_paid(account, invoice, now=attempt.now)
    disputes.simulate_bank_response(account, account.get("charge", intent["latest_charge"]), card, now=attempt.now)
    return "paid"


def _start_debit(account: Account, invoice: JsonObject, intent: JsonObject, attempt: charges.Attempt) -> Outcome:
    bank: BankAccount = attempt.method["_bank"]
    if invoice["currency"] != CURRENCIES[bank.type]:
        message = f"The currency provided ({invoice['currency']}) is invalid for the payment method type {bank.type}."
        raise invalid(message, param="currency")
    with account.track_changes(invoice, "invoice.updated"):
        invoice["attempted"] = True
        invoice["attempt_count"] += 1
        invoice["next_payment_attempt"] = None
    charges.start_debit(account, intent, attempt)
    if bank.result != "processing":
        due = attempt.now + account.settings.debit_seconds + (_DELAY if bank.delayed else 0)
        account.scheduler.schedule(account.clock_of(intent["customer"]), due, "debit.result", intent["id"])
    return "processing"


def record_failure(
    account: Account, invoice: JsonObject, outcome: Outcome, *, next_attempt: int | None = None, counted: bool = False
) -> None:
    """
    Count a failed attempt and send its events.

    :param counted: whether the attempt was counted when it began, as with direct debits.
    """
    with account.track_changes(invoice, "invoice.updated"):
        invoice["attempted"] = True
        invoice["attempt_count"] += 0 if counted else 1
        invoice["next_payment_attempt"] = next_attempt
    account.emit("invoice.payment_failed", invoice)
    if outcome == "requires_action":
        account.emit("invoice.payment_action_required", invoice)
    invoicing.set_delinquent(account, invoice["customer"], delinquent=True)


def payment_method_for(account: Account, subscription: JsonObject) -> JsonObject | None:
    """Return the default payment method of a subscription, else that of its customer."""
    customer = account.find("customer", subscription["customer"])
    theirs = customer["invoice_settings"]["default_payment_method"] if customer else None
    return account.find("payment_method", subscription["default_payment_method"] or theirs)


def payment_method_for_invoice(account: Account, invoice: JsonObject) -> JsonObject | None:
    """Return the payment method of an invoice, else of its subscription, else of its customer."""
    own = account.find("payment_method", invoice["default_payment_method"])
    payer = account.find("subscription", invoice["_subscription"])
    return own or payment_method_for(
        account, payer or {"customer": invoice["customer"], "default_payment_method": None}
    )


def no_payment_method() -> StripeError:
    """Return Stripe's 400 for a customer without a payment method."""
    return invalid(
        "This customer has no attached payment source or default payment method. Please consider adding a default "
        "payment method. For more information, visit https://stripe.com/docs/billing/subscriptions/payment-methods-setting.",
        code="resource_missing",
    )


def activate_subscription(account: Account, subscription: JsonObject, outcome: Outcome) -> None:
    """Activate an incomplete, overdue or resuming subscription after its invoice was paid, or its first debit began."""
    if (outcome == "processing" and subscription["status"] == "incomplete") or (
        outcome == "paid" and subscription["status"] in ("incomplete", "past_due", "unpaid")
    ):
        with account.track_changes(subscription, "customer.subscription.updated"):
            subscription["status"] = "active"
    elif outcome == "paid" and subscription["status"] == "paused" and _resumes_when_paid(subscription):
        pausing.resume(account, subscription)


def _resumes_when_paid(subscription: JsonObject) -> bool:
    why = subscription["status_details"]["paused"]["subscription"]["type"]
    return "_resuming" in subscription or why in pausing.PAYMENT_FAILURES


def fail_authentication(account: Account, invoice: JsonObject, attempt: charges.Attempt) -> None:
    """Record that the customer failed or refused 3-D Secure."""
    charges.decline(
        account, account.get("payment_intent", invoice["_payment_intent"]), attempt, test_cards.NOT_AUTHENTICATED
    )


def card_error(account: Account, invoice: JsonObject) -> StripeError:
    """Return Stripe's 402 for the last attempt to pay an invoice."""
    intent = account.get("payment_intent", invoice["_payment_intent"])
    error = intent["last_payment_error"] or {
        "code": "authentication_required",
        "decline_code": "authentication_required",
        "message": "Your card was declined. This transaction requires authentication.",
    }
    return StripeError(
        402,
        "card_error",
        error["message"],
        code=error["code"],
        decline_code=error.get("decline_code"),
        charge=intent["latest_charge"],
        payment_intent=account.render(intent),
    )


def _payments(account: Account, invoice: JsonObject) -> JsonObject:
    data = [account.render(payment) for payment in invoicing.payments_of(account, invoice["id"])]
    return {"object": "list", "data": data, "has_more": False, "url": "/v1/invoice_payments"}


def _confirmation_secret(account: Account, invoice: JsonObject) -> JsonObject | None:
    stored = account.get("invoice", invoice["id"])
    intent = account.find("payment_intent", stored["_payment_intent"])
    return {"client_secret": intent["client_secret"], "type": "payment_intent"} if intent else None


expand.EXPANDABLE_FIELDS["invoice", "payments"] = _payments
expand.EXPANDABLE_FIELDS["invoice", "confirmation_secret"] = _confirmation_secret
