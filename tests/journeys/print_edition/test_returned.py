"""What is returned of renewals that billed print although it had been dropped: once, and nothing that went back already."""

from datetime import timedelta

from tests.journeys.disputes.test_disputes import bank_action
from tests.support.print_edition import give_credit, items, put, quote
from tests.support.shop import START_TIME, Shop

DIGITAL = "newsstand_annual_digital"
RENEWAL = START_TIME.replace(year=2027)


async def _drop_while_stripe_fails(shop: Shop) -> str:
    """Drop print of a new subscription half an hour before it renews, while Stripe can't take it away. Return the fault."""
    await shop.plan_issues(90)
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(RENEWAL - timedelta(minutes=30))
    quoted = await quote(shop, ada)
    fault = await shop.add_fault(method="POST", path="/v1/subscriptions/*", action="status", status=500, times=None)
    answer = await put(shop, ada, enabled=False, amount=quoted["amount"]["amount"])
    assert (answer.status_code, answer.json()["status"]) == (202, "processing"), answer.text
    await shop.execute("UPDATE print_changes SET due_at = now() + interval '1 day'")
    return fault


async def _complete(shop: Shop, fault: str) -> None:
    """Let Stripe respond again, and complete the change."""
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until("SELECT bool_and(status = 'completed') FROM print_changes")
    await shop.wait_until_idle()


async def _renewals(shop: Shop) -> list[str]:
    """Return the invoices of the renewals, the earliest first."""
    listed = (await shop.stripe_get("/v1/invoices"))["data"]
    return [one["id"] for one in reversed(listed) if one["billing_reason"] == "subscription_cycle"]


async def test_a_share_that_staff_returned_outside_stripe_is_not_refunded_again(shop: Shop) -> None:
    fault = await _drop_while_stripe_fails(shop)
    await shop.advance_to(RENEWAL + timedelta(hours=3))
    (renewal,) = await _renewals(shop)
    note = {"invoice": renewal, "amount": "2400", "out_of_band_amount": "2400"}
    await shop.stripe_post("/v1/credit_notes", **note)
    await shop.wait_until_idle()

    await _complete(shop, fault)

    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    assert await items(shop) == [DIGITAL]
    (_, renewed) = await shop.rows("SELECT copies::text, refunded_as FROM terms ORDER BY starts_at")
    assert tuple(renewed.values()) == ("{}", None)


async def test_a_renewal_that_a_lost_dispute_took_is_not_refunded(shop: Shop) -> None:
    fault = await _drop_while_stripe_fails(shop)
    await shop.advance_to(RENEWAL + timedelta(hours=3))
    (charge, _) = (await shop.stripe_get("/v1/charges"))["data"]
    dispute = await bank_action(shop, f"charges/{charge['id']}/dispute")
    await bank_action(shop, f"disputes/{dispute['id']}", status="lost")

    await _complete(shop, fault)

    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    (_, renewed) = await shop.rows("SELECT refunded_as FROM terms ORDER BY starts_at")
    assert renewed["refunded_as"] == "dispute_lost"


async def test_two_renewals_that_billed_dropped_print_are_both_returned(shop: Shop) -> None:
    fault = await _drop_while_stripe_fails(shop)
    await give_credit(shop, 73_00 + 10_00)  # pays the first renewal, and a part of the second
    await shop.advance_to(RENEWAL + timedelta(hours=3))
    await shop.advance_to(RENEWAL.replace(year=2028) + timedelta(hours=3))
    first, second = await _renewals(shop)

    await _complete(shop, fault)

    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    notes = (await shop.stripe_get("/v1/credit_notes"))["data"]
    returned = {one["invoice"]: one["amount"] for one in notes if one["customer_balance_transaction"] is not None}
    assert returned[first] == 24_00
    assert 24_00 - 1 <= refund["amount"] + returned[second] <= 24_01
    terms = await shop.rows("SELECT copies::text FROM terms ORDER BY starts_at")
    assert [one["copies"] for one in terms[1:]] == ["{}", "{}"]
