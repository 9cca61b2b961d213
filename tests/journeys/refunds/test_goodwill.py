"""Goodwill refunds: part of a payment, with a reason, and with approval above a limit."""

import asyncio

import httpx2

from tests.journeys.refunds.test_guarantee import matching_refunds, subscribe
from tests.support.shop import Person, Shop


async def request_goodwill(
    shop: Shop, payment: str, amount: int, *, key: str, by: Person | None = None, **more: object
) -> httpx2.Response:
    """Request a goodwill refund as support."""
    money = {"amount": amount, "currency": "usd"}
    body = {
        "payment": payment,
        "basis": "goodwill",
        "amount": money,
        "reason": "copies_missing",
        "expected_amount": money,
        **more,
    }
    return await shop.post("/v1/support/refunds", by or shop.agent, body, **{"Idempotency-Key": key})


async def approve(shop: Shop, refund: str, by: Person, *, key: str = "approve") -> httpx2.Response:
    """Approve a refund as the second person."""
    return await shop.post(f"/v1/support/refunds/{refund}/approve", by, **{"Idempotency-Key": key})


async def test_goodwill_refunds_never_exceed_the_payment(shop: Shop) -> None:
    payment = await subscribe(shop)

    first = await request_goodwill(shop, payment, 20_00, key="a")
    await shop.wait_until_idle()  # until Stripe's event is processed, the next request gets 202
    second = await request_goodwill(shop, payment, 25_00, key="b")
    beyond = await request_goodwill(shop, payment, 5_00, key="c")
    boss = shop.person("boss", roles=("supervisor",))
    approved = await approve(shop, second.json()["id"], boss)

    assert (first.status_code, second.status_code, approved.status_code) == (201, 202, 201), approved.text
    assert (beyond.status_code, beyond.json()["code"], beyond.json()["left"]) == (409, "refund_too_large", 4_00)
    await shop.wait_until_idle()
    assert await matching_refunds(shop, payment) == 45_00
    assert await shop.may_read(shop.person()), "goodwill changes neither access nor the subscription"
    notes = (await shop.stripe_get("/v1/credit_notes"))["data"]
    assert sorted(note["total"] for note in notes) == [20_00, 25_00]


async def test_goodwill_above_the_limit_requires_approval(shop: Shop) -> None:
    payment = await subscribe(shop)
    boss, other = shop.person("boss", roles=("supervisor",)), shop.person("other", roles=("supervisor",))

    asked = await request_goodwill(shop, payment, 30_00, key="a", by=boss)
    assert (asked.status_code, asked.json()["status"]) == (202, "awaiting_approval"), asked.text
    assert await matching_refunds(shop, payment) == 0
    refund = asked.json()["id"]
    reserved = await request_goodwill(shop, payment, 20_00, key="b")
    assert (reserved.json()["code"], reserved.json()["left"]) == ("refund_too_large", 19_00)
    own, without = await approve(shop, refund, boss), await approve(shop, refund, shop.agent)
    assert (own.status_code, own.json()["code"]) == (403, "own_request")
    assert (without.status_code, without.json()["code"]) == (403, "not_allowed")
    listed = (await shop.get("/v1/support/refunds", shop.agent, status="awaiting_approval")).json()["data"]
    assert [one["id"] for one in listed] == [refund]

    clicks = await asyncio.gather(*(approve(shop, refund, other, key=f"k{i}") for i in range(6)))
    await shop.wait_until_idle()

    assert {click.status_code for click in clicks} <= {201, 202}, [click.text for click in clicks]
    assert await matching_refunds(shop, payment) == 30_00
    assert len(await shop.stripe_requests("POST", "/v1/refunds")) == 1
    shown = (await shop.get(f"/v1/support/refunds/{refund}", shop.agent)).json()
    assert (shown["status"], shown["decided_by"]) == ("succeeded", "staff:other")
    again = await shop.post(f"/v1/support/refunds/{refund}/reject", other)
    assert (again.status_code, again.json()["code"]) == (409, "not_awaiting_approval")


async def test_a_rejected_request_frees_its_amount(shop: Shop) -> None:
    payment = await subscribe(shop)
    boss = shop.person("boss", roles=("supervisor",))
    rejected = (await request_goodwill(shop, payment, 40_00, key="a")).json()["id"]
    assert (await shop.post(f"/v1/support/refunds/{rejected}/reject", boss, {"note": "no"})).json()[
        "status"
    ] == "rejected"

    waiting = (await request_goodwill(shop, payment, 40_00, key="b")).json()["id"]
    await shop.stripe_post("/v1/refunds", payment_intent=payment, amount="2000")
    await shop.wait_until_idle()
    stale = await approve(shop, waiting, boss)

    assert (stale.status_code, stale.json()["code"]) == (409, "quote_changed"), stale.text
    assert await matching_refunds(shop, payment) == 20_00


async def test_a_guarantee_refund_replaces_pending_goodwill(shop: Shop) -> None:
    payment = await subscribe(shop)
    waiting = (await request_goodwill(shop, payment, 40_00, key="a")).json()["id"]

    whole = await shop.request_refund(payment, key="b")
    await shop.wait_until_idle()

    assert whole.status_code in {201, 202}, whole.text
    assert await matching_refunds(shop, payment) == 49_00
    late = await approve(shop, waiting, shop.person("boss", roles=("supervisor",)))
    assert (late.status_code, late.json()["code"], late.json()["status"]) == (409, "not_awaiting_approval", 409)


async def test_an_invalid_goodwill_request_moves_no_money(shop: Shop) -> None:
    payment = await subscribe(shop)
    dollar, euro = {"amount": 1_00, "currency": "usd"}, {"amount": 1_00, "currency": "eur"}

    for change, code in (
        ({"amount": {"amount": 0, "currency": "usd"}}, "validation_failed"),
        ({"amount": {"amount": -1, "currency": "usd"}}, "validation_failed"),
        ({"amount": None}, "validation_failed"),
        ({"reason": "other"}, "validation_failed"),
        ({"note": "x" * 2001}, "validation_failed"),
        ({"amount": euro, "expected_amount": euro}, "other_currency"),
        ({"amount": {"amount": 49_01, "currency": "usd"}}, "refund_too_large"),
        ({"expected_amount": {"amount": 2_00, "currency": "usd"}}, "quote_changed"),
        ({"payment": "pi_nobodys"}, "not_found"),
    ):
        asked = {"payment": payment, "basis": "goodwill", "amount": dollar, "reason": "copies_missing"}
        body = {**asked, "expected_amount": dollar, **change}
        refused = await shop.post("/v1/support/refunds", shop.agent, body, **{"Idempotency-Key": "k"})
        assert refused.json()["code"] == code, (change, refused.text)
    assert await matching_refunds(shop, payment) == 0


async def test_an_automatic_refund_replaces_pending_goodwill(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe(shop)
    assert (await request_goodwill(shop, payment, 10_00, key="a")).status_code == 201
    await shop.wait_until_idle()
    waiting = (await request_goodwill(shop, payment, 30_00, key="b")).json()["id"]

    charge = (await shop.stripe_get(f"/v1/payment_intents/{payment}"))["latest_charge"]
    await shop.stripe.post(f"/_sandbox/charges/{charge}/warn", json={})
    await shop.wait_until_idle()

    assert await matching_refunds(shop, payment) == 49_00
    rows = await shop.rows("SELECT basis, amount, status FROM refunds ORDER BY created_at, id")
    assert sorted(tuple(row.values()) for row in rows) == [
        ("fraud_warning", 39_00, "succeeded"),
        ("goodwill", 10_00, "succeeded"),
        ("goodwill", 30_00, "withdrawn"),
    ]
    late = await approve(shop, waiting, shop.person("boss", roles=("supervisor",)))
    assert (late.status_code, late.json()["code"]) == (409, "not_awaiting_approval")
    assert not await shop.may_read(ada)
