"""Cancellations that Stripe has yet to hear of: a worker completes them, and nothing is charged after them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.cancellations.test_unpaid_periods import A_YEAR, CANCEL, PERIOD_END
from tests.journeys.lifecycle.test_manual_changes_at_stripe import only_subscription
from tests.support.crashes import kill_and_restart, wait_until_hit
from tests.support.shop import Person, Shop, open_shop

DUE = "UPDATE declarations SET due_at = now() WHERE due_at IS NOT NULL"
UNANSWERED = {"action": "drop", "times": None}
REFUSED = {"action": "status", "status": 400, "times": None}


async def subscribe(shop: Shop) -> tuple[Person, str]:
    """Subscribe a reader. Return them and the path of their subscription at Stripe."""
    ada = shop.person()
    await shop.subscribe(ada)
    return ada, f"/v1/subscriptions/{(await only_subscription(shop, ada))['stripe_id']}"


async def statuses(shop: Shop, reader: Person) -> list[str]:
    """Return the statuses of a reader's declarations."""
    return [one["status"] for one in (await shop.get("/v1/me/declarations", reader)).json()["data"]]


async def test_a_worker_completes_a_cancellation_that_stripe_did_not_answer(shop: Shop) -> None:
    ada, path = await subscribe(shop)
    fault = await shop.add_fault(method="POST", path=path, **UNANSWERED)

    clicks = [(await shop.post(CANCEL, ada, PERIOD_END)).status_code for _ in range(2)]

    assert clicks == [503, 503]
    assert await statuses(shop, ada) == ["pending"], "the second click is about the same cancellation"
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute(DUE)
    await shop.wait_until("SELECT status = 'done' FROM declarations")
    assert (await shop.stripe_get(path))["cancel_at_period_end"] is True
    assert (await shop.get("/v1/me/subscription", ada)).json()["ends_at"] == "2027-03-01T18:00:00Z"


async def test_staff_act_on_a_cancellation_that_stripe_declines(shop: Shop) -> None:
    ada, path = await subscribe(shop)
    await shop.add_fault(method="POST", path=path, **REFUSED)

    declined = await shop.post(CANCEL, ada, PERIOD_END)

    assert declined.status_code >= 400
    await shop.execute(DUE)
    await shop.wait_until("SELECT status = 'queued' FROM declarations")
    assert (await shop.get("/v1/me/subscription", ada)).json()["ends_at"] is None


async def test_a_resumed_subscription_is_not_canceled_by_a_worker(shop: Shop) -> None:
    ada, path = await subscribe(shop)
    fault = await shop.add_fault(method="POST", path=path, **UNANSWERED)
    await shop.post(CANCEL, ada, PERIOD_END)
    await shop.postpone("declarations")
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")

    resumed = await shop.post("/v1/me/subscription/resume", ada)

    assert resumed.status_code == 200, resumed.text
    assert await statuses(shop, ada) == ["revoked"]
    assert await shop.rows("SELECT due_at FROM declarations") == [{"due_at": None}]
    await shop.wait_until_idle()
    assert (await shop.stripe_get(path))["cancel_at_period_end"] is False


async def test_a_worker_stops_when_the_reader_resumes_meanwhile(shop: Shop) -> None:
    ada, path = await subscribe(shop)
    fault = await shop.add_fault(method="POST", path=path, **UNANSWERED)
    await shop.post(CANCEL, ada, PERIOD_END)
    await shop.postpone("declarations")
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    fault = await shop.add_fault(method="GET", path=path, when="after", action="hold", times=1)
    await shop.execute(DUE)
    await wait_until_hit(shop, fault)  # the worker has looked at the declaration, and asks Stripe

    resumed = await shop.post("/v1/me/subscription/resume", ada)

    assert resumed.status_code == 200, resumed.text
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.wait_until_idle()
    assert (await shop.stripe_get(path))["cancel_at_period_end"] is False
    assert await statuses(shop, ada) == ["revoked"]


async def test_a_worker_completes_a_cancellation_whose_process_was_killed(killable_shop: Shop) -> None:
    shop = killable_shop
    ada, path = await subscribe(shop)
    fault = await shop.add_fault(method="POST", path=path, when="before", action="hold", times=1)
    click = asyncio.create_task(shop.post(CANCEL, ada, PERIOD_END))

    await kill_and_restart(shop, fault, click=click)

    await shop.wait_until("SELECT status = 'done' FROM declarations")
    assert (await shop.stripe_get(path))["cancel_at_period_end"] is True
    assert await statuses(shop, ada) == ["done"]


@pytest.fixture
async def long_lease_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a shop whose workers leave work to the request that began it for longer than a test takes."""
    async with open_shop(database, sandbox, issuer, lease=timedelta(minutes=30)) as opened:
        yield opened


async def test_a_cancellation_that_arrives_after_the_paid_period_charges_nothing(long_lease_shop: Shop) -> None:
    """Stripe's flag would end the next period then, which is charged an hour after it has begun."""
    shop = long_lease_shop
    ada, path = await subscribe(shop)
    fault = await shop.add_fault(method="POST", path=path, when="before", action="hold", times=1)
    click = asyncio.create_task(shop.post(CANCEL, ada, PERIOD_END))
    await wait_until_hit(shop, fault)
    turned = {"frozen_time": str(int((A_YEAR + timedelta(minutes=10)).timestamp()))}
    await shop.stripe.post(f"/v1/test_helpers/test_clocks/{shop.clock}/advance", data=turned)
    await shop.wait_for_clock()

    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    canceled = await click

    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled"), canceled.text
    await shop.advance_to(A_YEAR + timedelta(days=2))
    await shop.wait_until_idle()
    assert len((await shop.overview(ada))["payments"]) == 1
    assert await statuses(shop, ada) == ["done"]
