"""Calls stay within Stripe's rate limits during a backlog, and interactive requests come first."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from tests.support.many_subscribers import add_events, create_subscribers, rate_limit_counts, worker_process
from tests.support.shop import Shop, open_shop


@pytest.fixture
async def real_time_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a shop with the default limits and lease, and without a test clock, whose calls would count."""
    async with open_shop(
        database,
        sandbox,
        issuer,
        clock_url=None,
        stripe_rate_limit=80,
        stripe_endpoint_rate_limit=20,
        lease=timedelta(seconds=15),
    ) as opened:
        yield opened


@asynccontextmanager
async def keep_backlog(shop: Shop, ids: Sequence[str]) -> AsyncIterator[None]:
    """Keep events waiting, however long the block takes on a busy machine."""

    async def add() -> None:
        for batch in itertools.count(1):
            await shop.wait_until(f"SELECT count(*) < {len(ids) // 2} FROM events WHERE due_at IS NOT NULL")
            await add_events(shop, ids, batch=batch)

    adding = asyncio.create_task(add())
    try:
        yield
    finally:
        adding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await adding


async def test_two_workers_stay_within_stripes_limits_during_a_backlog(
    real_time_shop: Shop,
) -> None:
    shop = real_time_shop
    ids = await create_subscribers(shop, 60)
    async with worker_process(shop.settings):
        await shop.stripe.put("/_sandbox/settings", json={"rate_limits": True})
        await add_events(shop, ids)
        await shop.wait_until("SELECT count(*) > 5 FROM events WHERE state = 'applied'")

        async with keep_backlog(shop, ids):
            opened = await shop.open_checkout(shop.person())
            waiting = await shop.rows("SELECT count(*) FROM events WHERE due_at IS NOT NULL")
        await shop.wait_until_idle()

    limits = await rate_limit_counts(shop)
    assert opened.status_code == 201, opened.text
    assert waiting[0]["count"] > 0, "the reader subscribed during the backlog"
    assert limits["refused"] == 0, limits
    assert limits["let_through"] >= 2 * len(ids)
    states = await shop.rows("SELECT state, max(attempts) AS tries FROM events WHERE id LIKE 'evt%' GROUP BY state")
    assert [(row["state"], row["tries"]) for row in states] == [("applied", 1)]


async def test_a_429_response_delays_an_event_without_counting_as_a_failure(real_time_shop: Shop) -> None:
    shop = real_time_shop
    ids = await create_subscribers(shop, 12)
    await shop.stripe.put("/_sandbox/settings", json={"rate_limits": {"overall": 8, "endpoint": 4}})

    await add_events(shop, ids)
    await shop.wait_until("SELECT NOT EXISTS (SELECT FROM events WHERE due_at IS NOT NULL)")

    assert (await rate_limit_counts(shop))["refused"] > 0, "other clients use the account too"
    states = await shop.rows("SELECT state, max(attempts) AS tries FROM events WHERE id LIKE 'evt%' GROUP BY state")
    assert [(row["state"], row["tries"]) for row in states] == [("applied", 1)]
