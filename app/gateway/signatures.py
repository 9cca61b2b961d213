"""
The check of webhook signatures: Stripe's, and those of Standard Webhooks (standardwebhooks.com).

Stripe's SDK verifies the HMAC, without building its objects (bench: ``ingest_vs_minimal``). The age is checked here, in both
directions, because the SDK accepts a time in the future. The library of Standard Webhooks computes the signature; its own
check reads the machine's time, and fails on a malformed header in ways of its own.
"""

import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from standardwebhooks import Webhook
from stripe import SignatureVerificationError, WebhookSignature

from app.domain.callers import InvalidSignature
from app.domain.events import InvalidEvent

TOLERANCE = timedelta(minutes=5)  # each retry is signed again
MOST_SIGNATURES = 10  # of one request: several while a secret is replaced
_ID = re.compile(r"[!-~]{1,255}")
_SECONDS = re.compile(r"[1-9][0-9]{0,9}")


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


def verify_standard(
    body: bytes, *, message_id: str, timestamp: str, signatures: str, secrets: Sequence[str], now: datetime
) -> None:
    """
    Check that one of ``secrets`` signed the body and its ID within :data:`TOLERANCE` of ``now``, as Standard Webhooks.

    :param timestamp: seconds since 1970.
    :param signatures: ``v1,…``, several separated by spaces.
    :raises InvalidSignature: none did, or a header is missing or malformed.
    """
    if not secrets:
        raise InvalidSignature("No secret is configured for signed reports")
    if not _ID.fullmatch(message_id):
        raise InvalidSignature("The webhook-id header must have 1 to 255 visible ASCII characters")
    if not _SECONDS.fullmatch(timestamp):
        raise InvalidSignature("The webhook-timestamp header must be the seconds since 1970")
    signed_at = datetime.fromtimestamp(int(timestamp), UTC)
    given = signatures.split(" ")
    if not signatures.isascii() or len(given) > MOST_SIGNATURES:
        raise InvalidSignature(f"The webhook-signature header must have up to {MOST_SIGNATURES} signatures in ASCII")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidSignature("The body is not UTF-8") from None
    expected = [Webhook(secret).sign(message_id, signed_at, text) for secret in secrets]
    if not any(hmac.compare_digest(one, other) for one in expected for other in given):
        raise InvalidSignature("The signature matches none of the configured secrets")
    age = now - signed_at
    if abs(age) > TOLERANCE:
        raise InvalidSignature("The signature is too old" if age > TOLERANCE else "The signature time is in the future")


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
