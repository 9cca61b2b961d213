"""
Outbound rate limiting: stay under Stripe's limits, and let interactive calls go before the backlog.

The composition root passes in a :class:`RateLimit` that all processes share. Every HTTP request consumes from it,
including the SDK's retries and the pages of a list. Other users of the account may still cause a 429; then the limit is
closed for as long as Stripe says, for all processes.
"""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp
import stripe
import structlog
from prometheus_client import Counter, Histogram

from app.batching import Batcher

TOO_MANY_REQUESTS = 429
MAX_WAIT = timedelta(seconds=5)  # of an urgent call
DATABASE_WAIT = timedelta(seconds=1)  # for the buckets, which the database usually answers in a millisecond
MAX_ATTEMPTS = {True: 2, False: 6}  # for one request that is answered 429: urgent, backlog
FIRST_BACKOFF, MAX_BACKOFF = 0.5, 30.0  # seconds
_TWO_WORD_PREFIXES = frozenset({"billing", "billing_portal", "checkout", "radar", "tax", "test_helpers"})

CALLS = Counter("newsstand_stripe_calls", "Requests sent to Stripe", ["endpoint", "status"])
WAITS = Histogram(
    "newsstand_stripe_wait_seconds",
    "Time that requests to Stripe waited for the rate limit",
    ["priority"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
_IS_BACKLOG: ContextVar[bool] = ContextVar("is_backlog", default=False)
log = structlog.get_logger()


class Grant(Protocol):
    """The number of calls that may be made now; if none, the time until one may be."""

    @property
    def calls(self) -> int: ...

    @property
    def wait(self) -> timedelta: ...


class RateLimit(Protocol):
    """The limit of all processes together."""

    async def take(self, endpoint: str, calls: int, *, urgent: bool) -> Grant:
        """Take up to ``calls`` calls of an endpoint."""

    async def close(self, endpoint: str | None, wait: timedelta) -> None:
        """Allow no calls for a while, of one endpoint or (None) of all."""


@contextmanager
def backlog() -> Iterator[None]:
    """Give calls within the block a lower priority than urgent calls."""
    before = _IS_BACKLOG.set(True)
    try:
        yield
    finally:
        _IS_BACKLOG.reset(before)


def endpoint_of(method: str, url: str) -> str:
    """Return the Stripe endpoint of a request, such as ``GET subscriptions/{id}``."""
    parts = urlsplit(url).path.strip("/").split("/")[1:]
    words = 2 if parts and parts[0] in _TWO_WORD_PREFIXES else 1
    named = parts[:words] + ["{id}"] * (len(parts) > words) + parts[words + 1 : words + 2]
    return f"{method.upper()} {'/'.join(named)}"


class RateLimiter:
    """Makes requests wait for the rate limit, first in, first out for each endpoint and priority."""

    def __init__(self, limit: RateLimit | None, *, max_wait: timedelta = MAX_WAIT) -> None:
        """:param max_wait: how long an urgent request waits."""
        self._limit, self._max_wait = limit, max_wait
        self._queues: dict[tuple[str, bool], Batcher[None, None]] = {}
        self._exhausted_until: dict[tuple[str, bool], float] = {}

    async def wait(self, endpoint: str) -> None:
        """
        Wait until a request may be sent.

        :raises stripe.RateLimitError: an urgent request would wait too long because the limit is used up. If only this
            process or the database is slow, the request is sent.
        """
        if self._limit is None:
            return
        urgent = not _IS_BACKLOG.get()
        queue = self._queues.get((endpoint, urgent))
        if queue is None:
            take = partial(self._take, self._limit, endpoint, urgent)
            queue = self._queues[endpoint, urgent] = Batcher(take)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._max_wait.total_seconds() if urgent else None):
                await queue.submit(None)
        except TimeoutError:
            if self._exhausted_until.get((endpoint, urgent), 0.0) >= began:
                raise stripe.RateLimitError(f"Newsstand's own rate limit for {endpoint} is used up") from None
            log.warning("stripe_rate_limit_unknown", error="TimeoutError")
        finally:
            WAITS.labels("urgent" if urgent else "backlog").observe(loop.time() - began)

    async def _take(self, limit: RateLimit, endpoint: str, urgent: bool, waiting: Sequence[None]) -> list[None]:
        """Return an entry for each request that may be sent now."""
        try:
            async with asyncio.timeout(DATABASE_WAIT.total_seconds()):
                granted = await limit.take(endpoint, len(waiting), urgent=urgent)
        except Exception as error:
            # Without the database, or while it is slow, no request is delayed: readers can still subscribe, and a 429
            # does no harm.
            log.warning("stripe_rate_limit_unknown", error=type(error).__name__)
            return [None] * len(waiting)
        if not granted.calls:
            wait = granted.wait.total_seconds() * random.uniform(1.0, 1.2)  # noqa: S311
            self._exhausted_until[endpoint, urgent] = asyncio.get_running_loop().time() + wait
            await asyncio.sleep(wait)
        return [None] * granted.calls

    async def should_retry(self, endpoint: str, headers: Mapping[str, str], attempts: int) -> bool:
        """Handle a 429: close the limit for all processes, and wait. Return False when the caller should give up."""
        CALLS.labels(endpoint, TOO_MANY_REQUESTS).inc()
        wait = timedelta(seconds=_backoff(headers.get("Retry-After"), attempts))
        reason = headers.get("Stripe-Rate-Limited-Reason", "")
        urgent = not _IS_BACKLOG.get()
        log.warning("stripe_rate_limited", endpoint=endpoint, reason=reason, seconds=wait.total_seconds())
        if self._limit is not None and reason:
            try:
                await self._limit.close(endpoint if reason.startswith("endpoint") else None, wait)
            except Exception as error:
                log.warning("stripe_rate_limit_unknown", error=type(error).__name__)
        if attempts >= MAX_ATTEMPTS[urgent] or (urgent and wait > MAX_WAIT):
            return False
        await asyncio.sleep(wait.total_seconds())
        return True


def _backoff(retry_after: str | None, attempts: int) -> float:
    """Return the seconds to wait: Stripe's ``Retry-After``, else exponential back-off with jitter."""
    if retry_after is not None and retry_after.isdecimal() and len(retry_after) < 6:
        return min(float(retry_after), MAX_BACKOFF)
    return float(min(FIRST_BACKOFF * 2 ** (attempts - 1), MAX_BACKOFF) * random.uniform(0.5, 1.0))  # noqa: S311


class RateLimitedClient(stripe.AIOHTTPClient):
    """The SDK's HTTP client, under the rate limit."""

    def __init__(self, limiter: RateLimiter, *, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self._limiter = limiter

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: object = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send a request as soon as the rate limit allows; retry it after a 429."""
        endpoint, attempts = endpoint_of(method, url), 0
        while True:
            await self._limiter.wait(endpoint)
            body, status, answered = await self._send(method, url, headers, post_data)
            if status != TOO_MANY_REQUESTS:
                CALLS.labels(endpoint, status).inc()
                return body, status, answered
            attempts += 1
            if not await self._limiter.should_retry(endpoint, answered, attempts):
                return body, status, answered

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], post_data: object
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """
        Send a request and read the whole response.

        The SDK translates the errors of the transport only until the headers have arrived, and doesn't close the connection
        of a response that breaks off.

        :raises stripe.APIConnectionError: there was no whole response. The SDK repeats the request.
        """
        arguments, options = self._get_request_args_kwargs(method, url, headers, post_data)
        try:
            async with self._session.request(*arguments, **options) as response:
                return await response.read(), response.status, response.headers
        except (TimeoutError, aiohttp.ClientError, OSError) as failure:
            message = f"No complete response from Stripe ({type(failure).__name__})"
            raise stripe.APIConnectionError(message, should_retry=True) from failure  # type: ignore[no-untyped-call]
