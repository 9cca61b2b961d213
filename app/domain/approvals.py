"""
Second persons: what one person may give alone, and who may approve more than that (rules.md, rule 6).

Goodwill refunds, complimentary access, extensions, claims of copies and back issues have limits
(:mod:`app.domain.dated_policies`). A larger request waits until somebody else approves it. Nobody gives anything to
themselves, or approves what they would get.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from app.domain.dated_policies import Given
from app.domain.errors import Conflict, Forbidden
from app.domain.refunds import COUNTED, Refund, RefundBasis
from app.domain.subscriptions import Payment

STAFF = "staff"  # the kind of actor in the audit log; see app.domain.callers


class ApprovalKind(StrEnum):
    """What is requested."""

    REFUND = "refund"
    COMP = "comp"
    EXTENSION = "extension"
    CLAIM = "claim"
    BACK_ISSUE = "back_issue"


class ApprovalStatus(StrEnum):
    """The status of a request other than a refund. Refunds have more."""

    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    REJECTED = "rejected"


class NotAwaitingApproval(Conflict):
    """The request is not awaiting approval: it was already decided, or needs no approval."""

    code = "not_awaiting_approval"
    title = "Request is not awaiting approval"


class OwnRequest(Forbidden):
    """You can't approve or reject your own request. A second person must decide."""

    code = "own_request"
    title = "You can't approve your own request"


class OwnAccount(Forbidden):
    """You can't give anything to yourself, or decide about a request for yourself."""

    code = "own_account"
    title = "You can't give anything to yourself"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A request for complimentary access, an extension, a claim or a back issue. Its ID becomes that of what is given."""

    id: str  # cmp_…, adj_…, clm_…, bki_…
    kind: str
    subscriber_id: str
    amount: int  # days of access, issues, or the copy of a claim or a back issue
    plan: str | None = None  # complimentary access
    until: datetime | None = None
    issues: int | None = None  # complimentary access for a number of issues, or how many an extension adds
    subscription_id: str | None = None  # all but complimentary access
    reason: str
    note: str | None
    requested_by: str
    status: str
    decided_by: str | None = None
    decided_at: datetime | None = None
    decision_note: str | None = None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingApproval:
    """What a second person must decide about: a refund, or one of the other requests."""

    id: str
    kind: str
    subscriber_id: str
    created_at: datetime
    refund: Refund | None = None
    request: ApprovalRequest | None = None


def kind_of(request_id: str) -> ApprovalKind | None:
    """Return the kind of a request, from its ID; None if it is the ID of something else."""
    kinds = {
        "rfd": ApprovalKind.REFUND,
        "cmp": ApprovalKind.COMP,
        "adj": ApprovalKind.EXTENSION,
        "clm": ApprovalKind.CLAIM,
        "bki": ApprovalKind.BACK_ISSUE,
    }
    return kinds.get(request_id.partition("_")[0])


def check_beneficiary(sub: str, *, by: str) -> None:
    """
    Check that a member of staff does not give something to themselves.

    :param sub: the reader's, at the identity provider.
    :param by: the actor. A reader's own click is no gift.
    :raises OwnAccount: they are the same person.
    """
    if by == f"{STAFF}:{sub}":
        raise OwnAccount


def check_decision(*, requested_by: str, status: str, sub: str, by: str) -> None:
    """
    Check that ``by`` may approve or reject a request.

    :param sub: of the reader who would get something.
    :raises OwnRequest: they requested it themselves.
    :raises OwnAccount: they would get it.
    :raises NotAwaitingApproval: it is not awaiting approval.
    """
    if requested_by == by:
        raise OwnRequest
    check_beneficiary(sub, by=by)
    if status != ApprovalStatus.AWAITING_APPROVAL:
        raise NotAwaitingApproval(f"The request is {status.replace('_', ' ')}", status=status)


def start_of_day(now: datetime, zone: ZoneInfo) -> datetime:
    """Return when the publisher's day began, for what one person gives in a day."""
    return datetime.combine(now.astimezone(zone).date(), time(), zone)


def days_of(starts_at: datetime, until: datetime) -> int:
    """Return the number of days of complimentary access. A part of a day counts as a day."""
    return max(0, -(-(until - starts_at) // timedelta(days=1)))


def goodwill_given(payment: Payment, refunds: Iterable[Refund], *, since: datetime | None) -> Given:
    """
    Return the goodwill given on a payment and to its reader, in the payment's currency.

    :param refunds: all of the reader's.
    :param since: from when on what the reader got counts; None: from the beginning.
    """
    goodwill = [
        refund
        for refund in refunds
        if refund.basis == RefundBasis.GOODWILL and refund.status in COUNTED and refund.currency == payment.currency
    ]
    return Given(
        on_payment=sum(refund.amount for refund in goodwill if refund.payment_id == payment.id),
        to_reader=sum(refund.amount for refund in goodwill if since is None or refund.created_at >= since),
    )
