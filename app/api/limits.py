"""How much a request may hold, and how many requests a process handles at the same time."""

from dataclasses import dataclass

MAX_BODY = 64 * 1024  # bytes
MAX_BODIES = {"/webhooks/stripe": 1_000_000}  # of routes that accept longer ones
# Answered whatever else is in progress: probes, and long polls, which mostly wait.
UNLIMITED = frozenset({"/healthz", "/readyz", "/metrics", "/v1/revocations"})
OVERLOADED = "newsstand.overloaded"  # key in the ASGI scope of a request for which there is no capacity


def max_body(path: str) -> int:
    """Return the greatest length of a body, in bytes."""
    return MAX_BODIES.get(path, MAX_BODY)


@dataclass(slots=True)
class Capacity:
    """
    A number of requests that may be in progress.

    Entitlement checks have a capacity of their own: requests that wait for a slow Stripe must not lock readers out.
    """

    limit: int
    in_progress: int = 0
