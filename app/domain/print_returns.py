"""
What follows when a payment that added print within a term is disputed or returned whole: it bought print and nothing else.

While its dispute is open, by policy, the period of print that it paid for is on hold. A lost dispute and a whole refund end
that period. The rest of the subscription continues.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from app.domain.disputes import Dispute, DisputePolicy, suspends
from app.domain.issues import Calendar
from app.domain.print_quotes import SECOND
from app.domain.reasons import EndReason
from app.domain.refunds import CONFIRMED, Refund, RefundBasis, RefundStatus
from app.domain.subscriptions import Payment, Subscription, Term

ENDS_PRINT = frozenset({RefundBasis.DASHBOARD, RefundBasis.FRAUD_WARNING})  # as whole refunds of what added it
_ON_ITS_WAY = CONFIRMED | {RefundStatus.PROCESSING}


def has_lost(disputes: Iterable[Dispute]) -> bool:
    """Return whether one of a payment's disputes was lost. What it ended stays ended if an appeal is won."""
    return any(one.lost_at is not None for one in disputes)


def without_lost_print(
    payments: Sequence[Payment], disputes: Iterable[Dispute], *, besides: str | None
) -> list[Payment]:
    """
    Return the payments without those that added print and were lost: they are settled, and the others can be refunded.

    :param besides: the ID of one that is asked about.
    """
    lost = {one.payment_id for one in disputes if has_lost([one])} - {besides}
    return [one for one in payments if one.print_from is None or one.id not in lost]


def suspended_from(
    added: Iterable[Payment],
    disputes: Mapping[str, Sequence[Dispute]],
    policies: Sequence[DisputePolicy],
    *,
    ended: Collection[str],
) -> datetime | None:
    """
    Return the start of the newest period of print whose copies are not sent; None if there is none.

    :param added: the payments that added print within a term.
    :param disputes: of each payment, by its ID.
    :param ended: the invoices whose print ended because they were returned.
    """
    found = []
    for payment in added:
        own = disputes.get(payment.id, ())
        is_disputed = has_lost(own) or any(suspends(one, policies) for one in own)
        if payment.print_from is not None and (is_disputed or payment.invoice_id in ended):
            found.append(payment.print_from)
    return max(found, default=None)


def is_print_on_hold(term: Term) -> bool:
    """Return whether the last period of print in a term is on hold, and has not ended."""
    at = term.print_suspended_from
    return at is not None and at >= (term.print_from or term.starts_at) and term.print_until is None


def end_of_print(
    payment: Payment, term: Term, subscription: Subscription, calendar: Calendar, *, at: datetime, now: datetime
) -> datetime | None:
    """
    Return when print ends because its payment was returned whole; None if nothing is left of the period that it paid for.

    The second is after the start of the period, because print must have begun.

    :param at: when the payment was returned. If labels were frozen since, they stay: then print ends now.
    """
    begun = term.print_from or term.starts_at
    is_its_own = payment.print_from is not None and payment.print_from >= begun
    if not is_its_own or term.print_until is not None or term.is_refunded or now >= term.ends_at:
        return None
    if not (subscription.can_be_canceled or term.outlives(subscription)):
        return None
    labeled = [issue.frozen_at for issue in calendar.issues if issue.frozen_at is not None and issue.frozen_at > at]
    ends_at = max(now, *labeled) if labeled else at
    return max(ends_at.replace(microsecond=0), begun.replace(microsecond=0) + SECOND)


def basis_of_return(payments: Sequence[Payment], refunds: Sequence[Refund], disputes: Iterable[Dispute]) -> str | None:
    """Return why nothing is left of the payments of an invoice; None if something is, or nothing was paid."""
    if has_lost(disputes):
        return EndReason.DISPUTE_LOST
    ids = {one.id for one in payments}
    back = sum(one.amount for one in refunds if one.payment_id in ids and one.status in _ON_ITS_WAY)
    paid = sum(one.amount - one.credited for one in payments)
    return RefundBasis.DASHBOARD if back >= paid and any(one.amount > 0 for one in payments) else None
