"""
Events in any order lead to Stripe's state, and nothing happens twice.

The test holds back Stripe's events and delivers them itself. Four workers apply them concurrently, and one of them is
stopped for longer than its leases. A failing test prints its seed; set NEWSSTAND_TEST_SEED to repeat it.
"""

import asyncio
import itertools
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.support.event_histories import (
    all_differences,
    change_at_random,
    deliver,
    deliver_all,
    list_events,
    subscription_of,
)
from tests.support.many_subscribers import create_subscribers, worker_process
from tests.support.randomness import fixed_seeds, random_seed, seeded
from tests.support.reconciliation import reconcile
from tests.support.shop import Shop

LIFE = (
    "customer.subscription.created",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice_payment.paid",
    "customer.subscription.updated",
)
MOST = 10  # delivered events of one history; the others are lost and found by reconciliation
ORDERS = list(itertools.permutations(range(len(LIFE))))
QUICK, CHUNK, ALL = 12, 60, 10_000


@asynccontextmanager
async def four_workers(shop: Shop) -> AsyncIterator[None]:
    """Run three more workers; one is stopped, by SIGSTOP, for longer than its leases."""
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(worker_process(shop.settings)) for _ in range(3)]

        async def stop_at_random() -> None:
            while True:
                await asyncio.sleep(0.5)
                workers[0].send_signal(signal.SIGSTOP)
                await asyncio.sleep(shop.settings.lease.total_seconds() + 1)
                workers[0].send_signal(signal.SIGCONT)

        sleeping = asyncio.create_task(stop_at_random())
        try:
            yield
        finally:
            sleeping.cancel()
            await asyncio.gather(sleeping, return_exceptions=True)
            workers[0].send_signal(signal.SIGCONT)


async def run_in_orders(shop: Shop, orders: Sequence[Sequence[int]]) -> None:
    """Create and cancel subscriptions, and deliver the events of each in a different order."""
    made = await create_subscribers(shop, len(orders), clock=shop.clock)
    await asyncio.gather(*(shop.stripe_post(f"/v1/subscriptions/{one}", cancel_at_period_end="true") for one in made))
    paid: dict[str, str] = {}
    events: dict[str, dict[str, Any]] = {one: {} for one in made}
    for event in await list_events(shop):
        thing = event["data"]["object"]
        of = subscription_of(event) or paid.get(str(thing.get("invoice")))
        if thing["object"] == "invoice" and of is not None:
            paid[thing["id"]] = of
        if of in events and event["type"] in LIFE:
            events[of][event["type"]] = event
    lacking = {one: set(LIFE) - set(found) for one, found in events.items() if len(found) < len(LIFE)}
    assert not lacking, lacking
    for stripe_id, order in zip(made, orders, strict=True):
        for index in order:
            await deliver(shop, events[stripe_id][LIFE[index]])
    await shop.wait_until_idle()
    assert not (wrong := await all_differences(shop, made)), wrong
    (counted,) = await shop.rows("SELECT count(*) AS n FROM events WHERE state NOT IN ('applied', 'ignored')")
    assert counted["n"] == 0


async def run_at_random(shop: Shop, histories: int, chance: random.Random) -> None:
    """Change subscriptions at random; deliver their events in any order, repeatedly, late or never."""
    made = await create_subscribers(shop, histories, clock=shop.clock)
    before: set[str] = set()
    waiting: list[Any] = []
    delivered: dict[str | None, int] = {}
    for _ in range(3):
        await asyncio.gather(*(change_at_random(shop, one, chance) for one in made if chance.random() < 0.7))
        for event in await list_events(shop):
            if event["id"] not in before:
                before.add(event["id"])
                of = subscription_of(event)
                delivered[of] = delivered.get(of, 0) + 1
                if chance.random() < 0.85 and (of is None or delivered[of] <= MOST):
                    waiting += [event] * (2 if chance.random() < 0.2 else 1)
        chance.shuffle(waiting)
        late = waiting[len(waiting) // 2 :]
        await deliver_all(shop, waiting[: len(waiting) // 2])
        waiting = late
    await deliver_all(shop, waiting)
    await shop.wait_until_idle()
    for _ in range(4):
        if not (await reconcile(shop)).differences:
            break
    assert not (wrong := await all_differences(shop, made)), wrong
    twice = await shop.rows("SELECT object_id FROM audit_log GROUP BY object_id, action HAVING count(*) > 1")
    assert twice == []


@pytest.mark.parametrize("seed", fixed_seeds(3))
async def test_six_events_lead_to_the_same_state_in_random_orders(shop: Shop, seed: int) -> None:
    chance = seeded(seed)
    async with four_workers(shop):
        await run_in_orders(shop, chance.sample(ORDERS, QUICK))


@pytest.mark.slow
@pytest.mark.parametrize("seed", fixed_seeds(3))
async def test_random_event_histories_end_in_stripes_state(shop: Shop, seed: int) -> None:
    chance = seeded(seed)
    async with four_workers(shop):
        await run_at_random(shop, QUICK, chance)


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_six_events_lead_to_the_same_state_in_every_order(shop: Shop) -> None:
    async with four_workers(shop):
        await run_in_orders(shop, ORDERS)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(-(-ALL // CHUNK)))
async def test_ten_thousand_random_event_histories_end_in_stripes_state(shop: Shop, chunk: int) -> None:
    chance = seeded(random_seed())
    async with four_workers(shop):
        await run_at_random(shop, CHUNK, chance)
