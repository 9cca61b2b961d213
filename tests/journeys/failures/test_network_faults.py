"""Bad weather between Stripe and us: under each fault a reader subscribes, reads, and gets the money back, once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from tests.journeys.refunds.test_guarantee import books
from tests.support.shop import TIMEOUT, Person, Shop, open_shop


@pytest.fixture
async def brisk(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """A shop that waits for Stripe for a second only."""
    async with open_shop(database, sandbox, issuer, stripe_timeout=timedelta(seconds=1)) as opened:
        yield opened


async def clicks_until(click: Callable[[], Awaitable[httpx2.Response]], *done: int) -> httpx2.Response:
    """Click again, as a person does, until the answer is one of ``done``; a fault of ours never is an answer."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            answer = await click()
            if answer.status_code in done:
                return answer
            assert answer.status_code in {409, 503}, answer.text
            await asyncio.sleep(0.1)


async def becomes(shop: Shop, by: Person, reason: str) -> None:
    """Wait until a reader's access is granted, or refused, for that reason; hurry what waits for its pause."""
    async with asyncio.timeout(TIMEOUT):
        while (await shop.check(by))["reason"] != reason:
            await shop.execute("UPDATE events SET due_at = now() WHERE due_at > now()")
            await shop.execute("UPDATE refunds SET due_at = now() WHERE due_at > now()")
            await asyncio.sleep(0.1)


async def whole_path(shop: Shop, *, return_page: bool = False) -> str:
    """Subscribe, read, give the money back. Returns the payment."""
    ada = shop.person()
    opened = (await clicks_until(lambda: shop.open_checkout(ada), 201)).json()
    assert (await shop.pay_checkout(opened["url"])).status_code == 303
    if return_page:
        await clicks_until(lambda: shop.get(f"/v1/checkout-sessions/{opened['id']}", ada), 200)
    await becomes(shop, ada, "paid_term")
    payment = str((await shop.overview(ada))["payments"][0]["id"])
    await clicks_until(lambda: shop.request_refund(payment), 201, 202)
    await becomes(shop, ada, "refunded")
    return payment


async def all_is_right(shop: Shop, payment: str) -> None:
    """Compare the books, once the weather is fair again."""
    await shop.stripe.delete("/_sandbox/faults")
    await shop.stripe.put("/_sandbox/settings", json={"rate_limits": False})
    await becomes(shop, shop.person(), "refunded")
    for table in ("events", "refunds", "subscriptions"):
        await shop.execute(f"UPDATE {table} SET due_at = now() WHERE due_at > now()")
    await shop.wait_until_idle()
    assert await books(shop, payment) == 49_00
    assert len(await shop.stripe_customers()) == 1
    assert len((await shop.stripe_get("/v1/refunds"))["data"]) == 1
    assert len((await shop.stripe_get("/v1/credit_notes"))["data"]) == 1
    (held,) = (await shop.overview(shop.person()))["subscriptions"]
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    assert await shop.rows("SELECT * FROM events WHERE state = 'dead'") == []


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"duplicates": 1.0}, id="each event comes twice"),
        pytest.param({"order": "any", "seed": 7}, id="in any order"),
        pytest.param({"equal_seconds": True, "order": "any", "seed": 8}, id="all of one second, in any order"),
        pytest.param({"delay_seconds": [0, 0.4], "seed": 9}, id="late, each by another while"),
        pytest.param({"loss": 0.5, "duplicates": 0.5, "order": "any", "seed": 10}, id="half lost, half doubled"),
    ],
)
async def test_a_reader_subscribes_and_is_refunded_with_unreliable_webhooks(
    shop: Shop, settings: dict[str, object]
) -> None:
    await shop.stripe.put("/_sandbox/settings", json=settings)

    await all_is_right(shop, await whole_path(shop, return_page="loss" in settings))


async def test_a_reader_subscribes_and_is_refunded_without_webhooks(shop: Shop) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})

    await all_is_right(shop, await whole_path(shop, return_page=True))


async def test_webhooks_are_accepted_while_their_secret_is_rolled(shop: Shop) -> None:
    (endpoint,) = (await shop.stripe_get("/v1/webhook_endpoints"))["data"]
    rolled = await shop.stripe.post(f"/_sandbox/webhook_endpoints/{endpoint['id']}/roll", json={})
    assert rolled.status_code == 200, rolled.text

    await all_is_right(shop, await whole_path(shop))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"action": "status", "status": 429, "when": "before", "times": 4}, id="a limit"),
        pytest.param(
            {"action": "status", "status": 429, "should_retry": True, "when": "before", "times": 4},
            id="a limit that says to try again",
        ),
        pytest.param({"action": "status", "status": 500, "when": "before", "times": 3}, id="a fault before the effect"),
        pytest.param({"action": "status", "status": 500, "when": "after", "times": 3}, id="a fault after the effect"),
        pytest.param({"action": "drop", "when": "before", "times": 5}, id="a connection cut before the effect"),
        pytest.param({"action": "drop", "when": "after", "times": 5}, id="a connection cut after the effect"),
        pytest.param({"action": "hold", "seconds": 2, "when": "after", "times": 2}, id="an answer later than we wait"),
        pytest.param({"action": "html", "when": "before", "times": 3}, id="a page in place of an answer"),
        pytest.param({"action": "truncate", "when": "after", "times": 3}, id="half an answer"),
        pytest.param({"action": "slow", "seconds": 0.5, "when": "after", "times": 3}, id="an answer in drips"),
        pytest.param({"action": "outage", "seconds": 1.5, "times": None}, id="an outage"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_reader_subscribes_and_is_refunded_despite_failing_responses(
    brisk: Shop, fault: dict[str, object], method: str
) -> None:
    path = "/v1/[!t]*"  # everything but the test clock, which tells the time and is no part of the weather
    await brisk.add_fault(method=method, path=path, **fault)

    await all_is_right(brisk, await whole_path(brisk))


async def test_a_reader_subscribes_and_is_refunded_under_low_rate_limits(brisk: Shop) -> None:
    await brisk.stripe.put("/_sandbox/settings", json={"rate_limits": {"overall": 8, "endpoint": 3}})

    payment = await whole_path(brisk)

    refused = (await brisk.stripe.get("/_sandbox/limits")).json()["refused"]
    await all_is_right(brisk, payment)
    assert refused > 0
