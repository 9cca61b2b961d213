"""What follows from how a term ends: whether it still owes issues, and the grace copies after it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from app.domain.adjustments import Adjustment, AdjustmentKind
from app.domain.subscriptions import Subscription, Term


def canceled_at(subscription: Subscription, term: Term, terms: Sequence[Term]) -> datetime | None:
    """
    Return when the remaining issues of a term were canceled; None if they are still owed.

    An immediate end, by us or at Stripe, cancels them, and so does a credit of the rest. An end at the end of the period
    doesn't: paid issues are served.
    """
    if term.outlives(subscription):
        return term.credited_at
    pause = subscription.pause
    paused_at = pause.since if pause is not None and pause.credited else None  # the unused time was credited
    ends = (subscription.access_ended_at, term.credited_at, term.refunded_at if term.is_refunded else None, paused_at)
    times = [at for at in ends if at is not None]
    paid_until = max((one.ends_at for one in terms if not one.is_refunded), default=term.ends_at)
    if subscription.ended_at is not None and subscription.ended_at < paid_until:
        times.append(subscription.ended_at)
    if times:
        return min(times)
    return term.starts_at if term.is_refunded else None


def with_grace_copies(term: Term, before: Term) -> Term:
    """
    Return a term that was paid after the grace period, charged for the grace copies that were sent before.

    A renewal within the grace period starts with the first of them, so its own issues are those copies.
    """
    if not before.grace_sent:
        return term
    sent = min(before.grace_sent, term.issues_owed)
    charged = Adjustment(kind=AdjustmentKind.GRACE_COPIES, issues=-sent, at=term.paid_at or term.starts_at)
    return replace(term, adjustments=(charged, *term.adjustments))
