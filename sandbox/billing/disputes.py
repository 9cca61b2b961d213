"""
What banks do after a payment, by the test card: they dispute it, ask about it, or warn of fraud.

A chargeback takes the money until it is won; an inquiry only asks, and its payment can still be refunded. Whether a
payment can be refunded after a chargeback was won is not documented; here it can.
(https://docs.stripe.com/disputes/how-disputes-work, https://docs.stripe.com/testing#disputes)
"""

from stripe import Dispute

from sandbox.billing.test_cards import Card
from sandbox.contract.responses import hints_of
from sandbox.errors import invalid
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id

_ANSWER_WITHIN = 9 * 86400
_WARNING = "radar.early_fraud_warning"
_OPEN = ("needs_response", "under_review")
_VERDICTS = ("won", "lost")
_NEXT = {
    "warning_needs_response": ("warning_closed", "needs_response"),
    "warning_under_review": ("warning_closed", "needs_response"),
    "needs_response": ("won", "lost", "prevented"),
    "under_review": ("won", "lost"),
    "won": ("appeal_under_review",),
    "lost": ("appeal_under_review",),
    "appeal_under_review": ("won", "lost"),
}
"""What may come after each status. That a verdict can be appealed stands in Stripe's types; how, it does not say."""


def hear_of(account: Account, charge: JsonObject, card: Card, *, now: int) -> None:
    """Have the bank react to a payment, if its card says so."""
    if card.fraud_warning:
        warn(account, charge, now=now)
    if card.dispute:
        dispute(account, charge, kind=card.dispute, reason=card.dispute_reason, brand=card.brand, now=now)


def warn(account: Account, charge: JsonObject, *, now: int) -> JsonObject:
    """Have the bank warn of fraud. Nobody has to act once the charge is disputed or given back."""
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


def dispute(
    account: Account,
    charge: JsonObject,
    *,
    kind: str,
    reason: str,
    brand: str,
    now: int,
    amount: int | None = None,
    currency: str | None = None,
) -> JsonObject:
    """Have the bank dispute a charge, or ask about it; in part, and in a currency of its own, if it says so."""
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
            "evidence": {name: {} if name == "enhanced_evidence" else None for name in hints_of(Dispute.Evidence)},
            "evidence_details": {
                "due_by": now + _ANSWER_WITHIN,
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
            "payment_method_details": {
                "card": {
                    "brand": brand,
                    "case_type": kind,
                    "network": brand,
                    "network_reason_code": "10.4" if reason == "fraudulent" else "13.1",
                },
                "type": "card",
            },
            "reason": reason,
            "status": "warning_needs_response" if inquiry else "needs_response",
        }
    )
    account.emit("charge.dispute.created", dispute)
    if not inquiry:
        account.emit("charge.dispute.funds_withdrawn", dispute)
    for warning in account.all(_WARNING):
        if warning["charge"] == charge["id"] and warning["actionable"]:
            with account.changing(warning, f"{_WARNING}.updated"):
                warning["actionable"] = False
    return dispute


def submit(account: Account, dispute: JsonObject) -> None:
    """Send the evidence to the bank. Two words of Stripe's decide at once: `winning_evidence`, `losing_evidence`."""
    if dispute["status"].removeprefix("warning_") not in _OPEN:
        raise invalid(f"This dispute is {dispute['status']}: no evidence can be submitted.", param="submit")
    details = dispute["evidence_details"]
    details["has_evidence"] = True
    details["submission_count"] += 1
    details["submission_method"] = "manual"
    dispute["status"] = dispute["status"].replace("needs_response", "under_review")
    verdict = {"winning_evidence": "won", "losing_evidence": "lost"}.get(
        dispute["evidence"]["uncategorized_text"] or ""
    )
    if verdict:
        decide(account, dispute, "warning_closed" if dispute["status"].startswith("warning_") else verdict)


def decide(account: Account, dispute: JsonObject, verdict: str) -> None:
    """
    Move a dispute on: `won`, `lost` or `prevented`; of an inquiry `warning_closed`, or `needs_response` when it becomes a
    chargeback; of a verdict `appeal_under_review`.

    :raises StripeError: 400 if it is over, or of another kind.
    """
    status = dispute["status"]
    nexts = _NEXT.get(status, ())
    if not nexts or (status in _VERDICTS and verdict not in nexts):
        raise invalid(f"This dispute is already {status}.", param="status")
    if verdict not in nexts:
        raise invalid(f"A dispute that is {status} cannot become {verdict!r}.", param="status")
    with account.changing(dispute, "charge.dispute.updated"):
        dispute["status"] = verdict
        dispute["is_charge_refundable"] = verdict in ("won", "warning_closed", "prevented")
    if verdict == "won":
        account.emit("charge.dispute.funds_reinstated", dispute)
    if status.startswith("warning_") and verdict in _OPEN:
        account.emit("charge.dispute.funds_withdrawn", dispute)
    elif verdict in ("won", "lost", "warning_closed", "prevented"):
        account.emit("charge.dispute.closed", dispute)


def may_refund(account: Account, charge: JsonObject) -> bool:
    """Say whether a payment that is disputed can be refunded."""
    return all(each["is_charge_refundable"] for each in account.all("dispute") if each["charge"] == charge["id"])


def calm(account: Account, charge: JsonObject) -> None:
    """A warning asks for nothing any more once its payment is refunded in full."""
    for warning in account.all(_WARNING):
        if warning["charge"] == charge["id"] and charge["refunded"]:
            with account.changing(warning, f"{_WARNING}.updated"):
                warning["actionable"] = False
