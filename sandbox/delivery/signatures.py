"""Signing secrets of webhook endpoints, including their rotation, and the signature header."""

from stripe import WebhookSignature

from sandbox import clock
from sandbox.errors import invalid
from sandbox.json_types import Json, JsonObject
from sandbox.store.accounts import new_id

LONGEST_OVERLAP = 86400
"""The longest time, in seconds, for which a rolled secret keeps signing."""


def header(endpoint: JsonObject, payload: str, *, now: int) -> str:
    """
    Return the `Stripe-Signature` header of a payload: one v1 signature for each active secret, the newest first.

    :param now: the delivery's time, which decides when old secrets expire. The signature has the system time.
    """
    at = clock.now()
    first, *others = [
        WebhookSignature.generate_signature_header(payload, secret, at) for secret in _in_force(endpoint, now)
    ]
    return ",".join([first, *(other.partition(",")[2] for other in others)])


def roll(endpoint: JsonObject, *, overlap: Json, now: int) -> str:
    """
    Replace the secret of an endpoint and return the new one. The old one keeps signing for `overlap` seconds.

    :raises StripeError: 400 unless `overlap` is a whole number from 0 to 24 hours.
    """
    if not isinstance(overlap, int) or isinstance(overlap, bool) or not 0 <= overlap <= LONGEST_OVERLAP:
        message = f"Invalid overlap_seconds: {overlap!r}. It must be a whole number from 0 to {LONGEST_OVERLAP}."
        raise invalid(message, param="overlap_seconds")
    kept = [[secret, until] for secret, until in endpoint.get("_old_secrets", []) if until > now]
    endpoint["_old_secrets"] = [[endpoint["_secret"], now + overlap], *kept] if overlap else kept
    endpoint["_secret"] = new_id("whsec", length=32)
    return str(endpoint["_secret"])


def _in_force(endpoint: JsonObject, now: int) -> list[str]:
    return [endpoint["_secret"], *(secret for secret, until in endpoint.get("_old_secrets", []) if until > now)]
