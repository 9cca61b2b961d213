"""Clicks and events while calls to Stripe fail."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx2

from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT


async def click_until(click: Callable[[], Awaitable[httpx2.Response]], *done: int) -> httpx2.Response:
    """Repeat a click until the status is one of ``done``. No response may be a 500."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            answer = await click()
            if answer.status_code in done:
                return answer
            assert answer.status_code in {409, 503}, answer.text
            await asyncio.sleep(0.1)


async def wait_for_failed_event(shop: Shop) -> None:
    """Wait until an event has failed and waits for its next attempt. A worker that has claimed it holds a lease."""
    await shop.wait_until(
        "SELECT EXISTS (SELECT FROM events WHERE state = 'failed' AND due_at > now())"
        " AND NOT EXISTS (SELECT FROM leases WHERE until > now())"
    )
