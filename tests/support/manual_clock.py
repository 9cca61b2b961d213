"""A test clock that a test can set to any time. It has the HTTP API of Stripe's test clocks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from aiohttp import web

from tests.support.shop import free_socket


class ManualClock:
    """A clock that a test sets. ``url`` is the value for NEWSSTAND_CLOCK_URL."""

    def __init__(self, url: str, moment: datetime) -> None:
        self.url, self.moment = url, moment

    async def serve_time(self, _: web.Request) -> web.Response:
        """Return the time as a test clock object."""
        frozen = int(self.moment.timestamp())
        return web.json_response({"object": "test_helpers.test_clock", "status": "ready", "frozen_time": frozen})


@asynccontextmanager
async def manual_clock(moment: datetime) -> AsyncIterator[ManualClock]:
    """Run a manual clock."""
    bound = free_socket()
    clock = ManualClock(f"http://127.0.0.1:{bound.getsockname()[1]}/v1/test_helpers/test_clocks/clock_1", moment)
    app = web.Application()
    app.router.add_get("/v1/test_helpers/test_clocks/clock_1", clock.serve_time)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, bound).start()
        yield clock
    finally:
        await runner.cleanup()
