"""A client for tests on a machine that is so busy that the service gives up waiting for its database."""

import time

import httpx2

# The service's shortest wait for the database is 2 s. An earlier answer has another cause, which a test must see.
LONG = 1.5  # seconds
REPEAT_FOR = 60.0  # seconds


class RepeatingTransport(httpx2.AsyncHTTPTransport):
    """
    Repeats a request if the service waited in vain for its database, as the API tells clients to do.

    Nothing has changed then. At once means that a connection is broken, and that answer goes to the test.
    """

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request until it is answered, for a minute at most."""
        end = time.monotonic() + REPEAT_FOR
        while True:
            start = time.monotonic()
            response = await super().handle_async_request(request)
            now = time.monotonic()
            if response.status_code != 503 or now - start < LONG or now > end:
                return response
            await response.aread()
            if response.json().get("code") != "database_unavailable":
                return response
            await response.aclose()
