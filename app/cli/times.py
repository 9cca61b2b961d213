"""Times on the command line: a date, a date and time, or how long ago."""

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
TIME_FORMATS = "2026-03-01, 2026-03-01T18:00Z, or how long ago: 90m, 12h, 3d."


def parse_duration(text: str, *, option: str) -> timedelta | None:
    """
    Parse a duration such as ``12h`` or ``365d``; None for ``never``.

    :raises typer.BadParameter: the text is neither.
    """
    if text.strip() == "never":
        return None
    found = _AGO.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a duration. Use 90m, 12h, 365d or never", param_hint=option)
    return int(found[1]) * _UNITS[found[2]]


def parse_time(text: str | None, *, now: datetime, option: str) -> datetime | None:
    """
    Parse a time. Without a time zone it is UTC.

    :param option: the option's name, for the error message.
    :raises typer.BadParameter: the text is not a time.
    """
    if text is None:
        return None
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time. Use {TIME_FORMATS}", param_hint=option) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=now.tzinfo)
