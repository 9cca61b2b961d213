"""
API keys of servers: their form, their life and what they may do.

A key is ``nsk_``, 36 random characters and a checksum of 6 characters, all of base 62. Secret scanners find it by the prefix
and tell it from other text by the checksum: the CRC-32 of everything before it, in base 62, padded with zeros. Keys that
were created before had 43 random characters of base64url and no checksum.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.errors import Conflict, Invalid

PREFIX = "nsk_"
RANDOM_LENGTH, CHECKSUM_LENGTH = 36, 6  # characters; 36 of base 62 are 214 bits
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DEFAULT_LIFE = timedelta(days=365)
LONGEST_LIFE = timedelta(days=3 * 366)
DEFAULT_OVERLAP = timedelta(days=7)  # of the old key after a rotation, to replace it everywhere
LONGEST_OVERLAP = timedelta(days=90)
LONGEST_NAME = 100  # characters
USE_RECORDED_EVERY = timedelta(minutes=5)  # so that an API call costs no write
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_LENGTH + CHECKSUM_LENGTH}}}")
_OLD_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


class KeyReplaced(Conflict):
    """The API key was already rotated. Rotate the key that replaced it."""

    code = "api_key_replaced"
    title = "API key already rotated"


class InvalidKeyLife(Invalid):
    """The lifetime or overlap of an API key is too short or too long."""

    code = "invalid_api_key_life"
    title = "Invalid lifetime of an API key"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key. The key itself is not stored."""

    id: str
    name: str
    scopes: Sequence[str]
    created_at: datetime
    created_by: str | None  # None: it was created before this was recorded
    expires_at: datetime | None  # None: never
    last_used_at: datetime | None  # to within minutes; None: not since this is recorded
    replaced_by: str | None
    revoked_at: datetime | None

    def state(self, *, now: datetime) -> str:
        """Return ``revoked``, ``expired``, ``replaced`` (still valid, until it expires) or ``active``."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "replaced" if self.replaced_by else "active"


STATES = ("active", "replaced", "expired", "revoked")


def compose(characters: Iterable[str]) -> str:
    """Return the key with these 36 random characters."""
    body = PREFIX + "".join(characters)
    return body + checksum(body)


def checksum(body: str) -> str:
    """Return the CRC-32 of a text in base 62, with six characters."""
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        rest, digit = divmod(rest, 62)
        digits = BASE62[digit] + digits
    return digits


def is_well_formed(key: str) -> bool:
    """Return whether a text has the form of a key and the right checksum, so that nothing else costs a query."""
    if _FORM.fullmatch(key):
        return checksum(key[:-CHECKSUM_LENGTH]) == key[-CHECKSUM_LENGTH:]
    return _OLD_FORM.fullmatch(key) is not None


def expiry(life: timedelta | None, *, now: datetime) -> datetime | None:
    """
    Return when a new key expires; None for never.

    :raises InvalidKeyLife: if it would live shorter than a minute or longer than three years.
    """
    if life is None:
        return None
    if not timedelta(minutes=1) <= life <= LONGEST_LIFE:
        raise InvalidKeyLife(f"A key can be valid for 1 minute to {LONGEST_LIFE.days} days, or without end")
    return now + life


def end_of_overlap(key: ApiKey, overlap: timedelta, *, now: datetime) -> datetime:
    """
    Return when a key that is rotated now expires. It never lives longer than it would have.

    :raises KeyReplaced: if it was rotated before.
    :raises InvalidKeyLife: if the overlap is too long.
    """
    if key.replaced_by is not None:
        raise KeyReplaced(replaced_by=key.replaced_by)
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidKeyLife(f"The old key can stay valid for at most {LONGEST_OVERLAP.days} days")
    until = now + overlap
    return until if key.expires_at is None else min(until, key.expires_at)


def renewed_life(key: ApiKey) -> timedelta | None:
    """Return how long the successor of a key is valid: as long as the key was meant to be."""
    return None if key.expires_at is None else min(key.expires_at - key.created_at, LONGEST_LIFE)
