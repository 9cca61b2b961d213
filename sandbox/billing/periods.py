"""Billing periods: whole intervals from an anchor, so the 31st returns after a shorter month."""

import calendar
from datetime import UTC, datetime, timedelta

from sandbox.json_types import JsonObject


def next_boundary(anchor: int, recurring: JsonObject, moment: int) -> int:
    """
    Return the first period boundary after a time, in seconds since the epoch.

    :param anchor: one boundary; all others are whole intervals away from it.
    :param recurring: `interval` and `interval_count` of a price.
    """
    count = 1
    while (boundary := add_intervals(anchor, recurring, count)) <= moment:
        count += 1
    return boundary


def containing(anchor: int, recurring: JsonObject, moment: int) -> tuple[int, int]:
    """Return the start and the end of the period that contains a time."""
    count = 1
    while add_intervals(anchor, recurring, count) <= moment:
        count += 1
    return add_intervals(anchor, recurring, count - 1), add_intervals(anchor, recurring, count)


def add_intervals(anchor: int, recurring: JsonObject, count: int) -> int:
    """Return the boundary `count` intervals after the anchor."""
    number = recurring["interval_count"] * count
    start = datetime.fromtimestamp(anchor, UTC)
    match recurring["interval"]:
        case "day":
            moved = start + timedelta(days=number)
        case "week":
            moved = start + timedelta(weeks=number)
        case "month":
            moved = _months_later(start, number)
        case _:
            moved = _months_later(start, 12 * number)
    return int(moved.timestamp())


def _months_later(start: datetime, months: int) -> datetime:
    month = start.month - 1 + months
    year, month = start.year + month // 12, month % 12 + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))


def are_compatible(first: JsonObject, second: JsonObject) -> bool:
    """Return whether one of two billing intervals is a multiple of the other."""
    one, other = _length(first), _length(second)
    return one[0] == other[0] and (one[1] % other[1] == 0 or other[1] % one[1] == 0)


def _length(recurring: JsonObject) -> tuple[str, int]:
    """Return an interval in days or months."""
    unit, size = {"day": ("day", 1), "week": ("day", 7), "month": ("month", 1), "year": ("month", 12)}[
        recurring["interval"]
    ]
    return unit, size * int(recurring["interval_count"])
