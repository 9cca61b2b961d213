"""Money and access stay correct while Stripe is slow, returns errors or is unavailable."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.refunds.test_guarantee import matching_refunds, subscribe
from tests.support.failing_stripe import wait_for_failed_event
from tests.support.shop import Shop, open_shop


@pytest.fixture
async def short_lease_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a shop with short leases and at most two attempts for each event."""
    async with open_shop(database, sandbox, issuer, lease=timedelta(seconds=1), event_attempts=2) as opened:
        yield opened


async def test_a_refund_slower_than_a_lease_is_paid_and_recorded_once(short_lease_shop: Shop) -> None:
    payment = await subscribe(short_lease_shop)
    await short_lease_shop.add_fault(method="POST", path="/v1/refunds", when="after", action="hold", seconds=4, times=1)

    refund = await short_lease_shop.request_refund(payment)
    await short_lease_shop.wait_until_idle()

    assert refund.status_code in {201, 202}, refund.text
    assert await matching_refunds(short_lease_shop, payment) == 49_00
    (row,) = await short_lease_shop.rows("SELECT status FROM refunds")
    assert row["status"] == "succeeded"
    assert (await short_lease_shop.quote(payment))["allowed"] is False
    actions = [r["action"] for r in await short_lease_shop.rows("SELECT action FROM audit_log ORDER BY id")]
    assert actions == ["refund.requested", "refund.confirmed"]


async def test_an_outage_longer_than_all_retries_leaves_no_event_dead(short_lease_shop: Shop) -> None:
    ada = short_lease_shop.person()
    opened = (await short_lease_shop.open_checkout(ada)).json()
    fault = await short_lease_shop.add_fault(method="GET", path="/v1/*", when="before", action="drop", times=None)
    await short_lease_shop.pay_checkout(opened["url"])
    for _ in range(4):
        await wait_for_failed_event(short_lease_shop)
        await short_lease_shop.execute("UPDATE events SET due_at = now() WHERE due_at IS NOT NULL")
    await short_lease_shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await short_lease_shop.execute("UPDATE events SET due_at = now() WHERE due_at IS NOT NULL")
    await short_lease_shop.wait_until_idle()

    assert await short_lease_shop.rows("SELECT * FROM events WHERE state = 'dead'") == []
    assert await short_lease_shop.may_read(ada)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("path", ["/v1/customers", "/v1/checkout/sessions"])
async def test_a_checkout_works_after_one_error_of_stripe(shop: Shop, path: str, when: str) -> None:
    ada = shop.person()
    await shop.add_fault(method="POST", path=path, when=when, action="status", status=500, times=1)

    first = await shop.open_checkout(ada)
    again = await shop.open_checkout(ada)

    assert first.status_code in {201, 503}, first.text
    assert again.status_code == 201, again.text
    assert len(await shop.stripe_customers()) == 1
    await shop.pay_checkout(again.json()["url"])
    await shop.wait_until_idle()
    assert await shop.may_read(ada)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_cancellation_works_after_one_error_of_stripe(shop: Shop, when: str) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.add_fault(method="POST", path="/v1/subscriptions/*", when=when, action="status", status=500, times=1)

    first = await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    again = await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})

    assert first.status_code in {200, 503}, first.text
    assert again.status_code == 200, again.text
    assert again.json()["ends_at"] is not None
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["cancel_at_period_end"] is True


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_reader_can_change_their_choice_after_one_error_of_stripe(shop: Shop, when: str) -> None:
    ada = shop.person()
    await shop.open_checkout(ada)
    await shop.add_fault(
        method="POST", path="/v1/checkout/sessions/*/expire", when=when, action="status", status=500, times=1
    )

    for _ in range(2):
        other = await shop.open_checkout(ada, print_edition=True)

    assert other.status_code == 201, other.text
    sessions = (await shop.stripe_get("/v1/checkout/sessions"))["data"]
    assert sorted(session["status"] for session in sessions) == ["expired", "open"]


async def test_a_cancellation_calls_stripe_even_if_our_copy_is_canceled(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    await shop.wait_until_idle()
    (held,) = (await shop.overview(ada))["subscriptions"]
    path = f"/v1/subscriptions/{held['stripe_id']}"
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.stripe_post(path, cancel_at_period_end="false")

    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})

    assert (await shop.stripe_get(path))["cancel_at_period_end"] is True


async def test_reading_an_old_checkout_makes_no_calls_to_stripe(shop: Shop) -> None:
    ada = shop.person()
    session = await shop.subscribe(ada)
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    await shop.wait_until_idle()
    await shop.stripe.delete("/_sandbox/requests")

    looks = await asyncio.gather(*(shop.get(f"/v1/checkout-sessions/{session}", ada) for _ in range(20)))

    assert {look.status_code for look in looks} == {200}
    asked = (await shop.stripe.get("/_sandbox/requests")).json()["data"]
    assert [one for one in asked if not one["path"].startswith("/v1/test_helpers")] == []


async def test_another_products_checkout_on_the_same_account_is_ignored(shop: Shop) -> None:
    mugs = await shop.stripe_post("/v1/products", name="Mugs")
    price = await shop.stripe_post(
        "/v1/prices", unit_amount="100", currency="usd", product=mugs["id"], **{"recurring[interval]": "year"}
    )
    session = await shop.stripe_post(
        "/v1/checkout/sessions",
        mode="subscription",
        success_url="https://example.com/",
        **{"line_items[0][price]": price["id"], "line_items[0][quantity]": "1"},
    )
    await shop.stripe_post(f"/v1/checkout/sessions/{session['id']}/expire")
    await shop.wait_until_idle()

    (row,) = await shop.rows("SELECT state FROM events WHERE type = 'checkout.session.expired'")
    assert row["state"] == "ignored"


NUL = "a\x00b"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/support/payments/%00/refund-quote",
        "/v1/support/subscribers/%00",
        "/v1/support/subscribers?q=%00",
        "/v1/support/subscribers?q=a&after=%00",
        "/v1/checkout-sessions/%00",
    ],
)
async def test_a_nul_in_a_url_is_rejected(shop: Shop, path: str) -> None:
    refused = await shop.http.get(path, headers=dict(shop.agent.headers))

    assert (refused.status_code, refused.json()["code"]) == (400, "malformed_request")


async def test_a_nul_in_a_body_is_rejected(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    money = {"amount": 49_00, "currency": "usd"}
    refund = {"payment": "pi_1", "basis": "guarantee", "reason": "x", "expected_amount": money}

    refusals = [
        await shop.post("/v1/me/subscription/cancel", ada, {"when": "now", "reason": NUL}),
        await shop.post("/v1/me/subscription/cancel", ada, {"when": "now", "comment": NUL}),
        await shop.open_checkout(ada, plan=NUL),
        *[
            await shop.post("/v1/support/refunds", shop.agent, {**refund, field: NUL}, **{"Idempotency-Key": "k"})
            for field in ("payment", "reason", "note")
        ],
    ]

    assert {(refused.status_code, refused.json()["code"]) for refused in refusals} == {(422, "validation_failed")}
    assert await shop.may_read(ada)
