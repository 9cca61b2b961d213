"""
Disputes and early fraud warnings, as the test cards cause them.

A chargeback withdraws the money until the dispute is won. An inquiry does not, and its payment can still be refunded.
Stripe does not document whether a payment can be refunded after a won chargeback; here it can.
(https://docs.stripe.com/disputes/how-disputes-work, https://docs.stripe.com/testing#disputes)
"""

from stripe import Dispute

from sandbox.billing import balance_transactions
from sandbox.billing.test_cards import Card
from sandbox.contract.responses import field_types
from sandbox.errors import invalid
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id

_RESPONSE_PERIOD = 9 * 86400
_WARNING = "radar.early_fraud_warning"
_OPEN = ("needs_response", "under_review")
_FINAL = ("won", "lost")
_TRANSITIONS = {
    "warning_needs_response": ("warning_closed", "needs_response"),
    "warning_under_review": ("warning_closed", "needs_response"),
    "needs_response": ("won", "lost", "prevented"),
    "under_review": ("won", "lost"),
    "won": ("appeal_under_review",),
    "lost": ("appeal_under_review",),
    "appeal_under_review": ("won", "lost"),
}
"""Statuses that can follow each status. Stripe's types have appeals but do not say how they work."""


def simulate_bank_response(account: Account, charge: JsonObject, card: Card, *, now: int) -> None:
    """Create the dispute or the fraud warning that a test card stands for."""
    if card.fraud_warning:
        create_fraud_warning(account, charge, now=now)
    if card.dispute:
        create_dispute(account, charge, kind=card.dispute, reason=card.dispute_reason, brand=card.brand, now=now)


def create_fraud_warning(account: Account, charge: JsonObject, *, now: int) -> JsonObject:
    """Create an early fraud warning. It is not actionable if the charge is disputed or refunded already."""
    warning: JsonObject = {
        "id": new_id("issfr"),
        "object": _WARNING,
        "actionable": not charge["disputed"] and not charge["refunded"],
        "charge": charge["id"],
        "created": now,
        "fraud_type": "misc",
        "livemode": False,
        "payment_intent": charge["payment_intent"],
    }
    account.emit(f"{_WARNING}.created", account.add(warning))
    return warning


def create_dispute(
    account: Account,
    charge: JsonObject,
    *,
    kind: str,
    reason: str,
    brand: str | None,
    now: int,
    amount: int | None = None,
    currency: str | None = None,
) -> JsonObject:
    """
    Create a chargeback or an inquiry.

    :param brand: the card's brand; None for a direct debit.
    :param amount: defaults to the charge's, like `currency`.
    """
    inquiry = kind == "inquiry"
    charge["disputed"] = True
    dispute = account.add(
        {
            "id": new_id("du"),
            "object": "dispute",
            "amount": charge["amount"] if amount is None else amount,
            "balance_transactions": [],
            "charge": charge["id"],
            "created": now,
            "currency": currency or charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {name: {} if name == "enhanced_evidence" else None for name in field_types(Dispute.Evidence)},
            "evidence_details": {
                "due_by": now + _RESPONSE_PERIOD,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
                "submission_method": "not_submitted",
            },
            "is_charge_refundable": inquiry,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            **_payment_method_details(kind=kind, reason=reason, brand=brand),
            "reason": reason,
            "status": "warning_needs_response" if inquiry else "needs_response",
        }
    )
    if not inquiry:
        _move_funds(account, dispute, withdrawn=True, now=now)
    account.emit("charge.dispute.created", dispute)
    if not inquiry:
        account.emit("charge.dispute.funds_withdrawn", dispute)
    for warning in account.all(_WARNING):
        if warning["charge"] == charge["id"] and warning["actionable"]:
            with account.track_changes(warning, f"{_WARNING}.updated"):
                warning["actionable"] = False
    return dispute


def _payment_method_details(*, kind: str, reason: str, brand: str | None) -> JsonObject:
    if brand is None:  # Stripe has details for cards only, not for direct debits
        return {}
    card = {
        "brand": brand,
        "case_type": kind,
        "network": brand,
        "network_reason_code": "10.4" if reason == "fraudulent" else "13.1",
    }
    return {"payment_method_details": {"card": card, "type": "card"}}


def submit_evidence(account: Account, dispute: JsonObject) -> None:
    """Submit the evidence. Stripe's test texts `winning_evidence` and `losing_evidence` decide immediately."""
    if dispute["status"].removeprefix("warning_") not in _OPEN:
        raise invalid(f"You cannot submit evidence for a dispute with the status {dispute['status']}.", param="submit")
    details = dispute["evidence_details"]
    details["has_evidence"] = True
    details["submission_count"] += 1
    details["submission_method"] = "manual"
    dispute["status"] = dispute["status"].replace("needs_response", "under_review")
    new_status = {"winning_evidence": "won", "losing_evidence": "lost"}.get(
        dispute["evidence"]["uncategorized_text"] or ""
    )
    if new_status:
        change_status(account, dispute, "warning_closed" if dispute["status"].startswith("warning_") else new_status)


def change_status(account: Account, dispute: JsonObject, new_status: str) -> None:
    """
    Change the status of a dispute.

    A chargeback can be `won`, `lost` or `prevented`. An inquiry becomes `warning_closed`, or `needs_response` when it turns
    into a chargeback. A decided dispute can become `appeal_under_review`.

    :raises StripeError: 400 if the dispute cannot take this status.
    """
    status = dispute["status"]
    allowed = _TRANSITIONS.get(status, ())
    if not allowed or (status in _FINAL and new_status not in allowed):
        raise invalid(f"This dispute is already {status}.", param="status")
    if new_status not in allowed:
        raise invalid(f"The status of a dispute cannot change from {status} to {new_status!r}.", param="status")
    with account.track_changes(dispute, "charge.dispute.updated"):
        dispute["status"] = new_status
        dispute["is_charge_refundable"] = new_status in ("won", "warning_closed", "prevented")
    now = account.now_for(account.get("charge", dispute["charge"])["customer"])
    if new_status == "won":
        _move_funds(account, dispute, withdrawn=False, now=now)
        account.emit("charge.dispute.funds_reinstated", dispute)
    if status.startswith("warning_") and new_status in _OPEN:
        _move_funds(account, dispute, withdrawn=True, now=now)
        account.emit("charge.dispute.funds_withdrawn", dispute)
    elif new_status in ("won", "lost", "warning_closed", "prevented"):
        account.emit("charge.dispute.closed", dispute)


def _move_funds(account: Account, dispute: JsonObject, *, withdrawn: bool, now: int) -> None:
    made = balance_transactions.of_dispute(account, dispute, withdrawn=withdrawn, now=now)
    dispute["balance_transactions"] = [*dispute["balance_transactions"], account.render(made)]


def is_refundable(account: Account, charge: JsonObject) -> bool:
    """Return whether a disputed charge can be refunded."""
    return all(each["is_charge_refundable"] for each in account.all("dispute") if each["charge"] == charge["id"])


def deactivate_warnings(account: Account, charge: JsonObject) -> None:
    """Mark the warnings of a fully refunded charge as no longer actionable."""
    for warning in account.all(_WARNING):
        if warning["charge"] == charge["id"] and charge["refunded"]:
            with account.track_changes(warning, f"{_WARNING}.updated"):
                warning["actionable"] = False
