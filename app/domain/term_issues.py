"""Which issues of the calendar a term has served, and which are still to come."""

from dataclasses import dataclass
from datetime import datetime

from app.domain.issues import Issue, ScheduledTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class TermIssues:
    """The issues of a term that are in the calendar, in order. What is owed beyond the calendar is in neither list."""

    served: tuple[Issue, ...]
    upcoming: tuple[Issue, ...]


def issues_of_term(run: ScheduledTerm, *, now: datetime) -> TermIssues:
    """
    Return the issues of a term. One that serves several copies, such as a double issue, is listed once.

    What was canceled is in neither list.
    """
    is_over = run.ended_at is not None and run.ended_at <= now
    out = run.copies_served(run.ended_at if is_over and run.ended_at is not None else now)
    served: dict[int, Issue] = {}
    upcoming: dict[int, Issue] = {}
    for start, end in run.ranges:
        for copy in range(start + 1, end + 1):
            index = run.calendar.index_of_copy(copy, doubles=run.doubles)
            if index is None:
                break  # the calendar ends before it
            issue = run.calendar.issues[index]
            (served if copy <= out else upcoming)[issue.number] = issue
    return TermIssues(
        served=tuple(served.values()),
        upcoming=() if run.ended_at is not None else tuple(one for n, one in upcoming.items() if n not in served),
    )
