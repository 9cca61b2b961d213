"""Guarantee refunds: within 60 days, once for each reader, and with the end of access."""

import asyncio
from datetime import timedelta

import pytest

from tests.support.shop import START_TIME, Shop

DAY_60_ENDS = START_TIME.replace(month=5, day=1, hour=5)  # midnight in Chicago, daylight saving time


async def subscribe(shop: Shop, name: str = "ada", **more: object) -> str:
    """Subscribe a reader, and return the ID of their payment."""
    await shop.subscribe(shop.person(name), **more)  # type: ignore[arg-type]
    (payment,) = (await shop.overview(shop.person(name)))["payments"]
    return str(payment["id"])


async def matching_refunds(shop: Shop, payment: str) -> int:
    """Return the refunds of a payment at Stripe, which must match ours."""
    at_stripe = sum(r["amount"] for r in (await shop.stripe_get("/v1/refunds", payment_intent=payment))["data"])
    ours = await shop.rows(
        "SELECT sum(amount)::int AS given FROM refunds WHERE payment_id = $1 AND status = 'succeeded'", payment
    )
    assert (ours[0]["given"] or 0) == at_stripe
    return int(at_stripe)


async def test_a_guarantee_refund_is_full_ends_access_and_cancels(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe(shop, print_edition=True)
    quote = await shop.quote(payment)
    assert (quote["allowed"], quote["amount"], quote["ends_access"]) == (
        True,
        {"amount": 73_00, "currency": "usd", "formatted": "$73"},
        True,
    )

    refund = await shop.request_refund(payment, amount=73_00)

    assert (refund.status_code, refund.json()["status"]) == (201, "succeeded"), refund.text
    assert (await shop.check(ada))["reason"] == "refunded"
    await shop.wait_until_idle()
    assert await matching_refunds(shop, payment) == 73_00
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    assert held["ended_by"] == "guarantee"
    (note,) = (await shop.stripe_get("/v1/credit_notes"))["data"]
    assert (note["total"], note["refunds"][0]["amount_refunded"]) == (73_00, 73_00)
    made = (await shop.stripe_get("/v1/refunds"))["data"][0]
    assert made["metadata"]["newsstand_refund"] == refund.json()["id"]
    audit = await shop.rows("SELECT actor, action, reason FROM audit_log WHERE action <> 'address.added' ORDER BY id")
    assert [tuple(row.values()) for row in audit] == [
        ("staff:agent", "refund.requested", "requested_by_reader"),
        ("staff:agent", "refund.confirmed", "requested_by_reader"),
    ]
    mine = (await shop.get("/v1/me/subscription", ada)).json()
    assert (mine["status"], mine["guarantee"]["eligible"]) == ("canceled", False)


async def test_a_refund_is_allowed_on_day_60(shop: Shop) -> None:
    payment = await subscribe(shop)
    await shop.advance_to(DAY_60_ENDS - timedelta(seconds=1))

    assert (await shop.request_refund(payment)).status_code == 201


async def test_a_refund_is_rejected_on_day_61(shop: Shop) -> None:
    payment = await subscribe(shop)
    await shop.advance_to(DAY_60_ENDS)

    quote = await shop.quote(payment)
    refused = await shop.request_refund(payment)

    assert (quote["allowed"], quote["reason"]) == (False, "outside_guarantee")
    assert (refused.status_code, refused.json()["code"]) == (409, "outside_guarantee")
    assert await shop.may_read(shop.person())
    assert await matching_refunds(shop, payment) == 0


async def test_a_double_click_causes_one_refund(shop: Shop) -> None:
    payment = await subscribe(shop)

    answers = await asyncio.gather(*(shop.request_refund(payment, key="the-same-click") for _ in range(8)))
    await shop.wait_until_idle()

    assert {a.status_code for a in answers} <= {201, 409}
    assert len({a.json()["id"] for a in answers if a.status_code == 201}) == 1
    assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"idempotency_key_in_use"}
    assert await matching_refunds(shop, payment) == 49_00
    again = await shop.request_refund(payment, key="the-same-click")
    assert (again.status_code, again.json()) == (201, next(a.json() for a in answers if a.status_code == 201))


async def test_fifty_clicks_of_two_agents_cause_one_refund(shop: Shop) -> None:
    payment = await subscribe(shop)
    agents = [shop.person("agent", roles=("support",)), shop.person("agnes", roles=("support",))]

    answers = await asyncio.gather(
        *(shop.request_refund(payment, key=f"click-{i}", by=agents[i % 2]) for i in range(50))
    )
    await shop.wait_until_idle()

    accepted = [
        a for a in answers if a.status_code in {201, 202}
    ]  # 202: the request took longer than a lease, and a worker continued
    assert len(accepted) == 1
    assert {a.json()["code"] for a in answers if a not in accepted} <= {"refund_in_progress", "nothing_to_refund"}
    assert await matching_refunds(shop, payment) == 49_00
    assert len(await shop.stripe_requests("POST", "/v1/refunds")) == 1


@pytest.mark.parametrize("action", [{"action": "drop"}, {"action": "status", "status": 500}], ids=["lost", "a fault"])
async def test_a_refund_is_paid_once_if_stripes_response_is_lost(shop: Shop, action: dict[str, object]) -> None:
    payment = await subscribe(shop)
    await shop.add_fault(method="POST", path="/v1/refunds", when="after", times=1, **action)

    refund = await shop.request_refund(payment)
    await shop.wait_until_idle()

    assert refund.status_code in {201, 202}, refund.text
    assert await matching_refunds(shop, payment) == 49_00
    assert (await shop.check(shop.person()))["reason"] == "refunded"


async def test_a_refund_that_failed_at_stripe_is_retried_under_another_key(shop: Shop) -> None:
    payment = await subscribe(shop)
    await shop.add_fault(method="POST", path="/v1/refunds", when="before", action="status", status=500, times=3)

    refund = await shop.request_refund(payment)
    await shop.wait_until_idle()

    assert refund.status_code in {201, 202}, refund.text
    assert await matching_refunds(shop, payment) == 49_00


async def test_a_refund_is_completed_after_an_outage_of_stripe(shop: Shop) -> None:
    payment = await subscribe(shop)
    fault = await shop.add_fault(method="*", path="/v1/*", when="before", action="drop", times=1000)

    refund = await shop.request_refund(payment)
    assert (refund.status_code, refund.json()["status"]) == (202, "processing")
    assert await shop.may_read(shop.person()), "the refund is not confirmed yet"
    other = await shop.request_refund(payment, key="another-click")
    assert (other.status_code, other.json()["code"]) == (409, "refund_in_progress")
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.wait_until_idle()

    assert await matching_refunds(shop, payment) == 49_00
    assert (await shop.check(shop.person()))["reason"] == "refunded"


async def test_the_guarantee_applies_once_per_reader(shop: Shop) -> None:
    await shop.request_refund(await subscribe(shop))
    await shop.wait_until_idle()
    await shop.subscribe(shop.person())
    paid = (await shop.overview(shop.person()))["payments"]
    (second,) = (payment["id"] for payment in paid if payment["refunded"]["amount"] == 0)

    refused = await shop.request_refund(second, key="click-2")

    assert (refused.status_code, refused.json()["code"]) == (409, "guarantee_used")
    assert await shop.may_read(shop.person())


async def test_a_full_dashboard_refund_has_the_same_consequences(shop: Shop) -> None:
    payment = await subscribe(shop)

    await shop.stripe_post("/v1/refunds", payment_intent=payment)
    await shop.wait_until_idle()

    assert (await shop.check(shop.person()))["reason"] == "refunded"
    (held,) = (await shop.overview(shop.person()))["subscriptions"]
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"


async def test_a_payment_just_refunded_in_the_dashboard_is_not_refunded_again(shop: Shop) -> None:
    payment = await subscribe(shop)
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.stripe_post("/v1/refunds", payment_intent=payment)

    refused = await shop.request_refund(payment)

    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_refund")
    (row,) = await shop.rows("SELECT status, failure_reason, due_at FROM refunds")
    assert tuple(row.values()) == ("failed", "nothing_to_refund", None)
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.wait_until_idle()
    assert await matching_refunds(shop, payment) == 49_00
    assert (await shop.check(shop.person()))["reason"] == "refunded"


async def test_a_partial_dashboard_refund_reduces_only_the_refundable_amount(shop: Shop) -> None:
    payment = await subscribe(shop)

    await shop.stripe_post("/v1/refunds", payment_intent=payment, amount="1000")
    await shop.wait_until_idle()

    assert await shop.may_read(shop.person())
    assert (await shop.quote(payment))["amount"]["amount"] == 39_00
    stale = await shop.request_refund(payment, amount=49_00)
    assert (stale.status_code, stale.json()["code"]) == (409, "quote_changed")
    assert (await shop.request_refund(payment, amount=39_00, key="click-2")).status_code == 201
    await shop.wait_until_idle()
    assert await matching_refunds(shop, payment) == 49_00


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        pytest.param({"expected_amount": {"amount": 1, "currency": "usd"}}, 409, "quote_changed", id="outdated quote"),
        pytest.param(
            {"expected_amount": {"amount": 4900, "currency": "eur"}}, 422, "other_currency", id="other currency"
        ),
        pytest.param({"expected_amount": {"amount": -1, "currency": "usd"}}, 422, "validation_failed", id="negative"),
        pytest.param({"payment": "pi_nobodys"}, 404, "not_found", id="unknown payment"),
        pytest.param({"basis": "because"}, 422, "validation_failed", id="unknown basis"),
        pytest.param({"reason": " "}, 422, "validation_failed", id="empty reason"),
        pytest.param({"reason": "x" * 10_000}, 422, "validation_failed", id="reason of 10,000 characters"),
    ],
)
async def test_an_invalid_refund_request_moves_no_money(
    shop: Shop, change: dict[str, object], status: int, code: str
) -> None:
    payment = await subscribe(shop)
    body = {
        "payment": payment,
        "basis": "guarantee",
        "reason": "requested_by_reader",
        "expected_amount": {"amount": 49_00, "currency": "usd"},
        **change,
    }

    refused = await shop.post("/v1/support/refunds", shop.agent, body, **{"Idempotency-Key": "k"})

    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    assert await matching_refunds(shop, payment) == 0
    assert await shop.may_read(shop.person())


async def test_a_refund_requires_a_key_that_belongs_to_one_request(shop: Shop) -> None:
    payment = await subscribe(shop)
    body = {
        "payment": payment,
        "basis": "guarantee",
        "reason": "requested_by_reader",
        "expected_amount": {"amount": 49_00, "currency": "usd"},
    }

    without = await shop.post("/v1/support/refunds", shop.agent, body)
    assert (without.status_code, without.json()["code"]) == (400, "idempotency_key_required")
    assert (await shop.request_refund(payment, key="k")).status_code == 201
    reused = await shop.post("/v1/support/refunds", shop.agent, {**body, "note": "x"}, **{"Idempotency-Key": "k"})
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_refund_requires_the_support_role(shop: Shop) -> None:
    payment = await subscribe(shop)

    refused = await shop.request_refund(payment, by=shop.person())

    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    assert (await shop.get(f"/v1/support/payments/{payment}/refund-quote", shop.person())).status_code == 403
    assert await matching_refunds(shop, payment) == 0


async def test_a_reader_can_refund_their_own_payment_once(shop: Shop) -> None:
    ada = shop.person()
    payment = await subscribe(shop)
    quote = (await shop.get("/v1/me/refund-quote", ada)).json()
    assert (quote["payment"], quote["allowed"], quote["amount"]["amount"]) == (payment, True, 49_00)

    body = {"expected_amount": quote["amount"]}
    clicks = await asyncio.gather(
        *(shop.post("/v1/me/refunds", ada, body, **{"Idempotency-Key": f"k{i}"}) for i in range(5))
    )
    await shop.wait_until_idle()

    assert len([click for click in clicks if click.status_code in {201, 202}]) == 1
    assert await matching_refunds(shop, payment) == 49_00
    assert (await shop.check(ada))["reason"] == "refunded"
    after = (await shop.get("/v1/me/refund-quote", ada)).json()
    assert (after["allowed"], after["reason"]) == (False, "nothing_to_refund")
    requested = await shop.rows("SELECT actor FROM audit_log WHERE action = 'refund.requested'")
    (reader,) = await shop.rows("SELECT id FROM subscribers")
    assert [row["actor"] for row in requested] == [f"reader:{reader['id']}"]


async def test_a_reader_without_a_payment_has_nothing_to_refund(shop: Shop) -> None:
    bob = shop.person("bob")

    assert (await shop.get("/v1/me/refund-quote", bob)).json()["code"] == "no_subscription"
    body = {"expected_amount": {"amount": 1, "currency": "usd"}}
    refused = await shop.post("/v1/me/refunds", bob, body, **{"Idempotency-Key": "k"})
    assert (refused.status_code, refused.json()["code"]) == (404, "no_subscription")
