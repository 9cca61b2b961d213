"""Stripe's rate limits, shared by all processes, with a share reserved for interactive calls."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from app.db.engine.pool import open_pool
from app.db.engine.rate_buckets import RateBuckets


@pytest.fixture
async def pools(database: str) -> "AsyncIterator[list[asyncpg.Pool[asyncpg.Record]]]":
    """Connections of several processes."""
    opened = [await open_pool(database, size=4, pooler=False) for _ in range(3)]
    yield opened
    for pool in opened:
        await pool.close()


async def test_all_processes_together_stay_within_one_rate_limit(
    pools: "list[asyncpg.Pool[asyncpg.Record]]",
) -> None:
    began = time.monotonic()

    async def greedy(pool: "asyncpg.Pool[asyncpg.Record]", endpoint: str) -> int:
        buckets, got = RateBuckets(pool, overall=60, each=40), 0
        while time.monotonic() < began + 0.5:
            got += (await buckets.take(endpoint, 3, urgent=True)).calls
        return got

    askers = [greedy(pool, endpoint) for pool in pools for endpoint in ("GET a", "GET b", "GET b")]
    shares = await asyncio.gather(*askers)
    took = time.monotonic() - began

    of_a, of_b = sum(shares[0::3]), sum(shares[1::3]) + sum(shares[2::3])
    assert of_a + of_b <= 30 + 60 * took
    assert max(of_a, of_b) <= 20 + 40 * took
    assert min(of_a, of_b) > 0, "each process gets some calls"


async def test_background_calls_leave_a_share_for_interactive_ones(pools: "list[asyncpg.Pool[asyncpg.Record]]") -> None:
    ours, theirs = (RateBuckets(pool, overall=100, each=10) for pool in pools[:2])

    began = time.monotonic()
    backlog = await ours.take("GET a", 100, urgent=False)
    more = await ours.take("GET a", 100, urgent=False)
    took = time.monotonic() - began
    urgent = await theirs.take("GET a", 1, urgent=True)

    assert (backlog.calls, urgent.calls) == (3, 1)
    assert more.calls <= 1 + 10 * took
    assert more.calls or timedelta(0) < more.wait <= timedelta(seconds=0.1)


async def test_all_processes_wait_after_a_429_of_stripe(pools: "list[asyncpg.Pool[asyncpg.Record]]") -> None:
    ours, theirs = (RateBuckets(pool, overall=100, each=50) for pool in pools[:2])
    await ours.close("GET a", timedelta(seconds=30))

    granted = await theirs.take("GET a", 1, urgent=True)
    other = await theirs.take("GET b", 1, urgent=True)
    await ours.close(None, timedelta(seconds=60))
    after = await theirs.take("GET b", 1, urgent=True)

    assert granted.calls == 0
    assert timedelta(seconds=5) < granted.wait < timedelta(seconds=31)
    assert other.calls == 1
    assert after.calls == 0
