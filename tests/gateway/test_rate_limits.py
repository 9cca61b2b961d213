"""The endpoint of a request, for Stripe's rate limit of each endpoint."""

import asyncio
from datetime import timedelta

import pytest

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
