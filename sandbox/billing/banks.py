"""
What banks do after a payment, by the test card: they dispute it, ask about it, or warn of fraud.

A chargeback takes the money until it is won; an inquiry only asks, and its payment can still be refunded. Whether a
payment can be refunded after a chargeback was won is not documented; here it can.
(https://docs.stripe.com/disputes/how-disputes-work, https://docs.stripe.com/testing#disputes)
"""

from stripe import Dispute

from sandbox.cards import Card
from sandbox.contract.responses import hints_of
from sandbox.errors import invalid
from sandbox.jsontypes import JsonObject
from sandbox.store import Account, new_id

_ANSWER_WITHIN = 9 * 86400
_WARNING = "radar.early_fraud_warning"
_OPEN = ("needs_response", "under_review")


def hear_of(account: Account, charge: JsonObject, card: Card, *, now: int) -> None:
    """Have the bank react to a payment, if its card says so."""
    if card.fraud_warning:
        warning: JsonObject = {
            "id": new_id("issfr"),
            "object": _WARNING,
            "actionable": True,
            "charge": charge["id"],
            "created": now,
            "fraud_type": "misc",
            "livemode": False,
            "payment_intent": charge["payment_intent"],
        }
        account.emit(f"{_WARNING}.created", account.add(warning))
    if card.dispute:
        _dispute(account, charge, card, now)


def _dispute(account: Account, charge: JsonObject, card: Card, now: int) -> None:
    inquiry = card.dispute == "inquiry"
    charge["disputed"] = True
    dispute = account.add(
        {
            "id": new_id("du"),
            "object": "dispute",
            "amount": charge["amount"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": now,
            "currency": charge["currency"],
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
                    "brand": card.brand,
                    "case_type": card.dispute,
                    "network": card.brand,
                    "network_reason_code": "10.4" if card.dispute_reason == "fraudulent" else "13.1",
                },
                "type": "card",
            },
            "reason": card.dispute_reason,
            "status": "warning_needs_response" if inquiry else "needs_response",
        }
    )
    account.emit("charge.dispute.created", dispute)
    if not inquiry:
        account.emit("charge.dispute.funds_withdrawn", dispute)


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
    End a dispute: `won`, `lost`, or, of an inquiry, `warning_closed`.

    :raises StripeError: 400 if it is over, or of another kind.
    """
    inquiry = dispute["status"].startswith("warning_")
    if dispute["status"].removeprefix("warning_") not in _OPEN:
        raise invalid(f"This dispute is already {dispute['status']}.", param="status")
    if verdict not in (("warning_closed",) if inquiry else ("won", "lost")):
        raise invalid(f"A dispute that is {dispute['status']} cannot become {verdict!r}.", param="status")
    with account.changing(dispute, "charge.dispute.updated"):
        dispute["status"] = verdict
        dispute["is_charge_refundable"] = verdict != "lost"
    if verdict == "won":
        account.emit("charge.dispute.funds_reinstated", dispute)
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
