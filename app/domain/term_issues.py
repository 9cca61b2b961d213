"""Which issues of the calendar a term has served, which are still to come, and how many."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.issues import Calendar, Issue, ScheduledTerm, schedule_terms
from app.domain.ledgers import Ledger
from app.domain.plans import Catalogue
from app.domain.subscriptions import Subscription, Term


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


def ledgers_of(
    subscription: Subscription,
    terms: Iterable[Term],
    calendar: Calendar,
    catalogue: Catalogue,
    *,
    grace: timedelta,
    now: datetime,
) -> list[Ledger]:
    """Return the ledger of each term of a subscription at ``now``, the oldest first; see :func:`schedule_terms`."""
    return [run.ledger(now) for run in schedule_terms(subscription, terms, calendar, catalogue, grace=grace)]
