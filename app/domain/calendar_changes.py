"""
The terms that a change of the issue calendar affects: only those with dates that move.

Each term stores the issue that ends it (``terms.last_issue``) as of when its grants were derived. A delayed issue moves the
end of each term that ends with it or with the issue before, if the issue comes out after the paid period; otherwise the term
ends with its period anyway. It also moves the start of each term that starts in between. A new issue, or one that counts
differently, moves the end of each term that ends with it or later. A special issue goes to the terms that end with the issue
before it, and to those that start before its cut-off.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import takewhile
from typing import Self

from app.domain.errors import Conflict
from app.domain.issues import Calendar, Issue

Interval = tuple[datetime, datetime]
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectedTerms:
    """
    The terms that a change affects.

    They end with an issue of ``ends``, and their paid period ends before the time beside it; with issue ``since`` or later;
    or (``beyond``) after the last issue of the calendar; or they start within an interval of ``begun``.
    """

    ends: tuple[tuple[int, datetime], ...] = ()
    since: int | None = None
    beyond: bool = False
    begun: tuple[Interval, ...] = ()

    def dump(self) -> dict[str, object]:
        """Return the stored form."""
        return {
            "ends": [[number, until.isoformat()] for number, until in self.ends],
            "since": self.since,
            "beyond": self.beyond,
            "begun": [[start.isoformat(), end.isoformat()] for start, end in self.begun],
        }

    @classmethod
    def load(cls, stored: dict[str, object]) -> Self:
        """Return the affected terms from the stored form. The release before stored ``last`` without times."""
        ends, last, since, begun = stored.get("ends", []), stored.get("last", []), stored["since"], stored["begun"]
        assert isinstance(ends, list)
        assert isinstance(last, list)
        assert isinstance(begun, list)
        return cls(
            ends=(
                *((number, datetime.fromisoformat(until)) for number, until in ends),
                *((number, datetime.max.replace(tzinfo=UTC)) for number in last),
            ),
            since=since if isinstance(since, int) else None,
            beyond=bool(stored["beyond"]),
            begun=tuple((datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in begun),
        )


class IssueOutOfOrder(Conflict):
    """Issues must be mailed in the order of their numbers."""

    code = "issue_out_of_order"
    title = "Issues out of order"

    def __init__(self, issue: Issue, before: Issue) -> None:
        super().__init__(
            f"Issue {issue.number} would come out on {issue.mail_date}, "
            f"before issue {before.number} on {before.mail_date}",
            number=issue.number,
            before=before.number,
        )
        self.number, self.before = issue.number, before.number


class DuplicateIssueNumber(Conflict):
    """Another issue has the same number."""

    code = "issue_twice"
    title = "Duplicate issue number"


class IssueChanged(Conflict):
    """Somebody else has changed this issue meanwhile. Check the change, then try again."""

    code = "issue_changed"
    title = "Issue changed in the meantime"


def check_order(issues: Iterable[Issue]) -> None:
    """
    Check that issues come out in the order of their numbers.

    :raises DuplicateIssueNumber: two issues have the same number.
    :raises IssueOutOfOrder: an issue would come out before one with a lower number. The facts name both.
    """
    before: Issue | None = None
    for issue in sorted(issues, key=lambda one: one.number):
        if before is not None and before.number == issue.number:
            raise DuplicateIssueNumber(f"Duplicate issue number {issue.number}", number=issue.number)
        if before is not None and issue.mail_date < before.mail_date:
            raise IssueOutOfOrder(issue, before)
        before = issue


def version_of(issue: Issue | None) -> str:
    """Return a text that differs for each state of an issue; None: there is no such issue."""
    facts = {**issue.as_facts(), "frozen_at": str(issue.frozen_at)} if issue is not None else None
    return sha256(repr(facts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedClosing:
    """The labels of an issue close at another time than before. None: they don't close, or the issue is new."""

    issue: Issue
    before: datetime | None
    after: datetime | None


def moved_closings(old: Calendar, new: Calendar) -> list[MovedClosing]:
    """
    Return the issues whose labels close at another time when ``new`` replaces ``old``.

    Copies go out in order: labels that close earlier than those of the issues before close those as well.
    """
    before, after = ({one.number: calendar.ends(one.closes_on) for one in calendar.issues} for calendar in (old, new))
    return [
        MovedClosing(issue=issue, before=before.get(issue.number), after=after.get(issue.number))
        for issue in new.issues
        if issue.frozen_at is None and before.get(issue.number) != after.get(issue.number)
    ]


def affected_terms(old: Calendar, new: Calendar) -> AffectedTerms | None:
    """Return the terms that are affected when ``new`` replaces ``old``; None if there are none."""
    before = {issue.number: issue for issue in old.issues}
    after = {issue.number: issue for issue in new.issues}
    ends: dict[int, datetime] = {}
    recounted: list[int] = []
    begun: list[Interval] = []
    beyond = False
    newest = next((issue.number for issue in reversed(old.issues) if issue.counts_as), None)
    for number in sorted(before.keys() | after.keys()):
        was, is_ = before.get(number), after.get(number)
        counted = was.counts_as if was else 0
        counts = is_.counts_as if is_ else 0
        if counted != counts:
            recounted.append(_before(old, number))
            beyond = True
        elif not counts and was != is_:  # it is sent with the copies around it
            ends[_before(new, number)] = datetime.max.replace(tzinfo=UTC)
            begun.append(_around(old, new, number))
        elif counts and was and is_ and was != is_:
            intervals = list(_moved(old, new, was, is_))
            begun += intervals
            if was.mail_date != is_.mail_date:
                for ended in {number, _before(old, number)}:
                    out = max(_latest(calendar, ended) for calendar in (old, new))
                    ends[ended] = max(out, ends.get(ended, out))
                beyond = beyond or number == newest
    begun += list(_closed_otherwise(before, old, new))
    since = min(recounted, default=None)
    if not (ends or begun or beyond or since is not None):
        return None
    return AffectedTerms(ends=tuple(sorted(ends.items())), since=since, beyond=beyond, begun=tuple(begun))


def _closed_otherwise(before: Mapping[int, Issue], old: Calendar, new: Calendar) -> Iterator[Interval]:
    """Yield when the labels of issues close before and after the change, if a later issue moves that."""
    for issue in new.issues:
        was = before.get(issue.number)
        if was is not None and was.label_cutoff == issue.label_cutoff and was.closes_on != issue.closes_on:
            first, last = sorted((was.closes_on, issue.closes_on))
            yield old.ends(first), new.ends(last)


def _before(calendar: Calendar, number: int) -> int:
    """Return the number of the last counted issue before ``number``; without one, ``number``, as no term ends earlier."""
    index = bisect_left([issue.number for issue in calendar.issues], number)
    return next((issue.number for issue in reversed(calendar.issues[:index]) if issue.counts_as), number)


def _around(old: Calendar, new: Calendar, number: int) -> Interval:
    """
    Return when a term begins whose first copy is the one after a special issue, if its labels are open then.

    Or if those of another special issue beside it are: its copies are stored as a range, around this one.
    """
    beside = [one for calendar in (old, new) for one in _special_issues_beside(calendar, number)]
    before = [one for one in new.issues if one.counts_as and one.number < number][-1:]
    since = min((new.begins(min(one.label_cutoff, one.mail_date)) for one in before), default=EARLIEST)
    until = max(new.ends(one.label_cutoff) for one in beside)
    return min(since, until), until


def _special_issues_beside(calendar: Calendar, number: int) -> Iterator[Issue]:
    """Yield a special issue, if it is on this calendar, and those between the same two counted ones."""
    index = bisect_left([issue.number for issue in calendar.issues], number)
    yield from takewhile(lambda one: not one.counts_as, reversed(calendar.issues[:index]))
    yield from takewhile(lambda one: not one.counts_as, calendar.issues[index:])


def _latest(calendar: Calendar, number: int) -> datetime:
    """Return when an issue is served in both editions."""
    index = next(index for index, issue in enumerate(calendar.issues) if issue.number == number)
    return max(calendar.served_at(index), calendar.served_at(index, print_edition=True))


def _moved(old: Calendar, new: Calendar, was: Issue, is_: Issue) -> Iterator[Interval]:
    if was.mail_date != is_.mail_date:
        first, last = sorted((was.mail_date, is_.mail_date))
        yield old.begins(first), new.begins(last)
    if was.label_cutoff != is_.label_cutoff:
        first, last = sorted((was.label_cutoff, is_.label_cutoff))
        yield old.ends(first), new.ends(last)
    if was.frozen_at != is_.frozen_at:  # it is served in print from its cut-off on, instead of its mail date
        yield min(old.ends(was.label_cutoff), old.begins(was.mail_date)), new.ends(is_.mail_date)
