"""What has become of an issue, as its calendar and label runs say, and what circulation does next."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum

from app.domain.issues import Calendar, Issue


class IssueState(StrEnum):
    """The state of an issue."""

    PLANNED = "planned"
    CLOSED = "closed"  # its label cut-off has passed, and its labels can be frozen
    FROZEN = "frozen"
    MAILED = "mailed"


def state_of(issue: Issue, calendar: Calendar, now: datetime) -> IssueState:
    """Return the state of an issue."""
    if calendar.begins(issue.mail_date) <= now:
        return IssueState.MAILED
    if issue.frozen_at is not None:
        return IssueState.FROZEN
    return IssueState.CLOSED if calendar.ends(issue.closes_on) <= now else IssueState.PLANNED


def next_cutoff(calendar: Calendar, now: datetime) -> Issue | None:
    """Return the issue whose labels close next; None if no later one is on the calendar."""
    is_open = [one for one in calendar.issues if state_of(one, calendar, now) == IssueState.PLANNED]
    return min(is_open, key=lambda one: (one.closes_on, one.number), default=None)


def to_freeze(calendar: Calendar, now: datetime) -> Sequence[Issue]:
    """Return the issues whose labels have closed and should be frozen before they are mailed."""
    return [one for one in calendar.issues if state_of(one, calendar, now) == IssueState.CLOSED]


def years_of(calendar: Calendar) -> Sequence[int]:
    """Return the years in which issues are mailed."""
    return sorted({one.mail_date.year for one in calendar.issues})


def months_of(calendar: Calendar, year: int) -> Sequence[tuple[date, Sequence[Issue]]]:
    """Return the first day of each month of a year, with the issues that are mailed in that month."""
    mailed = [one for one in calendar.issues if one.mail_date.year == year]
    return [(date(year, month, 1), [one for one in mailed if one.mail_date.month == month]) for month in range(1, 13)]
