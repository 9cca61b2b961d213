"""
The check of webhook signatures.

The SDK verifies the HMAC, without building its objects (bench: ``ingest_vs_minimal``). The age is checked here, in both
directions, because the SDK accepts a time in the future.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from stripe import SignatureVerificationError, WebhookSignature

from app.domain.events import InvalidEvent

TOLERANCE = timedelta(minutes=5)  # Stripe signs each retry again


def verify(body: bytes, header: str | None, secrets: Sequence[str], *, now: datetime) -> str:
    """
    Return the body as text, if one of ``secrets`` signed it within :data:`TOLERANCE` of ``now``.

    :raises InvalidEvent: the signature is missing, invalid, too old or from the future, or the body is not UTF-8.
    """
    if not header:
        raise InvalidEvent("The Stripe-Signature header is missing")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidEvent("The body is not UTF-8") from None
    if not header.isascii():
        raise InvalidEvent("The signature is not ASCII")
    if not any(_signed(text, header, secret) for secret in secrets):
        raise InvalidEvent("The signature matches none of the configured secrets")
    age = now - datetime.fromtimestamp(_timestamp(header), now.tzinfo)
    if abs(age) > TOLERANCE:
        raise InvalidEvent("The signature is too old" if age > TOLERANCE else "The signature time is in the future")
    return text


def _signed(text: str, header: str, secret: str) -> bool:
    try:
        return bool(WebhookSignature.verify_header(text, header, secret, None))
    except (SignatureVerificationError, ValueError, TypeError):
        return False


def _timestamp(header: str) -> int:
    """Return the time in a verified header. It may be out of range."""
    stamp = next(part[2:] for part in header.split(",") if part.startswith("t="))
    if not stamp.isdigit() or int(stamp[:20]) >= 2**33:
        raise InvalidEvent("Invalid signature timestamp")
    return int(stamp)
