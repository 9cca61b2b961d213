"""Check text, and what sentences need to contain dates and amounts."""

import unicodedata
from datetime import datetime
from typing import Protocol

# They reorder the text around them, so a name could pretend to be another one. Unicode: UAX #9.
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


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


def storable(text: str) -> str:
    """Return a text of a foreign server in a form that PostgreSQL can store: without NUL characters and lone surrogates."""
    return text if is_storable(text) else text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def is_showable(name: str) -> bool:
    """
    Return whether a name can be stored and shown on one line.

    Joiners are allowed, which emoji (👩‍💻), Persian and several Indian scripts need; ``str.isprintable`` refuses them.
    """
    if name.isprintable():
        return True
    return not any(unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} or one in _REORDERING for one in name)
