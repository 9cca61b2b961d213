"""The endpoint of a request, for Stripe's rate limit of each endpoint."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest
import stripe

from app.gateway.rate_limits import DATABASE_WAIT, MAX_WAIT, Grant, RateLimiter, endpoint_of


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("get", "/v1/subscriptions/sub_1", "GET subscriptions/{id}"),
        ("get", "/v1/subscriptions?status=all&limit=100", "GET subscriptions"),
        ("post", "/v1/invoices/in_1/void", "POST invoices/{id}/void"),
        ("post", "/v1/checkout/sessions", "POST checkout/sessions"),
        ("post", "/v1/checkout/sessions/cs_1/expire", "POST checkout/sessions/{id}/expire"),
        ("get", "/v1/invoice_payments?payment[type]=payment_intent", "GET invoice_payments"),
    ],
)
def test_a_request_counts_for_its_endpoint(method: str, path: str, endpoint: str) -> None:
    assert endpoint_of(method, f"https://api.stripe.com{path}") == endpoint


class SilentLimit:
    """A limit whose database never answers."""

    async def take(self, endpoint: str, calls: int, *, urgent: bool) -> Grant:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self, endpoint: str | None, wait: timedelta) -> None:
        raise AssertionError


async def test_a_request_is_sent_if_the_database_of_the_rate_limit_is_silent() -> None:
    """It is not refused as if the limit were reached."""
    assert DATABASE_WAIT < MAX_WAIT / 2
    await RateLimiter(SilentLimit()).wait("GET subscriptions")


@dataclass(frozen=True)
class Granted:
    calls: int
    wait: timedelta


class SlowLimit(SilentLimit):
    """A limit whose answer comes late, as on a machine that is busy."""

    def __init__(self, granted: Granted, *, after: float) -> None:
        self._granted, self._after = granted, after

    async def take(self, endpoint: str, calls: int, *, urgent: bool) -> Grant:
        await asyncio.sleep(self._after)
        return self._granted


async def test_a_request_is_sent_if_only_the_process_is_slow() -> None:
    limit = SlowLimit(Granted(1, timedelta(0)), after=0.2)
    await RateLimiter(limit, max_wait=timedelta(seconds=0.05)).wait("GET subscriptions")


async def test_requests_are_refused_while_the_limit_is_used_up() -> None:
    limiter = RateLimiter(SlowLimit(Granted(0, timedelta(minutes=1)), after=0), max_wait=timedelta(seconds=0.05))
    for _ in range(2):  # the second one comes while the first pause lasts
        with pytest.raises(stripe.RateLimitError, match="used up"):
            await limiter.wait("GET subscriptions")
