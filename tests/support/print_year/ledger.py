"""Which copies a reader is owed, and at which address: the model's card of one subscription."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("America/Chicago")
DAY = timedelta(days=1)
GRACE_PERIOD, GRACE_COPIES, BOUGHT = 14 * DAY, 2, 24
FROM_THE_START = datetime.min.replace(tzinfo=UTC)  # since when a term with print has it


def begin_of(day: date) -> datetime:
    """Return when a day begins at the publisher's."""
    return datetime.combine(day, time(), ZONE).astimezone(UTC)


@dataclass
class PlannedIssue:
    """An issue of the calendar."""

    number: int
    mail_date: date
    cutoff: date
    counts: int = 1
    frozen: bool = False

    @property
    def closes(self) -> datetime:
        """When its labels close."""
        return begin_of(self.cutoff + DAY)

    @property
    def out(self) -> datetime:
        """When it comes out."""
        return begin_of(self.mail_date)


@dataclass
class PrintPeriod:
    """A time in which print was paid for."""

    since: datetime
    until: datetime | None = None

    def has(self, issue: PlannedIssue) -> bool:
        """Return whether the labels of an issue close in it."""
        return self.since < issue.closes and (self.until is None or issue.closes <= self.until)


@dataclass
class PaidTerm:
    """A paid term, according to Stripe's invoice."""

    invoice: str
    starts: datetime
    ends: datetime
    paid: datetime
    with_print: bool
    prints: list[PrintPeriod]
    extensions: list[tuple[datetime, int]] = field(default_factory=list)  # when issues were added, and how many
    ended: datetime | None = None  # when the rest was refunded or canceled
    refunded: bool = False
    grace_charged: int = 0

    @property
    def added(self) -> int:
        """How many issues were added."""
        return sum(issues for _, issues in self.extensions)


@dataclass
class Away:
    """A hold."""

    id: str
    since: date
    until: date | None
    issues: int | None
    lifted: date | None = None


@dataclass
class Place:
    """An address, and when it was saved. ``since`` and ``until`` are those of a temporary one."""

    city: str
    saved: datetime
    since: date | None = None
    until: date | None = None

    def is_on(self, day: date) -> bool:
        """Return whether it is a temporary address of a day."""
        return self.since is not None and self.until is not None and self.since <= day < self.until


@dataclass
class Replacement:
    """A granted claim of a copy that is sent again."""

    issue: int
    term: PaidTerm


@dataclass
class SentLabel:
    """Where a copy was sent, as of when, and the first day on which it can be mailed."""

    city: str
    as_of: datetime
    printed: date


@dataclass
class Card:
    """Everything that concerns the copies of one reader's subscription."""

    terms: list[PaidTerm] = field(default_factory=list)
    holds: list[Away] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    replacements: list[Replacement] = field(default_factory=list)
    claimed: set[int] = field(default_factory=set)
    sent: dict[int, PaidTerm | None] = field(default_factory=dict)  # copies, by issue; None: a grace copy
    labels: dict[int, SentLabel] = field(default_factory=dict)  # of these copies
    grace: list[int] = field(default_factory=list)
    will_renew: bool = True

    def copies(self, calendar: Sequence[PlannedIssue]) -> dict[int, PaidTerm]:
        """Return the printed copies that are owed and those that were, each with the first term that owes it."""
        owed: dict[int, PaidTerm] = {}
        for term, issue in self._served(calendar):
            if self.is_printed(term, issue):
                owed.setdefault(issue.number, term)
        return owed

    def printed(self, term: PaidTerm, calendar: Sequence[PlannedIssue]) -> list[PlannedIssue]:
        """Return the printed issues of a term, in order, whether it ended early or not."""
        found = {issue.number: issue for one, issue in self._served(calendar) if one is term}
        return [issue for issue in found.values() if self.is_printed(term, issue)]

    def last_issue(self, calendar: Sequence[PlannedIssue]) -> int:
        """Return the issue with which the last term ends; 0: it has no rest."""
        return max((issue.number for _, issue in self._served(calendar)), default=0)

    def left(self, term: PaidTerm, calendar: Sequence[PlannedIssue], now: datetime) -> int:
        """Return how many issues of a term are not served yet."""
        return sum(one is term and not self.is_served(term, issue, now) for one, issue in self._served(calendar))

    def served(self, calendar: Sequence[PlannedIssue], now: datetime, term: PaidTerm) -> int:
        """Return how many issues of a term are served."""
        at = min(now, term.ended) if term.ended is not None else now
        return sum(one is term and self.is_served(term, issue, at) for one, issue in self._served(calendar))

    def is_served(self, term: PaidTerm, issue: PlannedIssue, at: datetime) -> bool:
        """Return whether an issue is served: in print by its frozen labels, otherwise by its mail date."""
        if self.is_printed(term, issue) and issue.frozen:
            return issue.closes <= at
        return issue.out <= at

    @staticmethod
    def is_printed(term: PaidTerm, issue: PlannedIssue) -> bool:
        """Return whether an issue of a term is a printed one."""
        return any(period.has(issue) for period in term.prints)

    def is_held(self, issue: PlannedIssue, calendar: Sequence[PlannedIssue]) -> bool:
        """Return whether a hold skips an issue."""
        for hold in self.holds:
            if issue.cutoff < hold.since or (hold.lifted is not None and issue.cutoff >= hold.lifted):
                continue
            if hold.until is not None and issue.cutoff < hold.until:
                return True
            if hold.issues is not None:
                later = [one.number for one in calendar if one.cutoff >= hold.since]
                if issue.number in later[: hold.issues]:
                    return True
        return False

    def _served(self, calendar: Sequence[PlannedIssue]) -> Iterator[tuple[PaidTerm, PlannedIssue]]:
        """Yield each term with the issues that it owes, a double one twice, in order."""
        copies = [issue for issue in calendar for _ in range(issue.counts)]
        place = 0
        for number, term in enumerate(self.terms):
            before = self.terms[number - 1] if number else None
            late = before is not None and term.paid > term.starts + GRACE_PERIOD
            begins = term.paid if late else term.starts
            continues = before is not None and not late and self._prints_at_end(before) and before.ends == term.starts
            joins = term.with_print and not continues
            while place < len(copies) and not self._can_begin(copies[place], begins, joins=joins):
                place += 1
            following = self.terms[number + 1].starts if number + 1 < len(self.terms) else None
            parts = [(None, BOUGHT - (term.grace_charged if late else 0)), *term.extensions]
            for at, left in parts:
                if at is not None:  # what is added to a term that is served in full begins with the next issue
                    known = min(at, following) if following is not None else at
                    while place < len(copies) and self.is_served(term, copies[place], known):
                        place += 1
                while left > 0 and place < len(copies):
                    issue = copies[place]
                    place += 1
                    if self.is_printed(term, issue) and self.is_held(issue, calendar):
                        continue
                    yield term, issue
                    left -= 1

    @staticmethod
    def _can_begin(issue: PlannedIssue, at: datetime, *, joins: bool) -> bool:
        return issue.out >= at and (not joins or issue.closes > at)

    @staticmethod
    def _prints_at_end(term: PaidTerm) -> bool:
        return any(period.until is None for period in term.prints)

    def gets_grace_copy(self, issue: PlannedIssue, calendar: Sequence[PlannedIssue], *, at: datetime) -> bool:
        """Return whether an issue is sent although no term owes it, because a renewal is awaited at a time."""
        if not self.terms or not self.will_renew:
            return False
        last = self.terms[-1]
        if last.ended is not None or not self._prints_at_end(last) or at <= last.ends:
            return False
        expire = self.last_issue(calendar)
        after = [one.number for one in calendar if one.number > expire and one.counts]
        return issue.number in after[:GRACE_COPIES] and not self.is_held(issue, calendar)

    def city(self, *, known: datetime, day: date) -> str:
        """Return where a copy goes, by what was known at a time, on the day when it is mailed."""
        return self._place(known=known, day=day).city

    def _place(self, *, known: datetime, day: date) -> Place:
        known_places = [place for place in self.places if place.saved <= known]
        for place in known_places:
            if place.is_on(day):
                return place
        return next(place for place in reversed(known_places) if place.since is None)

    def moved_late(self, issue: PlannedIssue) -> bool:
        """Return whether a copy went elsewhere than to the reader's address, because of a change after its labels closed."""
        label = self.labels[issue.number]
        day = max(issue.mail_date, label.printed)
        place = self._place(known=begin_of(day + timedelta(days=1)) - timedelta.resolution, day=day)
        return place.city != label.city and place.saved >= label.as_of

    def on_main_run(self, issue: PlannedIssue, calendar: Sequence[PlannedIssue]) -> bool:
        """Return whether a copy of an issue is on its run at the cut-off."""
        term = self.copies(calendar).get(issue.number)
        if term is not None:
            return term.ended is None or term.ended >= issue.closes
        return self.gets_grace_copy(issue, calendar, at=issue.closes)

    def on_supplements(self, calendar: Sequence[PlannedIssue]) -> Iterator[tuple[int, str]]:
        """Yield the frozen issues for which labels are still to be printed, with the kind of each."""
        owed = self.copies(calendar)
        for issue in calendar:
            if issue.frozen:
                yield from ((issue.number, kind) for kind in self._missing(issue, calendar, owed))

    def _missing(self, issue: PlannedIssue, calendar: Sequence[PlannedIssue], owed: dict[int, PaidTerm]) -> list[str]:
        term = owed.get(issue.number)
        is_owed = term is not None and term.ended is None
        missing = issue.number not in self.sent and (is_owed or self.gets_grace_copy(issue, calendar, at=issue.closes))
        again = [one for one in self.replacements if one.issue == issue.number and not one.term.refunded]
        return ["copy"] * missing + ["replacement"] * len(again)
