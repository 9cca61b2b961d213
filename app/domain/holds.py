"""
Holds: no copies for a while, such as during a vacation.

A hold skips the issues whose label cut-off falls in it. The term still owes them, so they are sent later: its expire moves
by the issues held. A hold lasts from a day until another, or for a number of issues. It can be lifted; issues whose cut-off
has passed by then stay held.

Holds without an issue between them count as one, and the days on hold in a year are limited, so holds in a row are not a way
around the limit of one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Protocol

from app.domain.errors import Conflict, Invalid

YEAR = timedelta(days=365)
MOST_HOLDS = 50  # of one reader that start in a year


class HoldDatesWrong(Invalid):
    """A hold starts today or later and ends after it starts: give either ``until`` or ``issues``."""

    code = "hold_dates_wrong"
    title = "Inconsistent dates of a hold"


class HoldTooLong(Conflict):
    """The hold is longer than allowed, alone or with the reader's other holds, or too far ahead."""

    code = "hold_too_long"
    title = "Hold too long"


class HoldOverlaps(Conflict):
    """There is another hold at that time."""

    code = "hold_overlaps"
    title = "Overlapping holds"


class TooManyHolds(Conflict):
    """The reader has 50 holds that start in one year, which is the limit. Lifted holds count."""

    code = "too_many_holds"
    title = "Too many holds"


class HoldIsOver(Conflict):
    """The hold is over: the labels of its issues are closed."""

    code = "hold_is_over"
    title = "Hold is over"


class NoCopiesToHold(Conflict):
    """The reader gets no printed copies, so there is nothing to hold."""

    code = "no_copies_to_hold"
    title = "No printed copies"


class HoldStatus(StrEnum):
    """Where a hold stands on a day."""

    PLANNED = "planned"
    RUNNING = "running"
    OVER = "over"


class DatedIssue(Protocol):
    """What a hold needs to know of an issue."""

    @property
    def closes_on(self) -> date:
        """The last day for changes of its labels."""

    @property
    def counts_as(self) -> int:
        """How many issues it counts as; 0: a special issue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPolicy:
    """
    How long a hold may be, and whether digital access continues. Without a policy, no hold is possible.

    :param days: of one hold, and how far ahead it starts. Holds without an issue between them count as one.
    :param days_in_a_year: of all holds in any 365 days; None: as many as of one.
    """

    days: int = 0
    days_in_a_year: int | None = None
    keeps_digital: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """
    A hold. Either ``until`` or ``issues`` is set.

    :param until: the day from which copies are sent again.
    :param issues: the number of issues held. Special issues don't count, and are held with the others.
    :param ended_on: the day on which it was lifted, or would have started.
    """

    starts_on: date
    until: date | None = None
    issues: int | None = None
    keeps_digital: bool = True
    ended_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedHold:
    """A stored hold of a reader."""

    id: str  # hld_…
    subscriber_id: str
    hold: Hold
    created_by: str


class HeldCopies:
    """The copies that are held, in a calendar that counts copies; see :mod:`app.domain.issues`."""

    def __init__(self, spans: Sequence[tuple[int, int]] = (), numbers: frozenset[int] = frozenset()) -> None:
        """
        Take the spans of copies, from one (inclusive) to another (exclusive), in order and disjoint.

        :param numbers: of the held issues, special ones included.
        """
        self._spans, self.numbers = spans, numbers

    def before(self, position: int) -> int:
        """Return how many of the copies before a position are not held."""
        return position - sum(min(end, position) - start for start, end in self._spans if start < position)

    def spread(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges of copies from ``first`` to ``last``, which count only those that are not held."""
        shift = 0
        for start, end in self._spans:
            if first < start - shift:
                if last <= start - shift:
                    break
                yield first + shift, start
                first = start - shift
            shift += end - start
        yield first + shift, last + shift


NOTHING_HELD = HeldCopies()


def held_by(hold: Hold, issues: Sequence[DatedIssue]) -> Iterator[int]:
    """Yield the indexes of the issues that a hold skips, in order."""
    counted = 0
    for index, issue in enumerate(issues):
        if issue.closes_on < hold.starts_on:
            continue
        if hold.ended_on is not None and issue.closes_on >= hold.ended_on:
            continue
        if hold.until is not None and issue.closes_on >= hold.until:
            continue
        if hold.issues is not None and counted >= hold.issues:
            return
        counted += min(issue.counts_as, 1)
        yield index


def last_day_of(hold: Hold, issues: Sequence[DatedIssue]) -> date | None:
    """Return the last day of a hold; None if the calendar has fewer issues than it holds."""
    if hold.ended_on is not None and (hold.until is None or hold.ended_on < hold.until):
        return hold.ended_on - timedelta(days=1)
    if hold.until is not None:
        return hold.until - timedelta(days=1)
    counting = [index for index in held_by(hold, issues) if issues[index].counts_as]
    return issues[counting[-1]].closes_on if len(counting) == hold.issues else None


def status_of(hold: Hold, issues: Sequence[DatedIssue], *, today: date) -> HoldStatus:
    """Return where a hold stands."""
    last = last_day_of(hold, issues)
    if last is not None and (last < today or last < hold.starts_on):
        return HoldStatus.OVER
    return HoldStatus.PLANNED if today < hold.starts_on else HoldStatus.RUNNING


def check_hold(
    wanted: Hold, others: Iterable[Hold], issues: Sequence[DatedIssue], policy: HoldPolicy, *, today: date
) -> None:
    """
    Check a new hold.

    :param others: the reader's other holds.
    :raises HoldDatesWrong: it starts in the past, ends before it starts, or has both or no end.
    :raises HoldTooLong: it is longer than the policy allows, the calendar is too short for it, or it starts too far ahead.
    :raises HoldTooLong: the holds before and after it make it too long, or there are too many days on hold in a year.
    :raises HoldOverlaps: another hold is at that time.
    :raises TooManyHolds: the reader has as many as one can have.
    """
    others = list(others)
    if (wanted.until is None) == (wanted.issues is None):
        raise HoldDatesWrong("Give either `until` or `issues`")
    if wanted.starts_on < today:
        raise HoldDatesWrong(f"A hold starts on {today} or later", today=str(today))
    if wanted.until is not None and wanted.until <= wanted.starts_on:
        raise HoldDatesWrong("A hold ends after it starts")
    if wanted.starts_on > today + timedelta(days=policy.days):
        raise HoldTooLong(f"A hold can start at most {policy.days} days ahead", days=policy.days)
    last = last_day_of(wanted, issues)
    if last is None or last >= wanted.starts_on + timedelta(days=policy.days):
        raise HoldTooLong(f"A hold can last at most {policy.days} days", days=policy.days)
    for other in others:
        first, until = other.starts_on, last_day_of(other, issues) or date.max
        if first <= until and first <= last and wanted.starts_on <= until:
            raise HoldOverlaps(f"There is a hold from {first}")
    if sum(abs(one.starts_on - wanted.starts_on) < YEAR for one in others) >= MOST_HOLDS:
        raise TooManyHolds(f"A reader can have at most {MOST_HOLDS} holds that start in a year", most=MOST_HOLDS)
    spans = [(one.starts_on, _end_of(one, issues, policy)) for one in others]
    _check_with_others((wanted.starts_on, last + timedelta(days=1)), spans, issues, policy)


Span = tuple[date, date]  # the first day of a hold, and the day after its last


def _end_of(hold: Hold, issues: Sequence[DatedIssue], policy: HoldPolicy) -> date:
    last = last_day_of(hold, issues)
    if last is None:  # it holds more issues than the calendar has
        return hold.starts_on + timedelta(days=policy.days)
    return max(hold.starts_on, last + timedelta(days=1))


def _check_with_others(wanted: Span, others: Sequence[Span], issues: Sequence[DatedIssue], policy: HoldPolicy) -> None:
    """
    Check the days of a new hold together with those of the others.

    :raises HoldTooLong: there are too many, in a row or in a year.
    """
    spans = sorted([wanted, *(one for one in others if one[0] < one[1])])
    at = first = last = spans.index(wanted)
    while first > 0 and not _is_issue_between(spans[first - 1], spans[first], issues):
        first -= 1
    while last + 1 < len(spans) and not _is_issue_between(spans[last], spans[last + 1], issues):
        last += 1
    in_a_row = sum((until - since).days for since, until in spans[first : last + 1])
    if in_a_row > policy.days:
        raise HoldTooLong(
            f"Holds without an issue between them count as one, and this would be {in_a_row} days. A hold can last at most"
            f" {policy.days} days",
            days=policy.days,
        )
    most = policy.days if policy.days_in_a_year is None else policy.days_in_a_year
    years = [since for since, _ in spans] + [until - YEAR for _, until in spans]
    in_a_year = max(_days_in(spans, since) for since in years if _days_in([spans[at]], since))
    if in_a_year > most:
        raise HoldTooLong(
            f"Copies can be on hold for at most {most} days in a year. With the other holds this would be {in_a_year}",
            days=most,
        )


def _is_issue_between(one: Span, other: Span, issues: Sequence[DatedIssue]) -> bool:
    return any(one[1] <= issue.closes_on < other[0] for issue in issues)


def _days_in(spans: Sequence[Span], since: date) -> int:
    """Return how many days of spans are in the year that begins on a day."""
    return sum(max(0, (min(until, since + YEAR) - max(start, since)).days) for start, until in spans)


def lifted(hold: Hold, issues: Sequence[DatedIssue], *, today: date) -> Hold:
    """
    Return a hold as it is when it is lifted today: what is still to be held is sent.

    :raises HoldIsOver: nothing of it is left.
    """
    if status_of(hold, issues, today=today) == HoldStatus.OVER:
        raise HoldIsOver("The hold is over")
    return Hold(
        starts_on=hold.starts_on,
        until=hold.until,
        issues=hold.issues,
        keeps_digital=hold.keeps_digital,
        ended_on=max(today, hold.starts_on),
    )
