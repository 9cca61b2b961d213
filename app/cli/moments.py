"""Times as people type them: a date, a moment, or how long ago."""

import re
from datetime import datetime, timedelta

import typer

_AGO = re.compile(r"(\d{1,6})\s*(s|min|m|h|d|w)")
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
HELP = "2026-03-01, 2026-03-01T18:00Z, or how long ago: 90m, 12h, 3d."


def moment(words: str | None, *, now: datetime, option: str) -> datetime | None:
    """
    Return the moment that is meant; without a zone it is UTC.

    :raises typer.BadParameter: none is.
    """
    if words is None:
        return None
    ago = _AGO.fullmatch(words.strip())
    if ago is not None:
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        found = datetime.fromisoformat(words.strip())
    except ValueError:
        raise typer.BadParameter(f"{words!r} is no time. {HELP}", param_hint=option) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=now.tzinfo)
