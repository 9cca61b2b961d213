"""Pending and failed refunds are shown with their status and checked until it is final."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.disputes.test_disputes import access_reason, subscribe, support_list
from tests.support.refunds import GOODWILL, GUARANTEE, check_books, get_quotes, request_refund
from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT

PENDING_CARD = "4000000000007726"


async def set_refund_status(shop: Shop, refund: str, status: str) -> None:
    """Change the status of a refund at the bank; the event about it is lost."""
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    done = await shop.stripe.post(f"/_sandbox/refunds/{refund}", json={"status": status})
    assert done.status_code == 200, done.text
    await shop.stripe.delete("/_sandbox/deliveries")
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})


async def run_hourly_check(shop: Shop, status: str) -> None:
    """Make the hourly check of a pending refund due, and wait until it is done."""
    (waits,) = await shop.rows("SELECT due_at - now() AS left FROM refunds WHERE due_at IS NOT NULL")
    assert timedelta(minutes=30) < waits["left"] <= timedelta(hours=1)
    await shop.execute("UPDATE refunds SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.wait_until(f"SELECT count(*) = 1 FROM refunds WHERE status = '{status}'")
    await shop.wait_until_idle()


async def read_refund(shop: Shop, refund: str) -> dict[str, Any]:
    return dict((await shop.get(f"/v1/support/refunds/{refund}", shop.agent)).json())


async def test_a_pending_refund_ends_access_and_is_checked_every_hour(
    shop: Shop,
) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"refund_seconds": 30 * 86400})
    ada = shop.person()
    payment = await subscribe(shop, ada, card=PENDING_CARD)

    answer = await request_refund(shop, payment, GUARANTEE, 49_00, key="click")
    await shop.wait_until_idle()
    refund = answer.json()["id"]
    (stripe_id,) = [r["id"] for r in (await shop.stripe_get("/v1/refunds"))["data"]]

    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert await access_reason(shop, ada) == (False, "refunded")
    quotes = await get_quotes(shop, payment)
    assert {basis: quotes[basis]["reason"] for basis in (GUARANTEE, GOODWILL)} == {
        GUARANTEE: "nothing_to_refund",
        GOODWILL: "nothing_to_refund",
    }
    assert [one["id"] for one in await support_list(shop, "refunds", status="pending")] == [refund]
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"

    await set_refund_status(shop, stripe_id, "requires_action")
    await run_hourly_check(shop, "requires_action")
    assert [one["id"] for one in await support_list(shop, "refunds", status="requires_action")] == [refund]
    (of_reader,) = (await shop.overview(ada))["refunds"]
    assert of_reader["status"] == "requires_action"
    again = await request_refund(shop, payment, GUARANTEE, 49_00, key="another")
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_refund")

    await set_refund_status(shop, stripe_id, "succeeded")
    await run_hourly_check(shop, "succeeded")
    assert (await read_refund(shop, refund))["status"] == "succeeded"
    assert await check_books(shop, payment) == 49_00
    assert await shop.rows("SELECT id FROM refunds WHERE due_at IS NOT NULL") == [], (
        "a final refund is not checked again"
    )
    assert len(await shop.stripe_requests("POST", "/v1/refunds")) == 1


@pytest.mark.parametrize(
    ("path", "end"),
    [(("failed",), "failed"), (("requires_action", "canceled"), "canceled")],
    ids=["failed", "canceled"],
)
async def test_a_failed_refund_is_shown_to_staff_and_can_be_repeated(
    shop: Shop, path: tuple[str, ...], end: str
) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"refund_seconds": 30 * 86400})
    ada = shop.person()
    payment = await subscribe(shop, ada, card=PENDING_CARD)
    refund = (await request_refund(shop, payment, GUARANTEE, 49_00, key="click")).json()["id"]
    await shop.wait_until_idle()
    (first,) = (await shop.stripe_get("/v1/refunds"))["data"]

    for status in path:
        await set_refund_status(shop, first["id"], status)
        await run_hourly_check(shop, status)

    assert (await read_refund(shop, refund))["status"] == end
    assert [(item["kind"], item["id"]) for item in await support_list(shop, "attention")] == [("refund_failed", refund)]
    assert await access_reason(shop, ada) == (False, "refund_failed"), "as the reader is notified"
    assert (await get_quotes(shop, payment))[GUARANTEE]["amount"]["amount"] == 49_00
    response = await request_refund(shop, payment, GUARANTEE, 49_00, key="again")
    await shop.wait_until_idle()
    assert response.status_code == 201, response.text
    assert await support_list(shop, "attention") == []
    # The credit note of the first refund stays and serves for the second.
    (note,) = (await shop.stripe_get("/v1/credit_notes"))["data"]
    assert (await read_refund(shop, response.json()["id"]))["credit_note"] == note["id"]
    assert sorted(r["status"] for r in (await shop.stripe_get("/v1/refunds"))["data"]) == sorted([end, "pending"])
    entries = await shop.rows("SELECT action FROM audit_log WHERE object_id = $1 ORDER BY id", refund)
    assert [row["action"] for row in entries] == ["refund.requested", "refund.confirmed", "refund.failed"]


async def test_a_manual_refund_at_stripe_is_credited_and_audited(shop: Shop) -> None:
    ada, bea, cyd = (shop.person(name) for name in ("ada", "bea", "cyd"))
    whole, part, noted = [await subscribe(shop, one) for one in (ada, bea, cyd)]

    await shop.stripe_post("/v1/refunds", payment_intent=whole)
    await shop.stripe_post("/v1/refunds", payment_intent=part, amount="1000")
    (paid,) = await shop.rows("SELECT invoice_id FROM payments WHERE id = $1", noted)
    by_hand = await shop.stripe_post(
        "/v1/credit_notes", invoice=paid["invoice_id"], amount="4900", refund_amount="4900", reason="order_change"
    )
    await shop.wait_until_idle()

    # A plain refund does not change the invoice, so a credit note is created; an existing one is kept.
    assert [await check_books(shop, payment) for payment in (whole, part, noted)] == [49_00, 10_00, 49_00]
    rows = await shop.rows("SELECT payment_id, basis, credit_note_id, requested_by FROM refunds")
    assert {(row["basis"], row["requested_by"]) for row in rows} == {("dashboard", "stripe")}
    assert {row["payment_id"]: row["credit_note_id"] for row in rows}[noted] == by_hand["id"]
    assert len((await shop.stripe_get("/v1/credit_notes"))["data"]) == 3
    entries = await shop.rows("SELECT actor, action, reason, after FROM audit_log WHERE action LIKE 'refund.%'")
    assert {(row["actor"], row["action"], row["reason"]) for row in entries} == {
        ("stripe", "refund.confirmed", "made_in_stripe")
    }
    assert sorted('"ended": true' in row["after"] for row in entries) == [False, True, True]
    assert [await access_reason(shop, one) for one in (ada, bea, cyd)] == [
        (False, "refunded"),
        (True, "paid_term"),
        (False, "refunded"),
    ]
    over = [(await shop.overview(one))["subscriptions"][0] for one in (ada, bea, cyd)]
    assert [one["ended_by"] for one in over] == ["dashboard", None, "dashboard"]
    assert [(await shop.stripe_get(f"/v1/subscriptions/{one['stripe_id']}"))["status"] for one in over] == [
        "canceled",
        "active",
        "canceled",
    ]
    assert (await get_quotes(shop, part))[GOODWILL]["amount"]["amount"] == 39_00


async def test_a_declined_credit_note_is_retried_every_hour_until_resolved(
    shop: Shop,
) -> None:
    ada, bea = shop.person(), shop.person("bea")
    payment, other = await subscribe(shop, ada), await subscribe(shop, bea)
    fault = await shop.add_fault(
        method="POST", path="/v1/credit_notes", when="before", action="status", status=400, times=None
    )
    for number, paid in enumerate((payment, other)):
        assert (await request_refund(shop, paid, GOODWILL, 10_00, key=f"{number}")).status_code == 201
    await shop.wait_until("SELECT count(*) = 2 FROM refunds WHERE attempts > 0")

    async with asyncio.timeout(TIMEOUT):  # several delays end at the same time
        while (await shop.rows("SELECT count(*) AS n FROM refunds WHERE attention IS NOT NULL"))[0]["n"] < 2:
            await shop.execute(
                "UPDATE refunds SET due_at = now(), attempts = 20 WHERE attention IS NULL AND due_at > now()"
            )
            await asyncio.sleep(0.05)
    items = await support_list(shop, "attention")
    assert {(item["kind"], item["payment"]) for item in items} == {("credit_note", payment), ("credit_note", other)}
    assert all("Stripe declined the credit note" in item["why"] for item in items)
    attended = await support_list(shop, "refunds", attention="true")
    assert {one["payment"] for one in attended} == {payment, other}

    (seen_to,) = [item["id"] for item in items if item["payment"] == other]
    done = {"reason": "Credited by hand in the accounts."}
    assert (await shop.post(f"/v1/support/attention/{seen_to}/dismiss", shop.agent, done)).status_code == 204
    await shop.execute("UPDATE refunds SET due_at = now()")
    await shop.wait_until("SELECT count(*) = 0 FROM refunds WHERE due_at < now() + interval '30 minutes'")
    (due,) = await shop.rows("SELECT payment_id FROM refunds WHERE due_at IS NOT NULL")
    assert due["payment_id"] == payment, "a resolved item is not retried"

    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE refunds SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.wait_until("SELECT count(*) = 1 FROM refunds WHERE credit_note_id IS NOT NULL AND attention IS NULL")
    await shop.wait_until_idle()
    assert await support_list(shop, "attention") == []
    assert await check_books(shop, payment) == 10_00
