"""Slow Ferry's calendar: an issue on the 1st and on the 15th of each month, as a file that the service imports."""

from collections.abc import Iterator
from datetime import date, timedelta

NOW = 41  # the number of the issue that is out, as the front page says
BEFORE, AFTER = 30, 72  # how many are listed of those that came, and of those to come


def calendar(today: date) -> str:
    """Return the lines of the file."""
    lines = ["number,title,cover_date,planned_mail_date,actual_mail_date,label_cutoff,counts_as"]
    for number, day in _issues(today):
        mailed = day if day <= today else ""
        lines.append(f"{number},Issue {number},{day},{day},{mailed},{day - timedelta(days=9)},1")
    return "\n".join(lines) + "\n"


def _issues(today: date) -> Iterator[tuple[int, date]]:
    half = (today.year * 12 + today.month - 1) * 2 + (today.day >= 15)
    for step in range(-BEFORE, AFTER + 1):
        month, second = divmod(half + step, 2)
        yield NOW + step, date(month // 12, month % 12 + 1, 15 if second else 1)
