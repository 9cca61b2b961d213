"""Check text, and what sentences need to contain dates and amounts."""

from datetime import datetime
from typing import Protocol


class Wording(Protocol):
    """Writes dates and amounts in the publisher's locale. :mod:`app.localization` implements it."""

    def date(self, at: datetime) -> str:
        """Return the date in the publisher's time zone, such as ``March 3, 2027``."""
        ...

    def money(self, amount: int, currency: str) -> str:
        """Return an amount in minor units, such as ``$49``."""
        ...


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store a text: JSON may contain NUL characters and lone surrogates."""
    if text.isascii():
        return "\x00" not in text
    return not any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in text)
