"""Charges and payment intents: what one attempt to pay records."""

from dataclasses import dataclass

from sandbox.billing import balance_transactions, invoicing
from sandbox.billing.test_bank_accounts import BankAccount
from sandbox.billing.test_cards import Decline
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt to pay."""

    method: JsonObject
    now: int
    authenticated: bool = False
    """Whether the customer completed 3-D Secure for this payment."""


def require_authentication(account: Account, intent: JsonObject, attempt: Attempt) -> None:
    """Record that the customer must complete 3-D Secure."""
    intent["status"] = "requires_action"
    intent["payment_method"] = attempt.method["id"]
    intent["next_action"] = {
        "redirect_to_url": None,
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {"type": "three_d_secure_redirect"},
    }
    account.emit("payment_intent.requires_action", intent)


def decline(account: Account, intent: JsonObject, attempt: Attempt, reason: Decline) -> None:
    """Record a declined card payment."""
    charge = _charge(account, intent, attempt)
    _fail(account, intent, charge, attempt.method, reason)


def succeed(account: Account, intent: JsonObject, attempt: Attempt) -> None:
    """Record a successful card payment."""
    _succeed(account, intent, _charge(account, intent, attempt))


def start_debit(account: Account, intent: JsonObject, attempt: Attempt) -> None:
    """Record a direct debit whose result comes later."""
    charge = _charge(account, intent, attempt)
    charge["captured"] = True
    charge["amount_captured"] = charge["amount"]
    charge["outcome"] = _outcome("approved_by_network", None, seller_message="Payment complete.")
    intent["status"] = "processing"
    intent["payment_method"] = attempt.method["id"]
    intent["latest_charge"] = charge["id"]
    intent["next_action"] = intent["last_payment_error"] = None
    account.emit("charge.pending", charge)
    account.emit("payment_intent.processing", intent)


def finish_debit(account: Account, intent: JsonObject, failure: Decline | None) -> None:
    """Record the result of a direct debit."""
    charge = account.get("charge", intent["latest_charge"])
    method = account.get("payment_method", charge["payment_method"])
    if failure is None:
        _succeed(account, intent, charge)
    else:
        charge["captured"], charge["amount_captured"] = False, 0
        _fail(account, intent, charge, method, failure)


def _succeed(account: Account, intent: JsonObject, charge: JsonObject) -> None:
    charge["status"] = "succeeded"
    charge["paid"] = charge["captured"] = True
    charge["amount_captured"] = intent["amount"]
    charge["outcome"] = _outcome("approved_by_network", None, seller_message="Payment complete.")
    charge["receipt_url"] = f"https://pay.stripe.com/receipts/test_{charge['id']}"
    intent["status"] = "succeeded"
    intent["amount_received"] = intent["amount"]
    intent["payment_method"] = charge["payment_method"]
    intent["latest_charge"] = charge["id"]
    intent["next_action"] = intent["last_payment_error"] = None
    charge["balance_transaction"] = balance_transactions.of_charge(
        account, charge, now=account.now_for(charge["customer"])
    )
    account.emit("charge.succeeded", charge)
    account.emit("payment_intent.succeeded", intent)


def _fail(account: Account, intent: JsonObject, charge: JsonObject, method: JsonObject, reason: Decline) -> None:
    code, decline_code, message = reason
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
        "payment_method": account.render(method),
        "type": "card_error" if method["type"] == "card" else "invalid_request_error",
    }
    account.emit("charge.failed", charge)
    account.emit("payment_intent.payment_failed", intent)


def record_payment(account: Account, invoice: JsonObject, now: int) -> None:
    """Mark the invoice payment of the default payment intent as paid."""
    for payment in invoicing.payments_of(account, invoice["id"]):
        if payment["is_default"] and payment["status"] == "open":
            payment["status"] = "paid"
            payment["amount_paid"] = payment["amount_requested"]
            payment["status_transitions"]["paid_at"] = now
            account.emit("invoice_payment.paid", payment)


def _charge(account: Account, intent: JsonObject, attempt: Attempt) -> JsonObject:
    method = attempt.method
    return account.add(
        {
            "id": new_id("ch" if method["type"] == "card" else "py"),
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
            "payment_method_details": _method_details(intent, attempt),
            "refunded": False,
            "shipping": intent["shipping"],
            "status": "pending",
        }
    )


def _method_details(intent: JsonObject, attempt: Attempt) -> JsonObject:
    bank: BankAccount | None = attempt.method.get("_bank")
    if bank is not None:
        mandate = f"mandate_{attempt.method['id'].removeprefix('pm_')}"
        return {bank.type: bank.charge_details(mandate=mandate), "type": bank.type}
    card = attempt.method["card"]
    return {
        "card": {
            "amount_authorized": intent["amount"],
            "authorization_code": "123456",
            "brand": card["brand"],
            "checks": dict(card["checks"]),
            "country": card["country"],
            "exp_month": card["exp_month"],
            "exp_year": card["exp_year"],
            "extended_authorization": {"status": "disabled"},
            "fingerprint": card["fingerprint"],
            "funding": card["funding"],
            "incremental_authorization": {"status": "unavailable"},
            "installments": None,
            "last4": card["last4"],
            "mandate": None,
            "multicapture": {"status": "unavailable"},
            "network": card["brand"],
            "network_token": {"used": False},
            "network_transaction_id": "123456789012345",
            "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
            "regulated_status": "unregulated",
            "three_d_secure": {
                "authentication_flow": "challenge",
                "electronic_commerce_indicator": "05",
                "exemption_indicator": None,
                "result": "authenticated",
                "result_reason": None,
                "transaction_id": "6e3e7e6a-2f0e-4b6e-8a0e-000000000000",
                "version": "2.2.0",
            }
            if attempt.authenticated
            else None,
            "wallet": None,
        },
        "type": "card",
    }


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
