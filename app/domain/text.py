"""Check and format text."""

from datetime import datetime
from zoneinfo import ZoneInfo


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can store a text: JSON may contain NUL characters and lone surrogates."""
    if text.isascii():
        return "\x00" not in text
    return not any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in text)


def format_date(at: datetime, zone: ZoneInfo) -> str:
    """Return the date in a time zone, as in ``March 3, 2027``."""
    local = at.astimezone(zone)
    return f"{local:%B} {local.day}, {local.year}"
