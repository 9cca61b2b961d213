"""
The issue calendar, and the ledger of a term: its bought, served and unserved issues.

A ledger is never stored. It is computed from the calendar, the terms and their adjustments, so it follows every change of
the calendar. Issues are counted in *copies*: an ordinary issue is one copy, a double issue two (or one, if the plan says so)
and a special issue none. The calendar is a sequence of copies in the order in which issues come out, and a term is a range
of it. So a ledger takes two binary searches, however many issues there are.

Issues serve the oldest term first (rules.md, rule 8): a term starts where the previous one ends, but not before its own
start. A double issue between two terms serves one copy of each. A renewal that was paid after the grace period starts like a
new subscription, with the issues that its reader can still receive: nobody pays for copies that were never sent.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import accumulate
from zoneinfo import ZoneInfo

from app.domain.adjustments import AdjustmentKind
from app.domain.errors import Invalid
from app.domain.holds import NOTHING_HELD, HeldCopies, Hold, held_by
from app.domain.ledgers import Ledger
from app.domain.plans import Catalogue
from app.domain.subscriptions import Subscription, Term
from app.domain.term_ends import canceled_at, with_grace_copies

SPECIAL, ORDINARY, DOUBLE = 0, 1, 2
LARGEST_NUMBER = 10**9
LONGEST_TITLE = 200


class InconsistentIssueDates(Invalid):
    """The dates of the issue are inconsistent."""

    code = "issue_dates_wrong"
    title = "Inconsistent issue dates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One number of the magazine. Dates are those of the publisher's calendar."""

    number: int
    title: str
    cover_date: date
    planned_mail_date: date
    actual_mail_date: date | None = None
    label_cutoff: date
    counts_as: int = ORDINARY
    frozen_at: datetime | None = None  # as of when its labels were frozen: when they closed; None: not yet
    closed_with: date | None = field(default=None, compare=False)  # the cut-off of a later issue; set by the calendar

    @property
    def id(self) -> str:
        """The ID in the API."""
        return f"iss_{self.number}"

    @property
    def mail_date(self) -> date:
        """The date on which the issue comes out: the actual mail date, else the planned one."""
        return self.actual_mail_date or self.planned_mail_date

    @property
    def closes_on(self) -> date:
        """The day at whose end its labels close: its cut-off, or that of a later issue if that comes first."""
        return min(self.label_cutoff, self.closed_with or self.label_cutoff)

    def as_facts(self) -> dict[str, object]:
        """Return the values for the audit log."""
        return {
            "title": self.title,
            "cover_date": str(self.cover_date),
            "planned_mail_date": str(self.planned_mail_date),
            "actual_mail_date": str(self.actual_mail_date) if self.actual_mail_date else None,
            "label_cutoff": str(self.label_cutoff),
            "counts_as": self.counts_as,
        }

    def check(self) -> None:
        """
        Check the dates of the issue.

        :raises InconsistentIssueDates: the label cut-off is after the mail date, or a year is not plausible.
        """
        if not all(1900 <= day.year < 3000 for day in (self.cover_date, self.mail_date, self.label_cutoff)):
            raise InconsistentIssueDates(
                f"The dates of issue {self.number} must be from 1900 to 2999", number=self.number
            )
        if self.label_cutoff > self.mail_date:
            raise InconsistentIssueDates(
                f"Issue {self.number} is mailed on {self.mail_date}, so its label cut-off can't be {self.label_cutoff}",
                number=self.number,
                label_cutoff=str(self.label_cutoff),
                mail_date=str(self.mail_date),
            )


def _closed_in_order(issues: Sequence[Issue]) -> Sequence[Issue]:
    """
    Return the issues, each with the day on which a later one closes its labels.

    Copies go out in order: once the labels of an issue are closed, the issues before it can't be received either. A special
    issue closes only its own labels, and no other issue closes them.
    """
    found: list[Issue] = []
    earliest: date | None = None
    for issue in reversed(issues):
        found.append(replace(issue, closed_with=earliest if issue.counts_as else None))
        earliest = found[-1].closes_on if issue.counts_as else earliest
    return tuple(reversed(found))


_NEVER = datetime.max.replace(tzinfo=UTC)


class Calendar:
    """All issues in the order in which they come out, with running counts for fast lookups."""

    def __init__(self, issues: Iterable[Issue], zone: ZoneInfo) -> None:
        """
        Sort and count the issues.

        :param zone: the publisher's time zone. An issue comes out when its mail date begins there.
        """
        self.issues: Sequence[Issue] = _closed_in_order(sorted(issues, key=lambda issue: issue.number))
        self.zone = zone
        self._mailed = [self.begins(issue.mail_date) for issue in self.issues]
        printed = [i.frozen_at or at for i, at in zip(self.issues, self._mailed, strict=True)]
        self._printed = list(accumulate(printed, max))
        # Readers who subscribe before the end of the cut-off day are on the labels.
        closing = [self.ends(issue.closes_on) if issue.counts_as else _NEVER for issue in self.issues]
        self.closes_at: Sequence[datetime] = list(accumulate(reversed(closing), min))[::-1]
        self._counts = {
            most: list(accumulate((min(issue.counts_as, most) for issue in self.issues), initial=0))
            for most in (ORDINARY, DOUBLE)
        }

    def __len__(self) -> int:
        """Return the number of issues."""
        return len(self.issues)

    def begins(self, day: date) -> datetime:
        """Return when a day begins in the publisher's time zone."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def ends(self, day: date) -> datetime:
        """Return when a day ends in the publisher's time zone."""
        return self.begins(day + timedelta(days=1))

    def counted_from(self, now: datetime) -> datetime:
        """Return ``now``, or when frozen labels closed if that is later: ``now`` is then older than the freeze."""
        return max([now, *(issue.frozen_at for issue in self.issues if issue.frozen_at is not None)])

    def closes_within(self, now: datetime, time_: timedelta) -> bool:
        """Return whether the labels of an issue close within a time from ``now``."""
        return any(now < self.ends(issue.closes_on) <= now + time_ for issue in self.issues)

    def copies_served(self, now: datetime, *, doubles: int = DOUBLE, print_edition: bool = False) -> int:
        """Return how many copies were served until ``now``, from the first issue of the calendar."""
        times = self._printed if print_edition else self._mailed
        return self._counts[doubles][bisect_right(times, now)]

    def begin(self, at: datetime, *, doubles: int = DOUBLE, print_edition: bool = False) -> int:
        """Return the position of a reader who starts at ``at``: before the first issue that they can still receive."""
        index = bisect_left(self._mailed, at)
        if print_edition:
            index = max(index, bisect_left(self._printed, at), bisect_right(self.closes_at, at))
        return self._counts[doubles][index]

    def held(self, holds: Iterable[Hold], *, doubles: int, parts: Sequence[tuple[int, int | None]]) -> HeldCopies:
        """
        Return the copies that holds skip.

        :param parts: which copies can be held: ranges in order, the last one perhaps without an end.
        """
        indexes = sorted({index for hold in holds for index in held_by(hold, self.issues)})
        counts, numbers = self._counts[doubles], frozenset(self.issues[index].number for index in indexes)
        spans = [
            (max(counts[i], first), counts[i + 1] if end is None else min(counts[i + 1], end))
            for first, end in parts
            for i in indexes
        ]
        return HeldCopies([span for span in spans if span[0] < span[1]], numbers)

    def index_of_copy(self, count: int, *, doubles: int = DOUBLE) -> int | None:
        """Return the index of the issue that completes ``count`` copies; None if the calendar ends before."""
        index = bisect_left(self._counts[doubles], count)
        return index - 1 if 0 < index <= len(self.issues) else None

    def newest(self, *, doubles: int = DOUBLE) -> int | None:
        """Return the index of the last issue that counts; None if there is none."""
        return self.index_of_copy(self._counts[doubles][-1], doubles=doubles)

    def served_at(self, index: int, *, print_edition: bool = False) -> datetime:
        """Return when the issue at ``index`` is served."""
        return (self._printed if print_edition else self._mailed)[index]

    def next_issue_at(self, index: int) -> datetime | None:
        """Return when the next issue that counts after ``index`` comes out; None if the calendar ends before."""
        counts = self._counts[ORDINARY]
        later = bisect_right(counts, counts[index + 1])
        return self._mailed[later - 1] if later <= len(self.issues) else None

    def missing_copies(self, count: int, *, doubles: int = DOUBLE) -> int:
        """Return how many of ``count`` copies are after the end of the calendar."""
        return max(0, count - self._counts[doubles][-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledTerm:
    """A term's place in the calendar: ranges of copies, start (inclusive) to end (exclusive), in order."""

    term: Term
    ranges: tuple[tuple[int, int], ...]
    ended_at: datetime | None  # when the remaining issues were canceled
    doubles: int
    calendar: Calendar
    late_at: datetime | None = None  # when a renewal was paid after the grace period, and begins

    def copies_served(self, now: datetime) -> int:
        """Return how many copies were served until ``now``, from the first issue of the calendar."""
        return _copies_served(self.term, self.calendar, self.doubles, now)

    @property
    def end(self) -> int:
        """Return where the next term may start. Canceled copies don't count."""
        if self.ended_at is None:
            return self.ranges[-1][1]
        return max(self.ranges[0][0], min(self.copies_served(self.ended_at), self.ranges[-1][1]))

    def ledger(self, now: datetime) -> Ledger:
        """Return the term's ledger at ``now``."""
        over = self.ended_at is not None and self.ended_at <= now
        until = self.ended_at if over and self.ended_at is not None else now
        out = self.copies_served(until)
        served = sum(min(max(out, start), end) - start for start, end in self.ranges)
        owed = sum(end - start for start, end in self.ranges)
        added = sum(one.issues for one in self.term.adjustments)
        last = self.last_index if self.ended_at is None else None
        return Ledger(
            invoice_id=self.term.invoice_id,
            bought=self.term.issues_owed,
            adjustments=added,
            grace_copies=-sum(one.issues for one in self.term.adjustments if one.kind == AdjustmentKind.GRACE_COPIES),
            served=served,
            unserved=0 if over else owed - served,
            cancelled=owed - served if over else 0,
            last_issue=self.calendar.issues[last].number if last is not None else None,
        )

    @property
    def last_index(self) -> int | None:
        """Return the index of the issue that ends the term; None if it is after the calendar, or nothing is owed."""
        start, end = self.ranges[-1]
        return self.calendar.index_of_copy(end, doubles=self.doubles) if end > start else None

    def stored_last_issue(self) -> int | None:
        """Return the value of ``terms.last_issue``, by which the terms affected by a calendar change are found."""
        start, end = self.ranges[-1]
        if self.ended_at is not None or end <= start:
            return 0
        index = self.last_index
        return self.calendar.issues[index].number if index is not None else None

    def editions_until(self) -> datetime | None:
        """
        Return until when the term's editions stay available after its period because issues are owed; None if they don't.

        The last issue stays available until the next one comes out. Dates after the end of the calendar are estimated from
        the pace of the term, so that readers keep access even if next year is not planned yet.
        """
        newest = self.calendar.newest(doubles=self.doubles)
        if self.ended_at is not None or newest is None:
            return None
        pace = (self.term.ends_at - self.term.starts_at) / max(1, self.term.issues_owed)
        index = self.last_index
        if index is not None:
            printed = self.term.print_edition and self.term.print_until is None
            # Labels are frozen before the issue comes out, and the digital edition isn't there any earlier.
            out = max(self.calendar.served_at(index), self.calendar.served_at(index, print_edition=printed))
            closes = self.calendar.next_issue_at(index) or out + pace
        else:
            missing = self.calendar.missing_copies(self.ranges[-1][1], doubles=self.doubles)
            if missing == 0:
                return None  # nothing is owed
            out = max(self.calendar.served_at(newest), self.term.starts_at) + pace * missing
            closes = out + pace
        return closes if out > self.term.ends_at else None


def schedule_terms(
    subscription: Subscription, terms: Iterable[Term], calendar: Calendar, catalogue: Catalogue, *, grace: timedelta
) -> list[ScheduledTerm]:
    """
    Return the place of each of a subscription's terms in the calendar, the oldest first.

    :param catalogue: for the terms that don't know what they were promised, as for ``grace``.
    :param grace: the grace period. A renewal that was paid after it serves issues from its payment on.
    """
    ordered = sorted(terms, key=lambda term: (term.starts_at, term.invoice_id))
    runs: list[ScheduledTerm] = []
    position, labeled_until = 0, None
    for index, term in enumerate(ordered):
        doubles = _doubles_of(term, catalogue)
        # A reader who renews without a gap is on the labels already, so the cut-off doesn't apply.
        begins_at = _begins_at(term, grace) if index > 0 else term.starts_at
        paid_late = begins_at != term.starts_at
        term = with_grace_copies(term, ordered[index - 1]) if paid_late else term
        joins = term.begins_with_print and (paid_late or labeled_until != term.starts_at)
        start = max(position, calendar.begin(begins_at, doubles=doubles, print_edition=joins))
        following = _begins_at(ordered[index + 1], grace) if index + 1 < len(ordered) else None
        run = ScheduledTerm(
            term=term,
            ranges=_ranges(term, start, calendar, doubles, following),
            ended_at=canceled_at(subscription, term, ordered),
            doubles=doubles,
            calendar=calendar,
            late_at=begins_at if paid_late else None,
        )
        runs.append(run)
        position = run.end
        labeled_until = term.ends_at if term.print_edition and term.print_until is None else None
    return runs


def _begins_at(renewal: Term, grace: timedelta) -> datetime:
    """Return when a renewal begins: with its period, or when it was paid if that was after the grace period."""
    kept = renewal.offer.grace_period if renewal.offer is not None else grace
    if renewal.paid_at is not None and renewal.paid_at > renewal.starts_at + kept:
        return renewal.paid_at
    return renewal.starts_at


def _doubles_of(term: Term, catalogue: Catalogue) -> int:
    """Return how many of a term's issues a double issue serves."""
    if term.offer is not None:
        return term.offer.double_issues
    return catalogue.plan(term.plan).double_issues if term.plan in catalogue.plans else DOUBLE


def printed_parts(term: Term, calendar: Calendar, doubles: int) -> list[tuple[int, int | None]]:
    """Return which copies of the calendar are printed for a term: ranges in order, the last one perhaps without an end."""
    begin = partial(calendar.begin, doubles=doubles, print_edition=True)
    return [
        (begin(since) if since is not None else 0, begin(until) if until is not None else None)
        for since, until in term.print_periods
    ]


def held_copies(term: Term, calendar: Calendar, doubles: int) -> HeldCopies:
    """Return the copies that the holds of a term's reader skip: printed ones."""
    if not term.print_edition or not term.holds:
        return NOTHING_HELD
    return calendar.held(term.holds, doubles=doubles, parts=printed_parts(term, calendar, doubles))


def _ranges(
    term: Term, start: int, calendar: Calendar, doubles: int, following: datetime | None
) -> tuple[tuple[int, int], ...]:
    """
    Return the ranges of a term's copies. Issues added to a fully served term start when they are added.

    :param following: when the next term begins. What is added later still comes before it.
    """
    taken, held = sum(one.issues for one in term.adjustments if one.issues < 0), held_copies(term, calendar, doubles)
    begin = held.before(start)
    ranges = [(begin, begin + max(0, term.issues_owed + taken))]
    for one in sorted((one for one in term.adjustments if one.issues > 0), key=lambda one: one.at):
        at = min(one.at, following) if following is not None else one.at
        out = held.before(_copies_served(term, calendar, doubles, at))
        first, last = ranges[-1]
        if out > last:
            ranges.append((out, out + one.issues))
        else:
            ranges[-1] = (first, last + one.issues)
    return tuple(part for one in ranges for part in held.spread(*one))


def _copies_served(term: Term, calendar: Calendar, doubles: int, now: datetime) -> int:
    """Return the copies served until ``now``: by label runs while print is paid for, otherwise by mail dates."""
    digital = calendar.copies_served(now, doubles=doubles)
    if not term.print_edition:
        return digital
    printed, served = calendar.copies_served(now, doubles=doubles, print_edition=True), digital
    for first, end in printed_parts(term, calendar, doubles):
        if digital < first:
            break
        served = max(first, printed) if end is None else max(min(max(first, printed), end), digital)
    return served
