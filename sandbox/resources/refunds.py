"""
Refunds of card payments.

Most succeed immediately. With the test card ending in 7726, a refund is pending and then succeeds; with 5126, it succeeds
and then fails. The delay is the setting `refund_seconds`, in real time or on the customer's test clock. A test can set
any other status with `/_sandbox/refunds/{id}`.
"""

from sandbox.billing import balance_transactions, currencies, disputes, test_cards
from sandbox.control.simulations import simulation
from sandbox.errors import StripeError, invalid
from sandbox.http.pagination import in_range
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id
from sandbox.store.metadata import merged
from sandbox.store.scheduler import job


@route("POST", "/v1/refunds", takes="amount charge metadata payment_intent reason")
def create(call: Call) -> JsonObject:
    """Refund a charge or the charge of a payment intent. The default amount is what has not been refunded."""
    params = call.params
    charge = _charge(call.account, params)
    return make(
        call.account,
        charge,
        amount=params.get("amount"),
        reason=params.get("reason"),
        metadata=merged({}, params.get("metadata")),
    )


def make(
    account: Account, charge: JsonObject, *, amount: int | None, reason: str | None, metadata: dict[str, str]
) -> JsonObject:
    """
    Create a refund.

    :raises StripeError: 400 if the charge cannot be refunded by this amount.
    """
    left = charge["amount"] - charge["amount_refunded"]
    _check(account, charge, left if amount is None else amount, left)
    method = account.find("payment_method", charge["payment_method"]) or {"type": "ach_credit_transfer"}
    card: test_cards.Card | None = method.get("_card")
    behavior = card.refund if card else "succeeds"
    refund: JsonObject = {
        "id": new_id("re"),
        "object": "refund",
        "amount": left if amount is None else amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": account.now_for(charge["customer"]),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "destination_details": _destination(method["type"]),
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending" if behavior == "pends" else "succeeded",
        "transfer_reversal": None,
    }
    if behavior == "pends":
        refund["pending_reason"] = "processing"
    account.add(refund)
    refund["balance_transaction"] = balance_transactions.of_refund(account, refund, now=refund["created"])
    account.emit("refund.created", refund)
    _add_to_charge(account, charge, refund["amount"])
    if behavior != "succeeds":
        due = refund["created"] + account.settings.refund_seconds
        account.scheduler.schedule(account.clock_of(charge["customer"]), due, f"refund.{behavior}", refund["id"])
    disputes.deactivate_warnings(account, charge)
    return refund


@route("GET", "/v1/refunds/{refund}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a refund."""
    return call.account.get("refund", call.ids["refund"])


@route("GET", "/v1/refunds", takes="charge created payment_intent")
def list_all(call: Call) -> Page:
    """List refunds by charge or payment intent."""
    params = call.params
    return Page(
        [
            refund
            for refund in call.account.all("refund")
            if all(refund[name] == params[name] for name in ("charge", "payment_intent") if name in params)
            and in_range(refund["created"], params.get("created"))
        ]
    )


@route("POST", "/v1/refunds/{refund}", takes="metadata")
def update(call: Call) -> JsonObject:
    """Update the metadata; other fields cannot change."""
    refund = call.account.get("refund", call.ids["refund"])
    with call.account.track_changes(refund, "refund.updated"):
        refund["metadata"] = merged(refund["metadata"], call.params.get("metadata"))
    return refund


@route("POST", "/v1/refunds/{refund}/cancel")
def cancel(call: Call) -> JsonObject:
    """Cancel a refund that requires action. Card refunds do so only if a test sets that status."""
    refund = call.account.get("refund", call.ids["refund"])
    if refund["status"] != "requires_action":
        message = f"Refund {refund['id']} cannot be canceled: its status is {refund['status']}, not requires_action."
        raise invalid(message, param="id")
    return _change_status(call.account, refund, "canceled")


def _destination(method_type: str) -> JsonObject:
    details: dict[str, JsonObject] = {
        "card": {"type": "refund"},
        "us_bank_transfer": {"reference": None, "reference_status": "pending"},
    }
    name = {
        "us_bank_account": "us_bank_transfer",
        "sepa_debit": "eu_bank_transfer",
        "bacs_debit": "gb_bank_transfer",
    }.get(method_type, "card")
    return {name: details.get(name, {"reference": None, "reference_status": "pending"}), "type": name}


_TRANSITIONS = {
    "pending": ("requires_action", "succeeded", "failed"),
    "requires_action": ("pending", "succeeded", "failed", "canceled"),
    "succeeded": ("failed",),
}
"""Statuses that can follow each status. `failed` and `canceled` are final."""


@simulation("refunds/{id}")
def set_status(account: Account, refund_id: str, fields: JsonObject) -> JsonObject:
    """Simulate the bank's result of a refund by setting its `status`."""
    refund = account.get("refund", refund_id)
    status = fields.get("status")
    if set(fields) != {"status"} or status not in _TRANSITIONS.get(refund["status"], ()):
        possible = ", ".join(_TRANSITIONS.get(refund["status"], ())) or "nothing"
        raise invalid(f"The status of this refund can change from {refund['status']} to: {possible}.", param="status")
    return _change_status(account, refund, status)


def _change_status(account: Account, refund: JsonObject, status: str) -> JsonObject:
    with account.track_changes(refund, "refund.updated"):
        refund["status"] = status
        refund.pop("pending_reason", None)
        if status == "pending":
            refund["pending_reason"] = "processing"
        if status == "failed":
            refund["failure_reason"] = "expired_or_canceled_card"
            refund["failure_balance_transaction"] = _reversal(account, refund)
    if status == "failed":
        account.emit("refund.failed", refund)
    if status in ("failed", "canceled"):
        _add_to_charge(account, account.get("charge", refund["charge"]), -refund["amount"])
    return refund


def _reversal(account: Account, refund: JsonObject) -> str:
    """Return the balance transaction that returns the amount of a failed refund."""
    made = balance_transactions.create(
        account, refund, kind="refund", amount=refund["amount"], fee=0, now=account.now_for(refund["customer"])
    )
    return str(made["id"])


def _charge(account: Account, params: JsonObject) -> JsonObject:
    if "charge" in params:
        return account.get("charge", params["charge"], param="charge", status=400)
    if "payment_intent" not in params:
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise invalid(message, code="parameter_missing", param="payment_intent")
    intent = account.get("payment_intent", params["payment_intent"], param="payment_intent", status=400)
    if intent["status"] != "succeeded":
        message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise invalid(message, param="payment_intent", code="payment_intent_unexpected_state")
    return account.get("charge", intent["latest_charge"])


def _check(account: Account, charge: JsonObject, amount: int, left: int) -> None:
    if not charge["paid"]:
        raise invalid(f"Charge {charge['id']} has not succeeded and cannot be refunded.", param="charge")
    if charge["disputed"] and not disputes.is_refundable(account, charge):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise invalid(message, code="charge_disputed")
    if charge["refunded"]:
        raise invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount <= 0:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    currencies.check_amount(amount, charge["currency"], param="amount")
    if amount > left:
        raise _too_much(amount, left)


def _too_much(amount: int, left: int) -> StripeError:
    def dollars(cents: int) -> str:
        return f"${cents // 100}.{cents % 100:02d}"

    message = f"Refund amount ({dollars(amount)}) is greater than unrefunded amount on charge ({dollars(left)})"
    return invalid(message, param="amount")


def _add_to_charge(account: Account, charge: JsonObject, amount: int) -> None:
    before = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    previous = {name: value for name, value in before.items() if charge[name] != value}
    account.emit("charge.refunded" if amount > 0 else "charge.updated", charge, previous=previous)


@job("refund.pends")
def _succeed_later(account: Account, refund_id: str, _at: int) -> None:
    refund = account.find("refund", refund_id)
    if refund and refund["status"] == "pending":
        _change_status(account, refund, "succeeded")


@job("refund.fails")
def _fail_later(account: Account, refund_id: str, _at: int) -> None:
    refund = account.find("refund", refund_id)
    if refund and refund["status"] == "succeeded":
        _change_status(account, refund, "failed")
