"""
A reader's email address and name: the identity provider is the authority, and its tokens tell us.

Tokens arrive in any order, and an older one stays valid for a while beside a newer one. So a token counts only if it was
issued after the newest one that was followed.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.callers import Reader

MAX_NAME_LENGTH = 256  # characters of a customer's name at Stripe
CONTACT_REFUSED = "contact_refused"  # Stripe declined the reader's new address or name


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """How a reader is addressed. ``as_of`` is when the newest token that said so was issued; None: no token has."""

    email: str | None
    name: str | None
    email_verified: bool
    locale: str | None = None  # in which they are told something
    as_of: datetime | None = None

    def is_readdressed(self, other: "Contact") -> bool:
        """Return whether another contact has another address or name."""
        return (self.email, self.name) != (other.email, other.name)


def follow(known: Contact, reader: Reader) -> Contact:
    """
    Return a reader's contact after a token of theirs was seen; the known one if nothing changes.

    What a token doesn't contain stays as it is. A token of the same second counts, too.
    """
    if reader.issued_at is not None and known.as_of is not None and reader.issued_at < known.as_of:
        return known
    seen = Contact(
        email=reader.email or known.email,
        name=reader.name or known.name,
        email_verified=reader.email_verified if reader.email is not None else known.email_verified,
        locale=reader.locale or known.locale,
        as_of=known.as_of,
    )
    if seen == known and (known.as_of is not None or reader.issued_at is None):
        return known  # a newer token that says the same needs no write
    return replace(seen, as_of=reader.issued_at)


def stripe_fields(email: str | None, name: str | None) -> dict[str, str]:
    """Return the fields of a customer at Stripe; what is unknown is left out."""
    said = {"email": email, "name": name and name[:MAX_NAME_LENGTH]}
    return {field: value for field, value in said.items() if value}
