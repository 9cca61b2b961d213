"""
Label runs: the frozen lists of who gets a copy of an issue, and at which address.

A run is frozen once the label cut-off has passed, as of the cut-off: who ended later gets the copy, and who moved later
gets it at the old address. What is owed but not on a run (a late payment, a repaired address, a refund that failed)
goes to a numbered supplement. No issue goes to a subscription twice, except a replacement for a granted claim and a back
issue that the desk ordered.

Grace copies go out after the expire while a renewal is awaited. When it comes, they are charged to its term: see
:mod:`app.domain.issues`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntFlag, StrEnum

from app.domain.errors import Conflict, Unavailable
from app.domain.issues import Calendar, Issue
from app.domain.postage import LabelColumn

MAIN = 0  # the number of the run at the cut-off; supplements count from 1


class CutoffNotReached(Conflict):
    """The labels can only be frozen after the label cut-off, in the publisher's time zone."""

    code = "cutoff_not_reached"
    title = "Label cut-off not reached"


class AlreadyFrozen(Conflict):
    """The label run of this issue is frozen. Copies owed since then go on a supplement."""

    code = "label_run_frozen"
    title = "Label run already frozen"


class NotFrozen(Conflict):
    """The label run of this issue is not frozen yet."""

    code = "label_run_not_frozen"
    title = "Label run not frozen"


class NothingToAdd(Conflict):
    """Nobody else is owed a copy of this issue, so there is nothing for a supplement."""

    code = "nothing_to_add"
    title = "Nothing to add"


class IssueFrozen(Conflict):
    """The labels of this issue are frozen, so its cut-off and what it counts as can't be changed."""

    code = "issue_frozen"
    title = "Issue with a frozen label run"


class CutoffPassed(Conflict):
    """The label cut-off has passed, so it and what the issue counts as stay. It can't be a past day before the mailing."""

    code = "cutoff_passed"
    title = "Label cut-off passed"


class CopiesBeingDerived(Unavailable):
    """A change of the calendar is still being applied to subscriptions. Try again when it is finished."""

    code = "copies_being_derived"
    title = "Subscriptions are being updated"
    retry_after = timedelta(seconds=30)


class LabelKind(StrEnum):
    """Why a label is printed."""

    COPY = "copy"
    REPLACEMENT = "replacement"
    BACK_ISSUE = "back_issue"


class Flag(IntFlag):
    """A property of a copy that the labels show. The values are stored."""

    NEW = 1  # the subscription's first label
    RENEWED = 2  # another term than its label before: the first of a new one
    CHANGED = 4  # another address than on its label before
    LAST_ISSUE = 8  # nothing is owed after it
    GRACE = 16  # sent after the expire, while the renewal is awaited


FLAGS: Mapping[str, Flag] = {flag.name.lower(): flag for flag in Flag if flag.name is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class BandCount:
    """Copies to a country at a postage band."""

    country: str
    band: str
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The copies of a run: by country and band, and of each flag."""

    copies: int
    control_sum: int
    bands: tuple[BandCount, ...]
    flags: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """A run compared with the one before it: how many subscriptions joined, left and moved, and some of them."""

    previous: int | None  # the issue of the run before; None: there is none
    joined: int
    left: int
    moved: int
    samples: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """How many owed copies are not on the run, by reason."""

    no_address: int
    unusable_address: int
    refund_in_progress: int
    payment_disputed: int
    not_updated: int  # a change of the calendar could not be applied to the subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would be frozen."""

    issue: Issue
    number: int
    as_of: datetime
    mail_date: date
    counts: Counts
    differences: Differences
    left_out: LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRun:
    """A frozen run."""

    id: str  # lbl_…
    issue_number: int
    number: int
    as_of: datetime
    mail_date: date
    frozen_at: datetime
    frozen_by: str
    counts: Counts
    columns: tuple[LabelColumn, ...]
    erased: int = 0  # labels whose reader was erased
    emptied_at: datetime | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether its file is still the same, byte for byte."""
        return self.erased == 0 and self.emptied_at is None


def cutoff_of(calendar: Calendar, issue: Issue, now: datetime) -> datetime:
    """
    Return when the labels of an issue close: when its cut-off day ends, or that of a later issue if that is earlier.

    :raises CutoffNotReached: that is later than ``now``.
    """
    at = calendar.ends(issue.closes_on)
    if now < at:
        raise CutoffNotReached(
            f"The labels of issue {issue.number} close at the end of {issue.closes_on}",
            number=issue.number,
            label_cutoff=str(issue.closes_on),
        )
    return at


def check_changes(calendar: Calendar, before: Issue | None, after: Issue, now: datetime) -> None:
    """
    Check a change of an issue against its label run. The mail date may still move.

    Copies are promised at the cut-off, and refunds leave them out from then on, long before the labels are frozen.

    :raises IssueFrozen: its labels are frozen, and the cut-off or what it counts as would change.
    :raises CutoffPassed: its labels have closed, and one of these would change; or they would have closed already. A new
        issue that was mailed is history, and may have any cut-off. So may those of the first import: there was no ledger
        before, and no refund of unserved issues.
    """
    if before is None:
        if len(calendar) and calendar.ends(after.label_cutoff) <= now < calendar.begins(after.mail_date):
            raise CutoffPassed(
                f"The label cut-off of issue {after.number}, {after.label_cutoff}, has passed, and the issue is not mailed "
                "yet. Choose a cut-off of today or later",
                number=after.number,
                label_cutoff=str(after.label_cutoff),
            )
        return
    if (before.label_cutoff, before.counts_as) == (after.label_cutoff, after.counts_as):
        return
    if before.frozen_at is not None:
        raise IssueFrozen(
            f"The labels of issue {after.number} are frozen: its cut-off and what it counts as can't be changed",
            number=after.number,
        )
    passed = next((day for day in (before.closes_on, after.label_cutoff) if calendar.ends(day) <= now), None)
    if passed is not None:
        because = (
            f"The labels of issue {after.number} closed at the end of {passed}: its cut-off and what it counts as can't be "
            "changed"
            if passed == before.closes_on
            else f"The label cut-off of issue {after.number} can't be {passed}: that day has passed"
        )
        raise CutoffPassed(because, number=after.number, label_cutoff=str(passed))


def grace_expires(calendar: Calendar, issue: Issue, plans: Mapping[str, int]) -> list[tuple[str, int]]:
    """
    Return the plans and expires of terms that an issue is a grace copy of.

    :param plans: for each plan, how many issues go out after the expire. Special issues go with them and don't count.
    """
    before = [one.number for one in reversed(calendar.issues) if one.counts_as and one.number < issue.number]
    return [(plan, number) for plan, most in plans.items() for number in before[:most]]
