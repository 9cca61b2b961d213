"""A test clock whose hands a test moves, either way: it answers over HTTP as Stripe's test clocks do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from aiohttp import web

from tests.support.shop import free_socket


class ManualClock:
    """The clock. ``url`` is for NEWSSTAND_CLOCK_URL."""

    def __init__(self, url: str, moment: datetime) -> None:
        self.url, self.moment = url, moment

    async def tell(self, _: web.Request) -> web.Response:
        """Say what time it is."""
        frozen = int(self.moment.timestamp())
        return web.json_response({"object": "test_helpers.test_clock", "status": "ready", "frozen_time": frozen})


@asynccontextmanager
async def manual_clock(moment: datetime) -> AsyncIterator[ManualClock]:
    """Run such a clock."""
    bound = free_socket()
    hands = ManualClock(f"http://127.0.0.1:{bound.getsockname()[1]}/v1/test_helpers/test_clocks/clock_1", moment)
    app = web.Application()
    app.router.add_get("/v1/test_helpers/test_clocks/clock_1", hands.tell)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, bound).start()
        yield hands
    finally:
        await runner.cleanup()
