"""Disputes and warnings of fraud: what the bank does after a payment."""

from typing import Any

import pytest
import stripe

from tests.sandbox.shop import Shop


async def disputed(shop: Shop, method: str = "pm_card_createDispute") -> Any:
    """Return the dispute of a subscription's first payment."""
    await shop.subscribe(customer=await shop.customer(method=method))
    return (await shop.v1.disputes.list_async()).data[0]


async def decide(shop: Shop, dispute: str, status: str) -> int:
    """Have the bank decide; return the status of the reply."""
    return (await shop.raw("POST", f"/_sandbox/disputes/{dispute}", json={"status": status})).status_code


async def test_the_card_0259_pays_and_then_disputes(shop: Shop) -> None:
    session = await shop.checkout()
    assert (await shop.pay(session, card="4000000000000259")).status_code == 303
    dispute = (await shop.v1.disputes.list_async()).data[0]
    assert (dispute.status, dispute.amount, dispute.reason) == ("needs_response", 4900, "fraudulent")
    assert not dispute.is_charge_refundable
    assert dispute.evidence_details.due_by > dispute.created
    charge = await shop.v1.charges.retrieve_async(dispute.charge)
    assert (charge.paid, charge.disputed) == (True, True)
    assert (await shop.bought(session)).subscription.status == "active"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.refunds.create_async({"charge": dispute.charge})
    assert caught.value.code == "charge_disputed"
    assert {"charge.dispute.created", "charge.dispute.funds_withdrawn"} <= set(await shop.types())
    by_intent = await shop.v1.disputes.list_async({"payment_intent": dispute.payment_intent})
    assert [each.id for each in by_intent.data] == [dispute.id]


@pytest.mark.parametrize(("verdict", "refundable"), [("won", True), ("lost", False)])
async def test_the_bank_decides_a_dispute_once(shop: Shop, verdict: str, refundable: bool) -> None:
    dispute = await disputed(shop)
    assert await decide(shop, dispute.id, "warning_closed") == 400
    assert await decide(shop, dispute.id, verdict) == 200
    seen = await shop.v1.disputes.retrieve_async(dispute.id)
    assert (seen.status, seen.is_charge_refundable) == (verdict, refundable)
    assert await decide(shop, dispute.id, "won") == 400
    types = await shop.types()
    assert {"charge.dispute.updated", "charge.dispute.closed"} <= set(types)
    assert ("charge.dispute.funds_reinstated" in types) == (verdict == "won")


async def test_an_inquiry_leaves_the_payment_refundable(shop: Shop) -> None:
    dispute = await disputed(shop, "pm_card_createDisputeInquiry")
    assert (dispute.status, dispute.is_charge_refundable) == ("warning_needs_response", True)
    assert (await shop.v1.refunds.create_async({"charge": dispute.charge})).status == "succeeded"
    assert await decide(shop, dispute.id, "warning_closed") == 200
    assert "charge.dispute.funds_withdrawn" not in await shop.types()


@pytest.mark.parametrize(
    ("text", "status"),
    [("winning_evidence", "won"), ("losing_evidence", "lost"), ("We sent the magazine.", "under_review")],
)
async def test_evidence_is_submitted_and_reviewed(shop: Shop, text: str, status: str) -> None:
    dispute = await disputed(shop, "pm_card_createDisputeProductNotReceived")
    assert dispute.reason == "product_not_received"
    staged = await shop.v1.disputes.update_async(dispute.id, {"evidence": {"customer_name": "Ada"}, "submit": False})
    assert (staged.status, staged.evidence.customer_name) == ("needs_response", "Ada")
    sent = await shop.v1.disputes.update_async(dispute.id, {"evidence": {"uncategorized_text": text}})
    assert (sent.status, sent.evidence_details.submission_count) == (status, 1)


async def test_a_dispute_can_be_given_up(shop: Shop) -> None:
    dispute = await disputed(shop)
    assert (await shop.v1.disputes.close_async(dispute.id)).status == "lost"
    with pytest.raises(stripe.InvalidRequestError, match="needs a response"):
        await shop.v1.disputes.close_async(dispute.id)


async def test_the_card_5423_pays_and_then_warns_of_fraud_until_it_is_refunded(shop: Shop) -> None:
    session = await shop.checkout()
    await shop.pay(session, card="4000000000005423")
    warning = (await shop.v1.radar.early_fraud_warnings.list_async()).data[0]
    assert warning.actionable
    assert (await shop.event("radar.early_fraud_warning.created")).data.object.id == warning.id
    assert (await shop.v1.disputes.list_async()).data == []
    await shop.v1.refunds.create_async({"charge": warning.charge})
    assert not (await shop.v1.radar.early_fraud_warnings.retrieve_async(warning.id)).actionable
    assert "radar.early_fraud_warning.updated" in await shop.types()
