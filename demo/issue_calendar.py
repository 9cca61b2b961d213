"""The magazine's issue calendar as a CSV file that the service imports: an issue on the 1st and 15th of each month."""

from collections.abc import Iterator
from datetime import date, timedelta

CURRENT_ISSUE = 41  # the number on the front page
PAST_ISSUES, FUTURE_ISSUES = 30, 72  # how many to list before and after the current issue
LABEL_CUTOFF = timedelta(days=9)  # before the mail date


def issue_calendar_csv(today: date) -> str:
    """Return the calendar around a date, as CSV."""
    lines = ["number,title,cover_date,planned_mail_date,actual_mail_date,label_cutoff,counts_as"]
    for number, day in _issues(today):
        actual_mail_date = day if day <= today else ""
        lines.append(f"{number},Issue {number},{day},{day},{actual_mail_date},{day - LABEL_CUTOFF},1")
    return "\n".join(lines) + "\n"


def _issues(today: date) -> Iterator[tuple[int, date]]:
    half_month = (today.year * 12 + today.month - 1) * 2 + (today.day >= 15)
    for offset in range(-PAST_ISSUES, FUTURE_ISSUES + 1):
        month, is_second_half = divmod(half_month + offset, 2)
        yield CURRENT_ISSUE + offset, date(month // 12, month % 12 + 1, 15 if is_second_half else 1)
