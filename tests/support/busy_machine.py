"""Clients for tests on a machine that is so busy that the service gives up waiting for its database."""

import asyncio
import ssl
import time
from typing import Any

import httpx2
import requests
from requests.adapters import HTTPAdapter

from app.account import labels
from app.domain.errors import DatabaseUnavailable
from demo.browser import Browser

# The service's shortest wait for the database is 2 s. An earlier answer has another cause, which a test must see.
LONG = 1.5  # seconds
REPEAT_FOR = 60.0  # seconds
PAUSE = 0.1  # seconds
TLS = ssl.create_default_context()  # shared, because loading the root certificates takes 20 ms
# How the documents of the API, the pages of the console and those of the account say it.
UNAVAILABLE = (DatabaseUnavailable.code, f"{DatabaseUnavailable.title} ·", labels.ERRORS[DatabaseUnavailable.code])
HELD = ("idempotency_key_in_use", labels.ERRORS["idempotency_key_in_use"])


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
            if await _says(response, 409, HELD):
                await asyncio.sleep(PAUSE)
            elif not await _gave_up(response, start):
                break
        return response


class RepeatingAdapter(HTTPAdapter):
    """The same for tests that are not asynchronous."""

    def send(self, request: requests.PreparedRequest, *arguments: Any, **named: Any) -> requests.Response:
        """Send the request until it is answered, for a minute at most."""
        end, repeated = time.monotonic() + REPEAT_FOR, False
        while True:
            start = time.monotonic()
            response = super().send(request, *arguments, **named)
            now = time.monotonic()
            gave_up = response.status_code == 503 and now - start >= LONG and _has(response.text, UNAVAILABLE)
            is_held = repeated and response.status_code == 409 and _has(response.text, HELD)
            if now > end or not (gave_up or is_held):
                return response
            repeated = True
            time.sleep(PAUSE)


def patient_browser(*, follow: bool = True) -> Browser:
    """Return a browser whose user tries again when the service waited in vain for its database."""
    return Browser(follow=follow, transport=RepeatingTransport(verify=TLS))


async def _gave_up(response: httpx2.Response, start: float) -> bool:
    waited = time.monotonic() - start
    return waited >= LONG and await _says(response, 503, UNAVAILABLE)


async def _says(response: httpx2.Response, status: int, words: tuple[str, ...]) -> bool:
    if response.status_code != status:
        return False
    await response.aread()
    return _has(response.text, words)


def _has(answer: str, words: tuple[str, ...]) -> bool:
    return any(one in answer for one in words)
