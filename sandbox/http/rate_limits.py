"""
Stripe's rate limits: one token bucket for the account and one for each endpoint.

The documented rates are 100 requests per second in live mode and 25 for each endpoint. A bucket holds the requests of
one second, and at least one request.
"""

from collections import Counter
from dataclasses import dataclass, field

from sandbox import clock
from sandbox.errors import StripeError, invalid
from sandbox.json_types import JsonObject
from sandbox.settings import Settings

OVERALL, EACH_ENDPOINT = 100.0, 25.0
"""Requests per second."""


@dataclass(slots=True)
class _Bucket:
    """A token bucket, full at first use."""

    tokens: float
    at: float

    def has_token(self, rate: float, now: float) -> bool:
        """Refill the bucket at `rate` tokens per second, and return whether it has one."""
        self.tokens = min(_capacity(rate), self.tokens + max(0.0, now - self.at) * rate)
        self.at = now
        return self.tokens >= 1


@dataclass
class RateLimits:
    """The buckets of one account and their counters."""

    _buckets: dict[str, _Bucket] = field(default_factory=dict)
    _allowed: Counter[str] = field(default_factory=Counter)
    _refused: Counter[str] = field(default_factory=Counter)
    _by_reason: Counter[str] = field(default_factory=Counter)

    def take(self, settings: Settings, endpoint: str) -> str | None:
        """
        Take a token for a request if limits are enabled.

        :param endpoint: such as `GET /v1/customers/{customer}`.
        :returns: None if the request is allowed; else the value of Stripe's `Stripe-Rate-Limited-Reason` header.
        """
        overall, each = rates(settings)
        if overall is None or each is None:
            return None
        now = clock.precise()
        overall_bucket = self._buckets.setdefault("", _Bucket(_capacity(overall), now))
        endpoint_bucket = self._buckets.setdefault(endpoint, _Bucket(_capacity(each), now))
        reason = None if overall_bucket.has_token(overall, now) else "global-rate"
        if not endpoint_bucket.has_token(each, now):
            reason = reason or "endpoint-rate"
        if reason is not None:
            self._refused[endpoint] += 1
            self._by_reason[reason] += 1
            return reason
        overall_bucket.tokens -= 1
        endpoint_bucket.tokens -= 1
        self._allowed[endpoint] += 1
        return None

    def clear(self) -> None:
        """Refill the buckets and reset the counters."""
        for counted in (self._allowed, self._refused, self._by_reason, self._buckets):
            counted.clear()

    def to_json(self, settings: Settings) -> JsonObject:
        """Return the limits and counters as the control API returns them."""
        overall, each = rates(settings)
        names = sorted(self._allowed.keys() | self._refused.keys())
        return {
            "overall": overall,
            "endpoint": each,
            "let_through": self._allowed.total(),
            "refused": self._refused.total(),
            "reasons": dict(self._by_reason),
            "endpoints": {name: {"let_through": self._allowed[name], "refused": self._refused[name]} for name in names},
        }


def _capacity(rate: float) -> float:
    return max(rate, 1.0)


def rates(settings: Settings) -> tuple[float | None, float | None]:
    """Return the allowed requests per second, overall and for each endpoint. None means no limit."""
    wanted = settings.rate_limits
    if wanted is False:
        return None, None
    numbers = wanted if isinstance(wanted, dict) else {}
    return numbers.get("overall", OVERALL), numbers.get("endpoint", EACH_ENDPOINT)


def rate_limit_error() -> StripeError:
    """Return Stripe's 429."""
    message = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
    return invalid(message, code="rate_limit", status=429)
