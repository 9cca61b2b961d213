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
