"""Payment intents. `sandbox.billing.payments` creates them for invoices."""

from sandbox.billing import charges, direct_debits, payments
from sandbox.control.simulations import simulation
from sandbox.errors import invalid
from sandbox.http.pagination import in_range
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account
from sandbox.store.metadata import merged


@route("GET", "/v1/payment_intents/{intent}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a payment intent."""
    return call.account.get("payment_intent", call.ids["intent"])


@route("GET", "/v1/payment_intents", takes="created customer")
def list_all(call: Call) -> Page:
    """List payment intents by customer."""
    params = call.params
    return Page(
        [
            intent
            for intent in call.account.all("payment_intent")
            if ("customer" not in params or intent["customer"] == params["customer"])
            and in_range(intent["created"], params.get("created"))
        ]
    )


@route("POST", "/v1/payment_intents/{intent}", takes="metadata")
def update(call: Call) -> JsonObject:
    """Update the metadata."""
    intent = call.account.get("payment_intent", call.ids["intent"])
    intent["metadata"] = merged(intent["metadata"], call.params.get("metadata"))
    return intent


@simulation("payment_intents/{id}/authenticate")
def authenticate(account: Account, intent_id: str, wanted: JsonObject) -> JsonObject:
    """Simulate 3-D Secure for a payment that requires it: `{"result": "complete"}` or `"fail"`."""
    result = wanted.get("result", "complete")
    intent = account.get("payment_intent", intent_id)
    if result not in ("complete", "fail"):
        raise invalid("result must be 'complete' or 'fail'.", param="result")
    if intent["status"] != "requires_action":
        message = f"This payment does not require authentication: its status is {intent['status']}."
        raise invalid(message, code="payment_intent_unexpected_state")
    invoice = account.get("invoice", intent["_invoice"])
    method = account.get("payment_method", intent["payment_method"])
    attempt = charges.Attempt(method=method, now=account.now_for(intent["customer"]), authenticated=True)
    if result == "fail":
        payments.fail_authentication(account, invoice, attempt)
        payments.record_failure(account, invoice, "declined", next_attempt=invoice["next_payment_attempt"])
        return intent
    outcome = payments.pay(account, invoice, attempt)
    subscription = account.find("subscription", invoice["_subscription"])
    if subscription:
        payments.activate_subscription(account, subscription, outcome)
    return intent


@simulation("payment_intents/{id}/debit")
def finish_debit(account: Account, intent_id: str, wanted: JsonObject) -> JsonObject:
    """
    Simulate the result of a processing direct debit: `{"result": "succeed"}` or `"fail"`, with an optional `failure_code`.

    With `{"result": "return"}`, a debit that succeeded is returned by the bank.
    """
    intent = account.get("payment_intent", intent_id)
    now = account.now_for(intent["customer"])
    match wanted.get("result"):
        case "succeed":
            direct_debits.finish(account, intent, at=now, failure_code=None)
        case "fail":
            direct_debits.finish(
                account, intent, at=now, failure_code=str(wanted.get("failure_code", "insufficient_funds"))
            )
        case "return":
            charge = account.get("charge", intent["latest_charge"] or "")
            direct_debits.return_debit(
                account, charge, reason=str(wanted.get("reason", "debit_not_authorized")), at=now
            )
        case _:
            raise invalid("result must be 'succeed', 'fail' or 'return'.", param="result")
    return intent
