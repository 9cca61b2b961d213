"""
The calendar of issues, and the ledger of a term: what was bought, what came, what is still to come.

A ledger is never stored: it follows from the calendar, the terms and their adjustments, so it moves by itself when an issue
slips. Issues are counted in *copies owed*: an ordinary one is one, a double issue two (or one, where the plan says so), a
special none. The calendar is one line of such counts in the order in which issues come out, and a term is a stretch of it,
so that a ledger is two bisections, however many issues there are.

Issues serve the oldest term first (rules.md, rule 8): a term begins where the one before it ends, and not before its own
start. A double issue across the seam serves one copy of each.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from zoneinfo import ZoneInfo

from app.domain.errors import Conflict, Invalid
from app.domain.plans import Catalogue
from app.domain.subscriptions import AdjustmentKind, Subscription, Term

SPECIAL, ORDINARY, DOUBLE = 0, 1, 2
LARGEST_NUMBER = 10**9
LONGEST_TITLE = 200


class InconsistentIssueDates(Invalid):
    """The dates of the issue are inconsistent."""

    code = "issue_dates_wrong"
    title = "Inconsistent issue dates"


class IssueOutOfOrder(Conflict):
    """Issues must be mailed in the order of their numbers."""

    code = "issue_out_of_order"
    title = "Issues out of order"

    def __init__(self, issue: "Issue", before: "Issue") -> None:
        super().__init__(
            f"issue {issue.number} would come out on {issue.mail_date}, "
            f"before issue {before.number} on {before.mail_date}",
            number=issue.number,
            before=before.number,
        )
        self.number, self.before = issue.number, before.number


class DuplicateIssueNumber(Conflict):
    """Another issue has the same number."""

    code = "issue_twice"
    title = "Duplicate issue number"


class ExtensionTooLarge(Invalid):
    """A subscription can be extended by at most one term's issues at a time."""

    code = "extension_too_large"
    title = "Extension exceeds one term"


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
    frozen_at: datetime | None = None  # when its label run was frozen for print; none as long as there are no runs

    @property
    def id(self) -> str:
        """How it is called elsewhere."""
        return f"iss_{self.number}"

    @property
    def mail_date(self) -> date:
        """The day on which it comes out: the actual one, else the planned one."""
        return self.actual_mail_date or self.planned_mail_date

    def as_facts(self) -> dict[str, object]:
        """Return what the audit log keeps of it."""
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
        Let it pass if it makes sense by itself.

        :raises IssueDatesWrong: if its labels would be cut off after it was mailed.
        """
        if self.label_cutoff > self.mail_date:
            raise InconsistentIssueDates(
                f"issue {self.number} is mailed on {self.mail_date}, so its label cut-off cannot be {self.label_cutoff}",
                number=self.number,
                label_cutoff=str(self.label_cutoff),
                mail_date=str(self.mail_date),
            )


def check_order(issues: Iterable[Issue]) -> None:
    """
    Let a calendar pass if its issues come out in the order of their numbers.

    :raises IssueTwice: two issues have one number.
    :raises IssueOutOfOrder: an issue would come out before one with a lower number; the facts name both.
    """
    before: Issue | None = None
    for issue in sorted(issues, key=lambda one: one.number):
        if before is not None and before.number == issue.number:
            raise DuplicateIssueNumber(f"there are two issues {issue.number}", number=issue.number)
        if before is not None and issue.mail_date < before.mail_date:
            raise IssueOutOfOrder(issue, before)
        before = issue


class Calendar:
    """Every issue in the order in which it comes out, with running counts, so that questions need no walk."""

    def __init__(self, issues: Iterable[Issue], zone: ZoneInfo) -> None:
        """
        Count once.

        :param zone: the publisher's: an issue comes out when the day of its mail date begins there.
        """
        self.issues: Sequence[Issue] = tuple(sorted(issues, key=lambda issue: issue.number))
        self.zone = zone
        self._mailed = [self.begins(issue.mail_date) for issue in self.issues]
        printed = [i.frozen_at or at for i, at in zip(self.issues, self._mailed, strict=True)]
        self._printed = list(accumulate(printed, max))
        # Whoever is there before the day after the cut-off begins is on the labels.
        closing = [self.ends(issue.label_cutoff) for issue in self.issues]
        self._closing = list(accumulate(closing, max))
        self._counts = {
            most: list(accumulate((min(issue.counts_as, most) for issue in self.issues), initial=0))
            for most in (ORDINARY, DOUBLE)
        }

    def __len__(self) -> int:
        """Return how many issues there are."""
        return len(self.issues)

    def begins(self, day: date) -> datetime:
        """Return when a day begins where the publisher is."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def ends(self, day: date) -> datetime:
        """Return when a day is over where the publisher is."""
        return self.begins(day + timedelta(days=1))

    def out(self, now: datetime, *, doubles: int = DOUBLE, print_edition: bool = False) -> int:
        """Return how many copies were served up to ``now``, since the first issue of the calendar."""
        times = self._printed if print_edition else self._mailed
        return self._counts[doubles][bisect_right(times, now)]

    def begin(self, at: datetime, *, doubles: int = DOUBLE, print_edition: bool = False) -> int:
        """Return where a reader begins who comes at ``at``: before the first issue that can still reach them."""
        index = bisect_left(self._mailed, at)
        if print_edition:
            index = max(index, bisect_left(self._printed, at), bisect_right(self._closing, at))
        return self._counts[doubles][index]

    def reaching(self, count: int, *, doubles: int = DOUBLE) -> int | None:
        """Return the index of the issue with which ``count`` copies are served; None: the calendar ends before."""
        index = bisect_left(self._counts[doubles], count)
        return index - 1 if 0 < index <= len(self.issues) else None

    def newest(self, *, doubles: int = DOUBLE) -> int | None:
        """Return the index of the last issue that counts; None: there is none."""
        return self.reaching(self._counts[doubles][-1], doubles=doubles)

    def comes_out(self, index: int, *, print_edition: bool = False) -> datetime:
        """Return when the issue at ``index`` is served."""
        return (self._printed if print_edition else self._mailed)[index]

    def followed(self, index: int) -> datetime | None:
        """Return when the next issue that counts comes out after the one at ``index``; None: the calendar ends."""
        counts = self._counts[ORDINARY]
        later = bisect_right(counts, counts[index + 1])
        return self._mailed[later - 1] if later <= len(self.issues) else None

    def left_over(self, count: int, *, doubles: int = DOUBLE) -> int:
        """Return how many of ``count`` copies lie beyond the end of the calendar."""
        return max(0, count - self._counts[doubles][-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """
    The issues of one term at one moment. ``owed`` = ``served`` + ``unserved`` + ``cancelled``, always.

    :param adjustments: what was added (an extension, a granted claim), less the grace copies that came before it.
    :param cancelled: what will not come any more, because the subscription was ended early or the term given back.
    :param last_issue: the number that ends the term, if it is within the calendar and nothing was cancelled.
    """

    invoice_id: str
    bought: int
    adjustments: int
    grace_copies: int  # the part of the adjustments that was sent before the term, counted from zero up
    served: int
    unserved: int
    cancelled: int
    last_issue: int | None

    @property
    def owed(self) -> int:
        """Return what the term owes in all, served or not."""
        return self.bought + self.adjustments

    @property
    def received(self) -> int:
        """Return what the reader got for the term's money: a grace copy was sent before it, and is worth as much."""
        return self.served + self.grace_copies

    @property
    def sold(self) -> int:
        """Return what the term's money is spread over: ``received`` of it came."""
        return self.owed + self.grace_copies


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledTerm:
    """A term laid on the calendar: stretches of copies, from (included) and to (not), in order."""

    term: Term
    stretches: tuple[tuple[int, int], ...]
    ended_at: datetime | None  # when the rest was cancelled
    doubles: int
    calendar: Calendar

    @property
    def end(self) -> int:
        """Return where the next term may begin: what was cancelled stands in nobody's way."""
        if self.ended_at is None:
            return self.stretches[-1][1]
        out = self.calendar.out(self.ended_at, doubles=self.doubles, print_edition=self.term.print_edition)
        return max(self.stretches[0][0], min(out, self.stretches[-1][1]))

    def ledger(self, now: datetime) -> Ledger:
        """Return what the term's ledger says at ``now``."""
        over = self.ended_at is not None and self.ended_at <= now
        until = self.ended_at if over and self.ended_at is not None else now
        out = self.calendar.out(until, doubles=self.doubles, print_edition=self.term.print_edition)
        served = sum(min(max(out, start), end) - start for start, end in self.stretches)
        owed = sum(end - start for start, end in self.stretches)
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
        """Return the index of the issue that ends it; None: beyond the calendar, or nothing is owed."""
        start, end = self.stretches[-1]
        return self.calendar.reaching(end, doubles=self.doubles) if end > start else None

    def noted(self) -> int | None:
        """Return what is noted of it, to find it by when the calendar changes: see the column ``terms.last_issue``."""
        start, end = self.stretches[-1]
        if self.ended_at is not None or end <= start:
            return 0
        index = self.last_index
        return self.calendar.issues[index].number if index is not None else None

    def editions_until(self) -> datetime | None:
        """
        Return until when the term's editions stay open beyond its period, because issues are owed; None: they do not.

        The last issue stays open until the next one is out. What lies beyond the calendar is guessed by the pace of the
        term, so that nobody is shut out of what they paid for because next year is not planned yet.
        """
        newest = self.calendar.newest(doubles=self.doubles)
        if self.ended_at is not None or newest is None:
            return None
        pace = (self.term.ends_at - self.term.starts_at) / max(1, self.term.issues_owed)
        index = self.last_index
        if index is not None:
            out = self.calendar.comes_out(index, print_edition=self.term.print_edition)
            closes = self.calendar.followed(index) or out + pace
        else:
            missing = self.calendar.left_over(self.stretches[-1][1], doubles=self.doubles)
            if missing == 0:
                return None  # nothing is owed
            out = max(self.calendar.comes_out(newest), self.term.starts_at) + pace * missing
            closes = out + pace
        return closes if out > self.term.ends_at else None


def schedule_terms(
    subscription: Subscription, terms: Iterable[Term], calendar: Calendar, catalogue: Catalogue
) -> list[ScheduledTerm]:
    """Lay a subscription's terms on the calendar, the oldest first."""
    ordered = sorted(terms, key=lambda term: (term.starts_at, term.invoice_id))
    runs: list[ScheduledTerm] = []
    position, ended_before = 0, None
    for index, term in enumerate(ordered):
        doubles = catalogue.plan(term.plan).double_issues if term.plan in catalogue.plans else DOUBLE
        # Whoever renews without a gap was on the labels all the time: no cut-off stands in their way.
        joins = term.print_edition and ended_before != term.starts_at
        start = max(position, calendar.begin(term.starts_at, doubles=doubles, print_edition=joins))
        following = ordered[index + 1].starts_at if index + 1 < len(ordered) else None
        run = ScheduledTerm(
            term=term,
            stretches=_stretches(term, start, calendar, doubles, following),
            ended_at=_ended_at(subscription, term, ordered),
            doubles=doubles,
            calendar=calendar,
        )
        runs.append(run)
        position, ended_before = run.end, term.ends_at
    return runs


def _stretches(
    term: Term, start: int, calendar: Calendar, doubles: int, following: datetime | None
) -> tuple[tuple[int, int], ...]:
    """Return where a term's copies lie. What is added to a term that is served already comes from then on."""
    taken = sum(one.issues for one in term.adjustments if one.issues < 0)
    stretches = [(start, start + max(0, term.issues_owed + taken))]
    for one in sorted((one for one in term.adjustments if one.issues > 0), key=lambda one: one.at):
        at = min(one.at, following) if following is not None else one.at
        out = calendar.out(at, doubles=doubles, print_edition=term.print_edition)
        first, last = stretches[-1]
        if out > last:
            stretches.append((out, out + one.issues))
        else:
            stretches[-1] = (first, last + one.issues)
    return tuple(stretches)


def _ended_at(subscription: Subscription, term: Term, terms: Sequence[Term]) -> datetime | None:
    """
    Return when what was left of a term was cancelled; None: it is still owed.

    An end at once, ours or Stripe's, cancels what is left. An end with the period does not: what was paid for is served.
    """
    if term.is_spared_by(subscription):
        return None
    times = [subscription.access_ended_at] if subscription.access_ended_at is not None else []
    paid_until = max((one.ends_at for one in terms if not one.is_refunded), default=term.ends_at)
    if subscription.ended_at is not None and subscription.ended_at < paid_until:
        times.append(subscription.ended_at)
    if times:
        return min(times)
    return term.starts_at if term.is_refunded else None


def ledgers_of(
    subscription: Subscription, terms: Iterable[Term], calendar: Calendar, catalogue: Catalogue, *, now: datetime
) -> list[Ledger]:
    """Return the ledger of each term of a subscription at ``now``, the oldest first."""
    return [run.ledger(now) for run in schedule_terms(subscription, terms, calendar, catalogue)]
