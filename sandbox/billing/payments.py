"""
Paying invoices: payment intents and charges, with the result that the test card stands for.

An attempt succeeds, is declined, or requires 3-D Secure.
"""

from dataclasses import dataclass
from typing import Literal

from sandbox.billing import disputes, invoicing, pausing, test_cards
from sandbox.errors import StripeError, invalid
from sandbox.http import expand
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id

Outcome = Literal["paid", "declined", "requires_action"]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt to pay."""

    method: JsonObject
    now: int
    authenticated: bool = False
    """Whether the customer completed 3-D Secure for this payment."""


def pay(account: Account, invoice: JsonObject, attempt: Attempt) -> Outcome:
    """Try to pay an open invoice. Does not change its subscription."""
    if invoice["amount_remaining"] == 0:
        invoicing.mark_paid(account, invoice, now=attempt.now)
        return "paid"
    intent = account.get("payment_intent", invoice["_payment_intent"])
    card: test_cards.Card = attempt.method["_card"]
    invoice["attempted"] = True
    if card.authentication and not attempt.authenticated:
        _require_authentication(account, intent, attempt)
        return "requires_action"
    if card.decline:
        _decline(account, intent, attempt, card.decline)
        return "declined"
    _succeed(account, intent, attempt)
    _record_payment(account, invoice, attempt.now)
    invoice["attempt_count"] += 1
    invoicing.mark_paid(account, invoice, now=attempt.now)
    disputes.simulate_bank_response(account, account.get("charge", intent["latest_charge"]), card, now=attempt.now)
    return "paid"


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
    """Activate an incomplete, overdue or resuming subscription after its invoice was paid."""
    if outcome == "paid" and subscription["status"] in ("incomplete", "past_due", "unpaid"):
        with account.track_changes(subscription, "customer.subscription.updated"):
            subscription["status"] = "active"
    elif outcome == "paid" and subscription["status"] == "paused" and "_resuming" in subscription:
        pausing.resume(account, subscription)


def fail_authentication(account: Account, invoice: JsonObject, attempt: Attempt) -> None:
    """Record that the customer failed or refused 3-D Secure."""
    _decline(account, account.get("payment_intent", invoice["_payment_intent"]), attempt, test_cards.NOT_AUTHENTICATED)


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


def _require_authentication(account: Account, intent: JsonObject, attempt: Attempt) -> None:
    intent["status"] = "requires_action"
    intent["payment_method"] = attempt.method["id"]
    intent["next_action"] = {
        "redirect_to_url": None,
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {"type": "three_d_secure_redirect"},
    }
    account.emit("payment_intent.requires_action", intent)


def _decline(account: Account, intent: JsonObject, attempt: Attempt, decline: test_cards.Decline) -> None:
    code, decline_code, message = decline
    charge = _charge(account, intent, attempt)
    charge["status"] = "failed"
    charge["failure_code"] = code
    charge["failure_message"] = message
    charge["outcome"] = _outcome(
        "issuer_declined", decline_code, seller_message="The bank did not return any further details with this decline."
    )
    intent["status"] = "requires_payment_method"
    intent["payment_method"] = None
    intent["next_action"] = None
    intent["latest_charge"] = charge["id"]
    intent["last_payment_error"] = {
        "charge": charge["id"],
        "code": code,
        "decline_code": decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
        "message": message,
        "payment_method": account.render(attempt.method),
        "type": "card_error",
    }
    account.emit("charge.failed", charge)
    account.emit("payment_intent.payment_failed", intent)


def _succeed(account: Account, intent: JsonObject, attempt: Attempt) -> None:
    charge = _charge(account, intent, attempt)
    charge["status"] = "succeeded"
    charge["paid"] = charge["captured"] = True
    charge["amount_captured"] = intent["amount"]
    charge["outcome"] = _outcome("approved_by_network", None, seller_message="Payment complete.")
    charge["receipt_url"] = f"https://pay.stripe.com/receipts/test_{charge['id']}"
    intent["status"] = "succeeded"
    intent["amount_received"] = intent["amount"]
    intent["payment_method"] = attempt.method["id"]
    intent["latest_charge"] = charge["id"]
    intent["next_action"] = intent["last_payment_error"] = None
    account.emit("charge.succeeded", charge)
    account.emit("payment_intent.succeeded", intent)


def _record_payment(account: Account, invoice: JsonObject, now: int) -> None:
    for payment in invoicing.payments_of(account, invoice["id"]):
        if payment["payment"]["payment_intent"] == invoice["_payment_intent"]:
            payment["status"] = "paid"
            payment["amount_paid"] = payment["amount_requested"]
            payment["status_transitions"]["paid_at"] = now
            account.emit("invoice_payment.paid", payment)


def _charge(account: Account, intent: JsonObject, attempt: Attempt) -> JsonObject:
    method = attempt.method
    card = method["card"]
    return account.add(
        {
            "id": new_id("ch"),
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": 0,
            "amount_refunded": 0,
            "billing_details": dict(method["billing_details"]),
            "captured": False,
            "created": attempt.now,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "fraud_details": {},
            "livemode": False,
            "metadata": {},
            "paid": False,
            "payment_intent": intent["id"],
            "payment_method": method["id"],
            "payment_method_details": {
                "card": {
                    "amount_authorized": intent["amount"],
                    "brand": card["brand"],
                    "checks": dict(card["checks"]),
                    "country": card["country"],
                    "exp_month": card["exp_month"],
                    "exp_year": card["exp_year"],
                    "fingerprint": card["fingerprint"],
                    "funding": card["funding"],
                    "installments": None,
                    "last4": card["last4"],
                    "mandate": None,
                    "network": card["brand"],
                    "three_d_secure": {"result": "authenticated", "version": "2.2.0"}
                    if attempt.authenticated
                    else None,
                    "wallet": None,
                },
                "type": "card",
            },
            "refunded": False,
            "shipping": intent["shipping"],
            "status": "pending",
        }
    )


def _outcome(network_status: str, reason: str | None, *, seller_message: str) -> JsonObject:
    approved = network_status == "approved_by_network"
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network_status if approved else "declined_by_network",
        "reason": reason,
        "risk_level": "normal",
        "risk_score": 10,
        "seller_message": seller_message,
        "type": "authorized" if approved else "issuer_declined",
    }


def _payments(account: Account, invoice: JsonObject) -> JsonObject:
    data = [account.render(payment) for payment in invoicing.payments_of(account, invoice["id"])]
    return {"object": "list", "data": data, "has_more": False, "url": "/v1/invoice_payments"}


def _confirmation_secret(account: Account, invoice: JsonObject) -> JsonObject | None:
    stored = account.get("invoice", invoice["id"])
    intent = account.find("payment_intent", stored["_payment_intent"])
    return {"client_secret": intent["client_secret"], "type": "payment_intent"} if intent else None


expand.EXPANDABLE_FIELDS["invoice", "payments"] = _payments
expand.EXPANDABLE_FIELDS["invoice", "confirmation_secret"] = _confirmation_secret
