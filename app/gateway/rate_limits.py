"""
Staying under Stripe's limits: each request waits for its turn, those that somebody waits for before the backlog.

What may be called when is told by an :class:`Allowance` that all processes share; the composition root hands it in. It
is asked below the SDK, for each request that is really sent: the SDK's own retries and the pages of a listing count as well.
A 429 all the same (others use the account too) shuts the allowance for as long as Stripe says, for all processes.
"""

import asyncio
import random
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlsplit

import stripe
import structlog
from prometheus_client import Counter, Histogram

TOO_MANY = 429
PATIENCE = timedelta(seconds=5)  # of a call that somebody waits for
TRIES = {True: 2, False: 6}  # of one request that is refused for the rate: urgent, backlog
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds
_TWO_WORDS = frozenset(
    {"billing", "billing_portal", "checkout", "radar", "tax", "test_helpers"}
)  # prefixes of resources

CALLS = Counter("newsstand_stripe_calls", "Requests sent to Stripe", ["endpoint", "status"])
WAITS = Histogram(
    "newsstand_stripe_wait_seconds",
    "How long requests to Stripe waited for their turn",
    ["who"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
_IN_THE_BACKLOG: ContextVar[bool] = ContextVar("in_the_backlog", default=False)
log = structlog.get_logger()


class Granted(Protocol):
    """So many calls may be made now; if none, there may be one after ``wait``."""

    @property
    def calls(self) -> int: ...

    @property
    def wait(self) -> timedelta: ...


class Allowance(Protocol):
    """What all processes together may call."""

    async def take(self, endpoint: str, calls: int, *, urgent: bool) -> Granted:
        """Take up to ``calls`` calls of an endpoint."""

    async def shut(self, endpoint: str | None, wait: timedelta) -> None:
        """Let nobody call an endpoint, or None: any, for a while."""


@contextmanager
def backlog() -> Iterator[None]:
    """Have calls within give way to those that somebody waits for."""
    before = _IN_THE_BACKLOG.set(True)
    try:
        yield
    finally:
        _IN_THE_BACKLOG.reset(before)


def endpoint_of(method: str, url: str) -> str:
    """Return which of Stripe's endpoints a request is of, such as ``GET subscriptions/{id}``."""
    parts = urlsplit(url).path.strip("/").split("/")[1:]
    words = 2 if parts and parts[0] in _TWO_WORDS else 1
    named = parts[:words] + ["{id}"] * (len(parts) > words) + parts[words + 1 : words + 2]
    return f"{method.upper()} {'/'.join(named)}"


class Pace:
    """Lets requests through when it is their turn, the earliest first; for each endpoint and urgency by itself."""

    def __init__(self, allowance: Allowance | None) -> None:
        self._allowance = allowance
        self._queues: dict[tuple[str, bool], deque[asyncio.Future[None]]] = {}
        self._asking: dict[tuple[str, bool], asyncio.Task[None]] = {}

    async def admit(self, endpoint: str) -> None:
        """
        Wait for the turn of a request.

        :raises stripe.RateLimitError: its turn did not come while somebody waited.
        """
        if self._allowance is None:
            return
        urgent = not _IN_THE_BACKLOG.get()
        who = endpoint, urgent
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(who, deque()).append(turn)
        if who not in self._asking:
            self._asking[who] = asyncio.create_task(self._ask(self._allowance, endpoint, urgent=urgent))
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(PATIENCE.total_seconds() if urgent else None):
                await turn
        except TimeoutError:
            raise stripe.RateLimitError(f"our own limit for {endpoint} is used up") from None
        finally:
            WAITS.labels("somebody" if urgent else "backlog").observe(asyncio.get_running_loop().time() - began)

    async def _ask(self, allowance: Allowance, endpoint: str, *, urgent: bool) -> None:
        """Ask for as many turns as are waited for, until none is."""
        queue = self._queues[endpoint, urgent]
        try:
            while queue:
                granted = await self._granted(allowance, endpoint, len(queue), urgent=urgent)
                calls = granted.calls if granted else len(queue)
                while queue and calls:
                    turn = queue.popleft()
                    if not turn.done():  # whoever waited may have gone
                        turn.set_result(None)
                        calls -= 1
                if queue and granted:
                    await asyncio.sleep(granted.wait.total_seconds() * random.uniform(1.0, 1.2))  # noqa: S311
        finally:
            del self._asking[endpoint, urgent]

    async def _granted(self, allowance: Allowance, endpoint: str, calls: int, *, urgent: bool) -> Granted | None:
        """None: nobody can tell, so nobody is held up: whoever wants to subscribe may, and a 429 is survived."""
        try:
            return await allowance.take(endpoint, calls, urgent=urgent)
        except Exception as failure:
            log.warning("stripe_limits_unknown", error=type(failure).__name__)
            return None

    async def refused(self, endpoint: str, said: Mapping[str, str], tries: int) -> bool:
        """Wait after a 429 as Stripe says, and have all others wait. False: whoever asked has to be told."""
        CALLS.labels(endpoint, TOO_MANY).inc()
        wait = timedelta(seconds=_pause(said.get("Retry-After"), tries))
        reason = said.get("Stripe-Rate-Limited-Reason", "")
        urgent = not _IN_THE_BACKLOG.get()
        log.warning("stripe_refuses_for_the_rate", endpoint=endpoint, reason=reason, seconds=wait.total_seconds())
        if self._allowance is not None and reason:
            try:
                await self._allowance.shut(endpoint if reason.startswith("endpoint") else None, wait)
            except Exception as failure:
                log.warning("stripe_limits_unknown", error=type(failure).__name__)
        if tries >= TRIES[urgent] or (urgent and wait > PATIENCE):
            return False
        await asyncio.sleep(wait.total_seconds())
        return True


def _pause(told: str | None, tries: int) -> float:
    """Return for how many seconds to wait: as Stripe told, else doubling, half of it at random."""
    if told is not None and told.isdecimal() and len(told) < 6:
        return min(float(told), LONGEST_PAUSE)
    return float(min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.0))  # noqa: S311


class PacedClient(stripe.AIOHTTPClient):
    """The SDK's HTTP client, that waits for the turn of each request it sends."""

    def __init__(self, pace: Pace, *, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self._pace = pace

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: object = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send a request when it is its turn; one that is refused for the rate is sent again when Stripe says."""
        endpoint, tries = endpoint_of(method, url), 0
        while True:
            await self._pace.admit(endpoint)
            body, status, said = await super().request_async(method, url, headers, post_data)
            if status != TOO_MANY:
                CALLS.labels(endpoint, status).inc()
                return body, status, said
            tries += 1
            if not await self._pace.refused(endpoint, said, tries):
                return body, status, said
