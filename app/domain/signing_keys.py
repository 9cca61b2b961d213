"""
The lifetime of the keys that sign entitlement tokens. The signing itself is in :mod:`app.services.signing_keys`.

A new key is published before it signs, so that every verifier has it when its first token arrives. An old key stays
published until its last token has expired. Times are real, not policy times, because other machines compare them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.errors import Unavailable

SKEW = timedelta(minutes=1)  # between our clock and a verifier's
CACHED_FOR = timedelta(minutes=5)  # how long verifiers may cache the published keys
LEAD = 2 * CACHED_FOR + SKEW  # from the publication of a key to its first signature
LONGEST_LIFE = timedelta(hours=1)  # the maximum lifetime of a token in any setting


class NoSigningKey(Unavailable):
    """No signing key is available. Try again."""

    code = "no_signing_key"
    title = "No signing key available"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key without its private half. ``signs_until`` is None until another key replaces it."""

    id: str
    public: Mapping[str, str]  # the JWK
    signs_from: datetime
    signs_until: datetime | None = None
    withdrawn_at: datetime | None = None  # the private key may be compromised: its tokens are invalid

    def signs(self, now: datetime) -> bool:
        """Return whether the key may sign new tokens."""
        return self.withdrawn_at is None and self.signs_from <= now and (not self.signs_until or now < self.signs_until)

    def is_published(self, now: datetime) -> bool:
        """Return whether a token signed with the key may be valid now or soon."""
        gone = self.signs_until is not None and self.signs_until + LONGEST_LIFE + SKEW <= now
        return self.withdrawn_at is None and not gone


def signer(keys: Iterable[SigningKey], *, now: datetime) -> SigningKey | None:
    """Return the key to sign with: the newest that may sign."""
    return max((key for key in keys if key.signs(now)), key=lambda key: (key.signs_from, key.id), default=None)
