"""The secrets of an endpoint, of which there are several while one is rolled, and the header they sign."""

from stripe import WebhookSignature

from sandbox import clock
from sandbox.errors import invalid
from sandbox.json_types import Json, JsonObject
from sandbox.store.accounts import new_id

LONGEST_OVERLAP = 86400
"""Seconds for which Stripe lets an old secret sign beside the new one."""


def header(endpoint: JsonObject, payload: str, *, now: int) -> str:
    """
    Return the `Stripe-Signature` of a payload: one v1 for each secret that is in force, the newest first.

    :param now: the delivery's time, by which old secrets run out. The signature itself is dated in real time.
    """
    at = clock.now()
    first, *others = [
        WebhookSignature.generate_signature_header(payload, secret, at) for secret in _in_force(endpoint, now)
    ]
    return ",".join([first, *(other.partition(",")[2] for other in others)])


def roll(endpoint: JsonObject, *, overlap: Json, now: int) -> str:
    """
    Give an endpoint another secret and return it; the old one signs too for so many seconds more.

    :raises StripeError: 400 for an overlap of more than 24 hours, or of another kind.
    """
    if not isinstance(overlap, int) or isinstance(overlap, bool) or not 0 <= overlap <= LONGEST_OVERLAP:
        message = f"Invalid overlap_seconds: {overlap!r}. It is a whole number from 0 to {LONGEST_OVERLAP}."
        raise invalid(message, param="overlap_seconds")
    kept = [[secret, until] for secret, until in endpoint.get("_old_secrets", []) if until > now]
    endpoint["_old_secrets"] = [[endpoint["_secret"], now + overlap], *kept] if overlap else kept
    endpoint["_secret"] = new_id("whsec", length=32)
    return str(endpoint["_secret"])


def _in_force(endpoint: JsonObject, now: int) -> list[str]:
    return [endpoint["_secret"], *(secret for secret, until in endpoint.get("_old_secrets", []) if until > now)]
