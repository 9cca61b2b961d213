"""Back issues: earlier issues that the desk sends, which change nothing about what a subscription owes."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from app.domain.approvals import ApprovalStatus
from app.domain.errors import Conflict
from app.domain.issues import Issue


class IssueNotMailed(Conflict):
    """A back issue is one that was mailed before. Later issues are sent by their label runs."""

    code = "issue_not_mailed"
    title = "Issue not mailed yet"


class BackIssueStatus(StrEnum):
    """Where an order stands."""

    AWAITING_APPROVAL = "awaiting_approval"
    REJECTED = "rejected"
    ORDERED = "ordered"
    SENT = "sent"
    CANCELED = "canceled"  # the reader was erased first


@dataclass(frozen=True, slots=True, kw_only=True)
class BackIssue:
    """An order of one earlier issue for a reader. Above the limits it waits for a second person."""

    id: str  # bki_…
    subscriber_id: str
    subscription_id: str
    issue_number: int
    note: str | None
    ordered_by: str
    created_at: datetime
    approval: str | None = None  # the status of its approval request; None: it needed none
    supplement: int | None = None  # the number of the supplement that it went out with
    is_erased: bool = False  # the reader was erased

    @property
    def status(self) -> BackIssueStatus:
        """Where the order stands."""
        if self.supplement is not None:
            return BackIssueStatus.SENT
        if self.is_erased:
            return BackIssueStatus.CANCELED
        if self.approval in (None, ApprovalStatus.APPROVED):
            return BackIssueStatus.ORDERED
        return BackIssueStatus(str(self.approval))


def check_mailed(issue: Issue, *, today: date) -> None:
    """
    Check that an issue can be ordered as a back issue.

    :param today: in the publisher's time zone.
    :raises IssueNotMailed: its labels are not frozen, or it is mailed later.
    """
    if issue.frozen_at is None or today < issue.mail_date:
        raise IssueNotMailed(
            f"Issue {issue.number} is not mailed yet", number=issue.number, mail_date=str(issue.mail_date)
        )
