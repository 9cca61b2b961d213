"""
What a reader is told about their subscription: the most urgent of what its status, its disputes and its refunds say.

The notices of the statuses are in :mod:`app.domain.access_status`.
"""

from collections.abc import Sequence
from datetime import datetime

from app.domain.access_status import NO_ACCESS, Notice
from app.domain.disputes import AccessEffect, Dispute, effect_of
from app.domain.entitlements import AccessReason
from app.domain.print_returns import is_print_on_hold
from app.domain.reasons import EndReason
from app.domain.status_table import notice_codes
from app.domain.subscriptions import Payment, Subscription, Term

DISPUTED_CODE = "payment_disputed"  # access continues; the other codes are the reasons that the access checks give
CODES = notice_codes() | {
    NO_ACCESS, DISPUTED_CODE, AccessReason.ON_HOLD, AccessReason.DISPUTE_OPEN, AccessReason.DISPUTE_LOST,
    AccessReason.REFUND_FAILED,
}  # fmt: skip
ON_HOLD = "Your bank is disputing your payment, so your access is on hold until the dispute is settled."
COPIES_ON_HOLD = "Your copies are on hold, and your digital access pauses meanwhile."
DISPUTED = "Your bank is disputing one of your payments. You keep access while the dispute is open."
PRINT_DISPUTED = (
    "Your bank is disputing your payment for the print edition, so your copies are on hold until the dispute is settled."
    " You keep the rest of your subscription."
)
INQUIRY = "Your bank has asked us about one of your payments. You keep access."
LOST = "Your bank returned your payment to you, so your subscription has ended."
REFUND_FAILED = (
    "Your bank returned our refund, so we couldn't refund you. Please contact us, and we'll refund you another way."
)
REFUND_FAILED_RESTORED = (
    "Your bank returned our refund, so we couldn't refund you. You have access again until the end of the paid period."
)


def notice_for(
    subscription: Subscription,
    terms: Sequence[Term],
    payments: Sequence[Payment],
    disputes: Sequence[Dispute],
    *,
    by_status: Notice | None,
    pauses: Sequence[tuple[datetime, datetime]] = (),
    now: datetime,
) -> Notice | None:
    """
    Return the notice for a subscription's reader; None if there is nothing to report.

    :param payments: the subscription's payments.
    :param disputes: the disputes of the reader's payments.
    :param by_status: the notice of the status table.
    :param pauses: when digital access pauses, because copies are on hold.
    """
    return (
        _of_dispute(subscription, terms, payments, disputes, now=now)
        or _of_failed_refund(terms, now=now)
        or by_status
        or _of_hold(terms, pauses, now=now)
    )


def is_on_hold(terms: Sequence[Term], *, now: datetime) -> bool:
    """Return whether the running term is suspended, because its payment is disputed."""
    running = [term for term in terms if term.starts_at <= now < term.ends_at and not term.is_refunded]
    return bool(running) and all(term.suspended_as is not None for term in running)


def _of_hold(terms: Sequence[Term], pauses: Sequence[tuple[datetime, datetime]], *, now: datetime) -> Notice | None:
    has_print = any(term.print_edition and term.starts_at <= now < term.ends_at for term in terms)
    until = next((ends_at for begins_at, ends_at in pauses if begins_at <= now < ends_at), None)
    if until is None or not has_print:
        return None
    return Notice(code=AccessReason.ON_HOLD, text=COPIES_ON_HOLD, until=until, action=None)


def _of_dispute(
    subscription: Subscription,
    terms: Sequence[Term],
    payments: Sequence[Payment],
    disputes: Sequence[Dispute],
    *,
    now: datetime,
) -> Notice | None:
    if subscription.ended_by == EndReason.DISPUTE_LOST:
        return Notice(code=AccessReason.DISPUTE_LOST, text=LOST, until=subscription.over_at, action=None)
    paid = {payment.id for payment in payments}
    undecided = [one for one in disputes if one.is_open and one.payment_id in paid]
    if not undecided:
        return None
    if is_on_hold(terms, now=now):
        return Notice(code=AccessReason.DISPUTE_OPEN, text=ON_HOLD, until=None, action=None)
    if subscription.over_at is not None:
        return None  # nothing depends on the dispute anymore
    if any(is_print_on_hold(term) and term.starts_at <= now < term.ends_at for term in terms):
        return Notice(code=DISPUTED_CODE, text=PRINT_DISPUTED, until=None, action=None)
    moved = any(effect_of(one.status).access == AccessEffect.BY_POLICY for one in undecided)
    return Notice(code=DISPUTED_CODE, text=DISPUTED if moved else INQUIRY, until=None, action=None)


def _of_failed_refund(terms: Sequence[Term], *, now: datetime) -> Notice | None:
    newest = max(terms, key=lambda term: (term.ends_at, term.invoice_id), default=None)
    if newest is None or not newest.refund_failed:
        return None
    if newest.is_refunded:
        return Notice(code=AccessReason.REFUND_FAILED, text=REFUND_FAILED, until=None, action=None)
    until = newest.ends_at if newest.ends_at > now else None
    return (
        Notice(code=AccessReason.REFUND_FAILED, text=REFUND_FAILED_RESTORED, until=until, action=None)
        if until
        else None
    )
