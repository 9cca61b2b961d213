"""While requests hold every connection of a process, its probes answer, and the database does not count as lost."""

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from structlog.testing import capture_logs

from app.db.engine.outages import OUTAGES
from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT

if TYPE_CHECKING:
    from app.context import Context


async def hold_all(ctx: "Context", stack: AsyncExitStack) -> None:
    """Take every connection of both pools, as slow requests do."""
    for _ in range(2 * ctx.settings.database_pool_size):
        session = await stack.enter_async_context(ctx.sessions())
        await session.execute(text("SELECT 1"))
    for _ in range(ctx.pool.get_max_size()):
        await stack.enter_async_context(ctx.pool.acquire())


async def test_requests_that_hold_every_session_delay_no_check(shop: Shop) -> None:
    assert shop.app is not None
    ctx = shop.app.state.api.ctx
    async with AsyncExitStack() as stack, asyncio.timeout(TIMEOUT):
        for _ in range(2 * ctx.settings.database_pool_size):
            session = await stack.enter_async_context(ctx.sessions())
            await session.execute(text("SELECT 1"))
        assert not (await shop.check(shop.person()))["allowed"]


async def test_a_process_whose_connections_are_all_in_use_is_ready(shop: Shop) -> None:
    assert shop.app is not None
    ctx = shop.app.state.api.ctx
    assert not shop.app.state.api.entitlements.remembers  # no check could be answered from memory
    outages = OUTAGES._value.get()

    async with AsyncExitStack() as stack, asyncio.timeout(TIMEOUT):
        await hold_all(ctx, stack)
        with capture_logs() as logs:
            ready = await shop.http.get("/readyz")
            exposed = await shop.http.get("/metrics")

    assert (ready.status_code, ready.json()["writable"], ready.json()["degraded"]) == (200, True, False), ready.text
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(exposed.text)
        for sample in family.samples
        if not sample.labels
    }
    assert samples["newsstand_database_writable"] == 1
    assert "database_lost" not in [one["event"] for one in logs]
    assert OUTAGES._value.get() == outages
