"""Disputes and early fraud warnings."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import SandboxAccount


async def disputed_payment(account: SandboxAccount, method: str = "pm_card_createDispute") -> Any:
    """Return the dispute of a subscription's first payment."""
    await account.subscribe(customer=await account.customer(method=method))
    return (await account.v1.disputes.list_async()).data[0]


async def decide(account: SandboxAccount, dispute: str, status: str) -> int:
    """Simulate the bank's decision and return the status code."""
    return (await account.request("POST", f"/_sandbox/disputes/{dispute}", json={"status": status})).status_code


async def test_the_test_card_0259_succeeds_and_is_then_disputed(account: SandboxAccount) -> None:
    session = await account.checkout()
    assert (await account.pay(session, card="4000000000000259")).status_code == 303
    dispute = (await account.v1.disputes.list_async()).data[0]
    assert (dispute.status, dispute.amount, dispute.reason) == ("needs_response", 4900, "fraudulent")
    assert not dispute.is_charge_refundable
    assert dispute.evidence_details.due_by > dispute.created
    charge = await account.v1.charges.retrieve_async(dispute.charge)
    assert (charge.paid, charge.disputed) == (True, True)
    assert (await account.completed_session(session)).subscription.status == "active"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.v1.refunds.create_async({"charge": dispute.charge})
    assert caught.value.code == "charge_disputed"
    assert {"charge.dispute.created", "charge.dispute.funds_withdrawn"} <= set(await account.types())
    by_intent = await account.v1.disputes.list_async({"payment_intent": dispute.payment_intent})
    assert [each.id for each in by_intent.data] == [dispute.id]


@pytest.mark.parametrize(("verdict", "refundable"), [("won", True), ("lost", False)])
async def test_a_dispute_can_be_decided_only_once(account: SandboxAccount, verdict: str, refundable: bool) -> None:
    dispute = await disputed_payment(account)
    assert await decide(account, dispute.id, "warning_closed") == 400
    assert await decide(account, dispute.id, verdict) == 200
    seen = await account.v1.disputes.retrieve_async(dispute.id)
    assert (seen.status, seen.is_charge_refundable) == (verdict, refundable)
    assert await decide(account, dispute.id, "won") == 400
    types = await account.types()
    assert {"charge.dispute.updated", "charge.dispute.closed"} <= set(types)
    assert ("charge.dispute.funds_reinstated" in types) == (verdict == "won")


async def test_a_payment_with_an_inquiry_can_be_refunded(account: SandboxAccount) -> None:
    dispute = await disputed_payment(account, "pm_card_createDisputeInquiry")
    assert (dispute.status, dispute.is_charge_refundable) == ("warning_needs_response", True)
    assert (await account.v1.refunds.create_async({"charge": dispute.charge})).status == "succeeded"
    assert await decide(account, dispute.id, "warning_closed") == 200
    assert "charge.dispute.funds_withdrawn" not in await account.types()


@pytest.mark.parametrize(
    ("text", "status"),
    [("winning_evidence", "won"), ("losing_evidence", "lost"), ("We sent the magazine.", "under_review")],
)
async def test_submitted_evidence_is_reviewed(account: SandboxAccount, text: str, status: str) -> None:
    dispute = await disputed_payment(account, "pm_card_createDisputeProductNotReceived")
    assert dispute.reason == "product_not_received"
    staged = await account.v1.disputes.update_async(dispute.id, {"evidence": {"customer_name": "Ada"}, "submit": False})
    assert (staged.status, staged.evidence.customer_name) == ("needs_response", "Ada")
    sent = await account.v1.disputes.update_async(dispute.id, {"evidence": {"uncategorized_text": text}})
    assert (sent.status, sent.evidence_details.submission_count) == (status, 1)


async def test_a_dispute_can_be_closed(account: SandboxAccount) -> None:
    dispute = await disputed_payment(account)
    assert (await account.v1.disputes.close_async(dispute.id)).status == "lost"
    with pytest.raises(stripe.InvalidRequestError, match="status needs_response"):
        await account.v1.disputes.close_async(dispute.id)


async def test_the_test_card_5423_creates_a_fraud_warning_until_it_is_refunded(account: SandboxAccount) -> None:
    session = await account.checkout()
    await account.pay(session, card="4000000000005423")
    warning = (await account.v1.radar.early_fraud_warnings.list_async()).data[0]
    assert warning.actionable
    assert (await account.event("radar.early_fraud_warning.created")).data.object.id == warning.id
    assert (await account.v1.disputes.list_async()).data == []
    await account.v1.refunds.create_async({"charge": warning.charge})
    assert not (await account.v1.radar.early_fraud_warnings.retrieve_async(warning.id)).actionable
    assert "radar.early_fraud_warning.updated" in await account.types()
