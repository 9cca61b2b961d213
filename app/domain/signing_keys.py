"""
Which key signs entitlement tokens, and which ones whoever checks them has to know.

A new key is published before it signs, so that everybody has it when the first token of it arrives; an old one stays
published until the last token of it is dead. Times are real ones: other machines measure them too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.errors import Unavailable

SKEW = timedelta(minutes=1)  # between our clock and that of whoever checks a token
CACHED_FOR = timedelta(minutes=5)  # how long anyone may keep the published keys without asking again
LEAD = 2 * CACHED_FOR + SKEW  # from the publication of a key to its first signature
LONGEST_LIFE = timedelta(hours=1)  # of a token: no setting allows more


class NoSigningKey(Unavailable):
    """No signing key is available. Try again."""

    code = "no_signing_key"
    title = "No signing key available"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """One key, without its secret half. ``signs_until`` None: until another one is told to follow it."""

    id: str
    public: Mapping[str, str]  # the JWK
    signs_from: datetime
    signs_until: datetime | None = None
    withdrawn_at: datetime | None = None  # its secret may be known to others: nothing it signed counts

    def signs(self, now: datetime) -> bool:
        """Tell whether new tokens may be signed with it."""
        return self.withdrawn_at is None and self.signs_from <= now and (not self.signs_until or now < self.signs_until)

    def is_published(self, now: datetime) -> bool:
        """Tell whether a token of it may still be alive, or may be soon."""
        gone = self.signs_until is not None and self.signs_until + LONGEST_LIFE + SKEW <= now
        return self.withdrawn_at is None and not gone


def signer(keys: Iterable[SigningKey], *, now: datetime) -> SigningKey | None:
    """Return the key to sign with: the newest of those that may."""
    return max((key for key in keys if key.signs(now)), key=lambda key: (key.signs_from, key.id), default=None)
