"""Request refunds on any basis as support, and compare our records with Stripe's."""

from typing import Any

import httpx2

from tests.support.shop import Person, Shop

GUARANTEE, UNSERVED, GOODWILL = "guarantee", "unserved_issues", "goodwill"
PAID_STATUSES = {"pending", "requires_action", "succeeded"}  # pending or paid


async def payment_ids(shop: Shop, reader: Person) -> list[str]:
    """Return the IDs of a reader's payments, earliest first."""
    return [str(one["id"]) for one in (await shop.overview(reader))["payments"]]


async def get_quotes(shop: Shop, payment: str) -> dict[str, dict[str, Any]]:
    """Return the quotes of a payment, by basis."""
    answer = await shop.get(f"/v1/support/payments/{payment}/refund-quote", shop.agent)
    assert answer.status_code == 200, answer.text
    return {str(quote["basis"]): quote for quote in answer.json()["quotes"]}


async def request_refund(
    shop: Shop,
    payment: str,
    basis: str,
    amount: int,
    /,
    *,
    key: str,
    by: Person | None = None,
    expected: int | None = None,
    **more: object,
) -> httpx2.Response:
    """Request a refund. ``amount`` is the quoted or the goodwill amount; ``expected`` replaces it as the expected amount."""
    body: dict[str, object] = {
        "payment": payment,
        "basis": basis,
        "reason": "copies_missing",
        "expected_amount": {"amount": amount if expected is None else expected, "currency": "usd"},
        **({"amount": {"amount": amount, "currency": "usd"}} if basis == GOODWILL else {}),
        **more,
    }
    return await shop.post("/v1/support/refunds", by or shop.agent, body, **{"Idempotency-Key": key})


async def decide_refund(shop: Shop, refund: str, verdict: str, by: Person, *, key: str = "decision") -> httpx2.Response:
    """Approve or reject a refund as the second person."""
    return await shop.post(f"/v1/support/refunds/{refund}/{verdict}", by, **{"Idempotency-Key": key})


async def check_books(shop: Shop, payment: str) -> int:
    """
    Compare our refunds of a payment with Stripe's, and return the refunded amount.

    Both have the same refunds with equal amounts and statuses. Each pending or paid refund has one credit note. None was
    confirmed twice. The refunds don't exceed the payment, and neither do ours with the reserved amounts.
    """
    there = (await shop.stripe_get("/v1/refunds", payment_intent=payment, limit="100"))["data"]
    here = await shop.rows("SELECT * FROM refunds WHERE payment_id = $1", payment)
    (paid,) = await shop.rows("SELECT amount, invoice_id FROM payments WHERE id = $1", payment)
    known = [one for one in here if one["stripe_refund_id"] is not None]
    assert _facts(there, "id") == _facts(known, "stripe_refund_id")
    notes = (await shop.stripe_get("/v1/credit_notes", invoice=paid["invoice_id"], limit="100"))["data"]
    linked = [(note["id"], one["refund"], one["amount_refunded"]) for note in notes for one in note["refunds"]]
    flowing = [one for one in known if one["status"] in PAID_STATUSES]
    assert sorted(linked) == sorted((one["credit_note_id"], one["stripe_refund_id"], one["amount"]) for one in flowing)
    twice = await shop.rows(
        "SELECT object_id FROM audit_log WHERE action = 'refund.confirmed' GROUP BY object_id HAVING count(*) > 1"
    )
    assert twice == []
    refunded = sum(one["amount"] for one in flowing)
    assert refunded <= paid["amount"]
    reserved = [one for one in here if one["status"] in {"awaiting_approval", "processing"}]
    ours = [*reserved, *(one for one in flowing if one["basis"] != "dashboard")]
    assert sum(one["amount"] for one in ours) <= paid["amount"], "only a Dashboard refund may use reserved amounts"
    return int(refunded)


def _facts(refunds: list[dict[str, Any]], id_: str) -> list[tuple[object, ...]]:
    return sorted((one[id_], one["amount"], one["currency"], one["status"]) for one in refunds)
