"""
Claims: a copy that was mailed and did not arrive, or arrived damaged.

A copy can be claimed once, within a number of days after it was mailed. The claim is resolved in one of two ways, never
both: a replacement with the next supplement of the issue, or the issues that the copy served are added to the term.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from app.domain.approvals import ApprovalStatus
from app.domain.errors import Conflict
from app.domain.issues import Issue
from app.domain.label_runs import MAIN


class CopyNotSent(Conflict):
    """No copy of this issue was sent for the subscription, so there is nothing to claim."""

    code = "copy_not_sent"
    title = "No copy was sent"


class CopySentElsewhere(Conflict):
    """The copy was sent to another address: to the one that was valid at the label cut-off."""

    code = "copy_sent_elsewhere"
    title = "Copy sent to another address"


class CopyNotMailed(Conflict):
    """The copy is not mailed yet."""

    code = "copy_not_mailed"
    title = "Copy not mailed yet"


class ClaimTooLate(Conflict):
    """The copy was mailed too long ago to be claimed."""

    code = "claim_too_late"
    title = "Too late to claim the copy"


class CopyAlreadyClaimed(Conflict):
    """The copy was already claimed. Each copy can be claimed once."""

    code = "copy_already_claimed"
    title = "Copy already claimed"


class NothingToExtend(Conflict):
    """The copy doesn't count toward the term, so there is nothing to add to it. Send a replacement instead."""

    code = "nothing_to_extend"
    title = "Copy doesn't count toward the term"


class ClaimResolution(StrEnum):
    """What a claim gives."""

    RESEND = "resend"
    EXTEND = "extend"


class ClaimStatus(StrEnum):
    """Where a claim stands. A granted replacement is ``sent`` once it is on a supplement."""

    AWAITING_APPROVAL = "awaiting_approval"
    REJECTED = "rejected"
    GRANTED = "granted"
    SENT = "sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimableCopy:
    """A copy of an issue on a label run."""

    subscription_id: str
    subscriber_id: str
    term: str
    issue_number: int
    run_number: int
    address_id: str
    run_as_of: datetime  # the time of its address: the label cut-off, or when its supplement was frozen
    run_mail_date: date
    is_grace: bool = False  # sent after the expire, while the renewal was awaited


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedClaim:
    """
    What a reader or the staff claims.

    :param address_id: the address where the copy was expected; None: the reader's own on the day it was mailed.
    """

    issue_number: int
    reason: str
    resolution: ClaimResolution
    note: str | None = None
    address_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claimed copy. Above the limits it waits for a second person; then its ID is that of an approval request."""

    id: str  # clm_…
    subscriber_id: str
    subscription_id: str
    term: str  # the invoice that opened the term that the copy served
    issue_number: int
    run_number: int
    address_id: str
    reason: str
    resolution: ClaimResolution
    note: str | None
    claimed_by: str
    created_at: datetime
    granted_at: datetime | None = None
    approval: str | None = None  # the status of its approval request
    replacement_number: int | None = None  # of the supplement with the replacement

    @property
    def status(self) -> ClaimStatus:
        """Where the claim stands."""
        if self.granted_at is not None:
            return ClaimStatus.SENT if self.replacement_number is not None else ClaimStatus.GRANTED
        return ClaimStatus.REJECTED if self.approval == ApprovalStatus.REJECTED else ClaimStatus.AWAITING_APPROVAL


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSelection:
    """Which claims are listed. None: all."""

    subscriber_id: str | None = None
    issue_number: int | None = None
    awaiting_approval: bool = False  # only those that a second person must decide


def mailed_on(copy: ClaimableCopy, issue: Issue) -> date:
    """Return the day on which a copy was mailed: with the issue, or with its supplement."""
    return issue.mail_date if copy.run_number == MAIN else max(issue.mail_date, copy.run_mail_date)


def check_claim(copy: ClaimableCopy, issue: Issue, wanted: WantedClaim, *, moved: bool, days: int, today: date) -> None:
    """
    Check that a copy can be claimed today.

    A grace copy is a gift until the renewal is paid, and then charged to it: it is sent again, and adds nothing to a term.

    :param moved: whether the reader changed their address after the label cut-off, before the copy was mailed.
    :param days: for how many days after it was mailed a copy can be claimed.
    :param today: in the publisher's time zone.
    :raises CopySentElsewhere: it was sent to another address than where it was expected.
    :raises CopyNotMailed: it is mailed later.
    :raises ClaimTooLate: it was mailed more than ``days`` ago.
    :raises NothingToExtend: the issue doesn't count or is a grace copy, and issues shall be added.
    """
    if moved if wanted.address_id is None else wanted.address_id != copy.address_id:
        raise CopySentElsewhere(
            f"Issue {issue.number} was sent to the address that was valid at its label cut-off", address=copy.address_id
        )
    mailed = mailed_on(copy, issue)
    if today < mailed:
        raise CopyNotMailed(f"Issue {issue.number} is mailed on {mailed}", mail_date=str(mailed))
    last_day = mailed + timedelta(days=days)
    if today > last_day:
        raise ClaimTooLate(f"Issue {issue.number} could be claimed until {last_day}", last_day=str(last_day))
    if wanted.resolution == ClaimResolution.EXTEND and not issue.counts_as:
        raise NothingToExtend(f"Issue {issue.number} is a special issue, which doesn't count toward the term")
    if wanted.resolution == ClaimResolution.EXTEND and copy.is_grace:
        raise NothingToExtend(f"Issue {issue.number} was a grace copy, which can only be sent again")


def issues_added(issue: Issue, *, doubles: int) -> int:
    """
    Return how many issues an extension adds for a lost copy: as many as the copy served.

    :param doubles: how many issues a double issue serves in the term.
    """
    return min(issue.counts_as, doubles)
