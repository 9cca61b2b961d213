"""A client for tests on a machine that is so busy that the service gives up waiting for its database."""

import asyncio
import time

import httpx2

# The service's shortest wait for the database is 2 s. An earlier answer has another cause, which a test must see.
LONG = 1.5  # seconds
REPEAT_FOR = 60.0  # seconds
PAUSE = 0.1  # seconds


class RepeatingTransport(httpx2.AsyncHTTPTransport):
    """
    Repeats a request if the service waited in vain for its database, as the API tells clients to do.

    Nothing has changed then, but the request may still hold its idempotency key, because releasing it needs the database
    too. So the repeated one waits until the key is free. A refusal that comes at once means that a connection is broken, and
    that answer goes to the test.
    """

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request until it is answered, for a minute at most."""
        start = time.monotonic()
        response = await super().handle_async_request(request)
        if not await _gave_up(response, start):
            return response
        end = start + REPEAT_FOR
        while time.monotonic() < end:
            await response.aclose()
            start = time.monotonic()
            response = await super().handle_async_request(request)
            if await _has_code(response, 409, "idempotency_key_in_use"):
                await asyncio.sleep(PAUSE)
            elif not await _gave_up(response, start):
                break
        return response


async def _gave_up(response: httpx2.Response, start: float) -> bool:
    waited = time.monotonic() - start
    return waited >= LONG and await _has_code(response, 503, "database_unavailable")


async def _has_code(response: httpx2.Response, status: int, code: str) -> bool:
    if response.status_code != status:
        return False
    await response.aread()
    return bool(response.json().get("code") == code)
