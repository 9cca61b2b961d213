"""A renewal that was paid in part when its subscription ends: nothing of it stays payable, and the part goes back."""

from datetime import timedelta
from typing import Any

from tests.journeys.cancellations.test_ends import A_YEAR
from tests.journeys.disputes.test_disputes import support_list
from tests.journeys.lifecycle.test_manual_changes_at_stripe import only_subscription
from tests.support.shop import Shop


async def pay_a_part(shop: Shop, kind: str) -> tuple[str, dict[str, Any]]:
    """Subscribe a reader whose renewal is billed by email, and pay 20.00 of it. Return the invoice and the payment."""
    ada = shop.person()
    await shop.subscribe(ada)
    stripe_id = str((await only_subscription(shop, ada))["stripe_id"])
    sent = {"collection_method": "send_invoice", "days_until_due": "30"}
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", **sent)
    await shop.advance_to(A_YEAR + timedelta(days=1))
    (owed,) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id, status="open"))["data"]
    path = f"/_sandbox/invoices/{owed['id']}/payments"
    paid = await shop.stripe.post(path, json={"type": kind, "amount": 20_00})
    assert paid.status_code == 200, paid.text
    await shop.wait_until_idle()
    return str(owed["id"]), dict(paid.json()["payment"])


async def test_a_part_of_a_renewal_is_refunded_when_its_reader_cancels(shop: Shop) -> None:
    ada = shop.person()
    owed, payment = await pay_a_part(shop, "charge")
    assert await shop.may_read(ada)

    answer = await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    assert answer.status_code == 200, answer.text
    await shop.wait_until_idle()

    invoice = await shop.stripe_get(f"/v1/invoices/{owed}")
    assert (invoice["status"], invoice["amount_remaining"]) == ("paid", 0), "nothing stays payable"
    refunds = (await shop.stripe_get("/v1/refunds"))["data"]
    assert [(one["charge"], one["amount"]) for one in refunds] == [(payment["charge"], 20_00)]
    notes = (await shop.stripe_get("/v1/credit_notes", invoice=owed))["data"]
    assert sorted((note["pre_payment_amount"], note["post_payment_amount"]) for note in notes) == [
        (0, 20_00),
        (29_00, 0),
    ]
    assert not await shop.may_read(ada)


async def test_staff_are_told_of_a_part_that_was_paid_outside_stripe(shop: Shop) -> None:
    ada = shop.person()
    owed, payment = await pay_a_part(shop, "payment_record")

    answer = await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    assert answer.status_code == 200, answer.text
    await shop.wait_until_idle()

    assert (await shop.stripe_get(f"/v1/invoices/{owed}"))["amount_remaining"] == 0
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    (case,) = await support_list(shop, "attention")
    assert (case["payment"], case["why"]) == (payment["payment_record"], "paid_outside_stripe")
