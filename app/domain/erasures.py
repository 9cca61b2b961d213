"""
Erasing a reader: what must be settled first, what ends, and what is kept and why.

An erasure ends what is running and refunds nothing by itself. Afterwards the reader can't ask for their money anymore, so
whoever erases them sees what is refundable and either refunds it first, or says that it is not refunded. What is undecided
blocks the erasure: a bank or a colleague may still need to know who the reader is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.domain.approvals import ApprovalRequest, ApprovalStatus
from app.domain.disputes import Dispute
from app.domain.errors import Conflict
from app.domain.money import Money
from app.domain.quotes import Quote
from app.domain.refunds import Refund, RefundStatus
from app.domain.signing_keys import LONGEST_LIFE

ERASED = "erased:"  # prefix of what replaces a ``sub``; the subscriber's ID follows
# Until then the ``sub`` revokes the reader's tokens, and a repeated request finds the erasure.
LAST_TRACE = 2 * LONGEST_LIFE + timedelta(minutes=5)
_UNDECIDED: Mapping[str, str] = {
    RefundStatus.AWAITING_APPROVAL: "waits for approval. Approve or reject it first",
    RefundStatus.PROCESSING: "is being processed. Wait until it is complete",
    RefundStatus.PENDING: "is on its way. Wait until the bank has confirmed it",
    RefundStatus.REQUIRES_ACTION: "needs the reader's bank details. Wait until it is complete",
}
_NOT_PAID = frozenset({RefundStatus.FAILED, RefundStatus.CANCELED})


class ErasureBlocked(Conflict):
    """Something is undecided: a refund, a dispute or a request. Settle it first."""

    code = "erasure_blocked"
    title = "Reader can't be erased yet"


class RefundDue(Conflict):
    """Part of what the reader paid can be refunded. Refund it first, or confirm that it is not refunded."""

    code = "refund_due"
    title = "Money can be refunded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    """Why a reader can't be erased yet."""

    object_id: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refundable:
    """What can be refunded of a payment, and on which basis."""

    payment_id: str
    basis: str
    money: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasurePreview:
    """The effects of an erasure."""

    ends: Sequence[str] = ()  # subscriptions and complimentary access that end
    refundable: Sequence[Refundable] = ()
    credit: Sequence[Money] = ()  # in the customer's balance at Stripe, which is deleted
    blockers: Sequence[Blocker] = ()

    def check(self, *, without_refund: bool) -> None:
        """
        Check that the reader can be erased.

        :raises ErasureBlocked: something is undecided.
        :raises RefundDue: money can be refunded, and the caller did not confirm that it is not.
        """
        if self.blockers:
            raise ErasureBlocked(
                " ".join(f"{one.words}." for one in self.blockers), objects=[one.object_id for one in self.blockers]
            )
        owed = [one.money for one in self.refundable] + list(self.credit)
        if owed and not without_refund:
            raise RefundDue(
                f"{', '.join(map(str, owed))} can still be refunded. Refund it first, or confirm that it is not refunded.",
                payments=[one.payment_id for one in self.refundable],
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Something that an erasure keeps, and why."""

    what: str
    why: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """A request to erase a reader, and its result."""

    id: str
    subscriber_id: str
    requested_by: str
    requested_at: datetime
    finished_at: datetime | None
    sub: str | None = None  # until the last trace is removed
    customer_ids: Sequence[str] = ()
    erased: Mapping[str, int] = field(default_factory=dict)  # rows by table
    kept: Sequence[Kept] = ()


def blockers(
    refunds: Iterable[Refund], disputes: Iterable[Dispute], requests: Iterable[ApprovalRequest]
) -> tuple[Blocker, ...]:
    """Return what is undecided."""
    found = []
    for refund in refunds:
        if refund.status in _UNDECIDED:
            words = f"The refund {refund.id} of {refund.money} {_UNDECIDED[refund.status]}"
            found.append(Blocker(object_id=refund.id, words=words))
        elif refund.status in _NOT_PAID and refund.attention is not None:
            words = (
                f"The refund {refund.id} of {refund.money} failed, so its money is still owed. Refund it again first"
            )
            found.append(Blocker(object_id=refund.id, words=words))
    for dispute in disputes:
        if dispute.is_open:
            words = (
                f"The dispute {dispute.id} is open, and its evidence may need the reader's data. Wait for the decision"
            )
            found.append(Blocker(object_id=dispute.id, words=words))
    for request in requests:
        if request.status == ApprovalStatus.AWAITING_APPROVAL:
            words = f"The request {request.id} waits for approval. Approve or reject it first"
            found.append(Blocker(object_id=request.id, words=words))
    return tuple(found)


def refundable(quotes: Iterable[tuple[str, Sequence[Quote]]], bases: Sequence[str]) -> tuple[Refundable, ...]:
    """
    Return what can be refunded of each payment on the best of some bases.

    :param quotes: the quotes of each payment, by its ID.
    """
    found: dict[str, Refundable] = {}
    for payment_id, offers in quotes:
        allowed = [quote for quote in offers if quote.basis in bases and quote.allowed and quote.amount > 0]
        best = max(allowed, key=lambda quote: quote.amount, default=None)
        if best is not None and not any(part.payment.id in found for part in best.parts):  # one quote may cover several
            found[payment_id] = Refundable(payment_id=payment_id, basis=best.basis, money=best.money)
    return tuple(found.values())
