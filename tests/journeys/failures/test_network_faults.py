"""Network faults between Stripe and Newsstand: under each one a reader subscribes, reads and is refunded once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.refunds.test_guarantee import matching_refunds
from tests.support.failing_stripe import click_until
from tests.support.shop import Person, Shop, open_shop
from tests.support.timeouts import TIMEOUT


@pytest.fixture
async def short_timeout_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a shop whose calls to Stripe time out after a second."""
    async with open_shop(database, sandbox, issuer, stripe_timeout=timedelta(seconds=1)) as opened:
        yield opened


async def wait_for_access(shop: Shop, by: Person, reason: str) -> None:
    """Wait until a reader's access has the given reason; make delayed work due now."""
    async with asyncio.timeout(TIMEOUT):
        while (await shop.check(by))["reason"] != reason:
            await shop.execute("UPDATE events SET due_at = now() WHERE due_at > now()")
            await shop.execute("UPDATE refunds SET due_at = now() WHERE due_at > now()")
            await asyncio.sleep(0.1)


async def subscribe_and_refund(shop: Shop, *, return_page: bool = False) -> str:
    """Subscribe, read and refund. Return the payment."""
    ada = shop.person()
    opened = (await click_until(lambda: shop.open_checkout(ada), 201)).json()
    assert (await shop.pay_checkout(opened["url"])).status_code == 303
    if return_page:
        await click_until(lambda: shop.get(f"/v1/checkout-sessions/{opened['id']}", ada), 200)
    await wait_for_access(shop, ada, "paid_term")
    payment = str((await shop.overview(ada))["payments"][0]["id"])
    await click_until(lambda: shop.request_refund(payment), 201, 202)
    await wait_for_access(shop, ada, "refunded")
    return payment


async def check_records(shop: Shop, payment: str) -> None:
    """Remove the faults, and compare our records with Stripe's."""
    await shop.stripe.delete("/_sandbox/faults")
    await shop.stripe.put("/_sandbox/settings", json={"rate_limits": False})
    await wait_for_access(shop, shop.person(), "refunded")
    for table in ("events", "refunds", "subscriptions"):
        await shop.execute(f"UPDATE {table} SET due_at = now() WHERE due_at > now()")
    await shop.wait_until_idle()
    assert await matching_refunds(shop, payment) == 49_00
    assert len(await shop.stripe_customers()) == 1
    assert len((await shop.stripe_get("/v1/refunds"))["data"]) == 1
    assert len((await shop.stripe_get("/v1/credit_notes"))["data"]) == 1
    (held,) = (await shop.overview(shop.person()))["subscriptions"]
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    assert await shop.rows("SELECT * FROM events WHERE state = 'dead'") == []


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"duplicates": 1.0}, id="each event twice"),
        pytest.param({"order": "any", "seed": 7}, id="random order"),
        pytest.param({"equal_seconds": True, "order": "any", "seed": 8}, id="random order with equal times"),
        pytest.param({"delay_seconds": [0, 0.4], "seed": 9}, id="random delays"),
        pytest.param({"loss": 0.5, "duplicates": 0.5, "order": "any", "seed": 10}, id="half lost and half repeated"),
    ],
)
async def test_a_reader_subscribes_and_is_refunded_with_unreliable_webhooks(
    shop: Shop, settings: dict[str, object]
) -> None:
    await shop.stripe.put("/_sandbox/settings", json=settings)

    await check_records(shop, await subscribe_and_refund(shop, return_page="loss" in settings))


async def test_a_reader_subscribes_and_is_refunded_without_webhooks(shop: Shop) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})

    await check_records(shop, await subscribe_and_refund(shop, return_page=True))


async def test_webhooks_are_accepted_while_their_secret_is_rolled(shop: Shop) -> None:
    (endpoint,) = (await shop.stripe_get("/v1/webhook_endpoints"))["data"]
    rolled = await shop.stripe.post(f"/_sandbox/webhook_endpoints/{endpoint['id']}/roll", json={})
    assert rolled.status_code == 200, rolled.text

    await check_records(shop, await subscribe_and_refund(shop))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"action": "status", "status": 429, "when": "before", "times": 4}, id="rate limit"),
        pytest.param(
            {"action": "status", "status": 429, "should_retry": True, "when": "before", "times": 4},
            id="rate limit with Stripe-Should-Retry",
        ),
        pytest.param({"action": "status", "status": 500, "when": "before", "times": 3}, id="error before the effect"),
        pytest.param({"action": "status", "status": 500, "when": "after", "times": 3}, id="error after the effect"),
        pytest.param({"action": "drop", "when": "before", "times": 5}, id="connection closed before the effect"),
        pytest.param({"action": "drop", "when": "after", "times": 5}, id="connection closed after the effect"),
        pytest.param({"action": "hold", "seconds": 2, "when": "after", "times": 2}, id="response after the time-out"),
        pytest.param({"action": "html", "when": "before", "times": 3}, id="HTML page instead of a response"),
        pytest.param({"action": "truncate", "when": "after", "times": 3}, id="truncated response"),
        pytest.param({"action": "slow", "seconds": 0.5, "when": "after", "times": 3}, id="slowly sent response"),
        pytest.param({"action": "outage", "seconds": 1.5, "times": None}, id="outage"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_reader_subscribes_and_is_refunded_despite_failing_responses(
    short_timeout_shop: Shop, fault: dict[str, object], method: str
) -> None:
    path = "/v1/[!t]*"  # every path except the test clock, which is the source of the policy time
    await short_timeout_shop.add_fault(method=method, path=path, **fault)

    await check_records(short_timeout_shop, await subscribe_and_refund(short_timeout_shop))


async def test_a_reader_subscribes_and_is_refunded_under_low_rate_limits(short_timeout_shop: Shop) -> None:
    await short_timeout_shop.stripe.put("/_sandbox/settings", json={"rate_limits": {"overall": 8, "endpoint": 3}})

    payment = await subscribe_and_refund(short_timeout_shop)

    refused = (await short_timeout_shop.stripe.get("/_sandbox/limits")).json()["refused"]
    await check_records(short_timeout_shop, payment)
    assert refused > 0
