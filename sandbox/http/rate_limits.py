"""
Rate limits as Stripe has them: a token bucket for the account and one for each endpoint.

The rates are those of Stripe's documentation: 100 requests a second in live mode, and 25 for each endpoint. A bucket
holds the requests of one second.
"""

from collections import Counter
from dataclasses import dataclass, field

from sandbox import clock
from sandbox.errors import StripeError, invalid
from sandbox.json_types import JsonObject
from sandbox.settings import Settings

OVERALL, EACH_ENDPOINT = 100.0, 25.0
"""Requests a second."""


@dataclass(slots=True)
class _Bucket:
    """Tokens that come back at a rate, and were full when the bucket was first used."""

    tokens: float
    at: float

    def has_token(self, rate: float, now: float) -> bool:
        """Fill up to now, at so many tokens a second, and say whether there is one."""
        self.tokens = min(rate, self.tokens + max(0.0, now - self.at) * rate)
        self.at = now
        return self.tokens >= 1


@dataclass
class RateLimits:
    """The buckets of one account, and what they let through and refused."""

    _buckets: dict[str, _Bucket] = field(default_factory=dict)
    _allowed: Counter[str] = field(default_factory=Counter)
    _refused: Counter[str] = field(default_factory=Counter)
    _by_reason: Counter[str] = field(default_factory=Counter)

    def take(self, settings: Settings, endpoint: str) -> str | None:
        """
        Take a token for a request, if the limits are on.

        :param endpoint: such as `GET /v1/customers/{customer}`.
        :returns: None if the request may pass; else why not, as Stripe's header `Stripe-Rate-Limited-Reason` says it.
        """
        overall, each = rates(settings)
        if overall is None or each is None:
            return None
        now = clock.precise()
        overall_bucket = self._buckets.setdefault("", _Bucket(overall, now))
        endpoint_bucket = self._buckets.setdefault(endpoint, _Bucket(each, now))
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
        """Fill the buckets and forget what was counted."""
        for counted in (self._allowed, self._refused, self._by_reason, self._buckets):
            counted.clear()

    def to_json(self, settings: Settings) -> JsonObject:
        """Return the limits and the counts, as the control API shows them."""
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


def rates(settings: Settings) -> tuple[float | None, float | None]:
    """Return how many requests a second the account may make, overall and to each endpoint; None is no limit."""
    wanted = settings.rate_limits
    if wanted is False:
        return None, None
    numbers = wanted if isinstance(wanted, dict) else {}
    return numbers.get("overall", OVERALL), numbers.get("endpoint", EACH_ENDPOINT)


def rate_limit_error() -> StripeError:
    """Return Stripe's 429."""
    message = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
    return invalid(message, code="rate_limit", status=429)
