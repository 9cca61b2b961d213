"""
Which of a reader's subscriptions is "my subscription", for every page and every request.

A reader can have several: ended ones, a duplicate that was refunded, a checkout whose payment never arrived. The one that
was paid counts, in the order of :func:`current_subscription`.
"""

from collections.abc import Sequence

from app.domain.reasons import EndReason
from app.domain.refunds import RefundBasis
from app.domain.subscriptions import OVER, Subscription, SubscriptionStatus, Term

HeldSubscription = tuple[Subscription, Sequence[Term]]
# A subscription that ended like this was one too many: another one stayed (rules.md, rule 9).
SURPLUS = frozenset({RefundBasis.DUPLICATE, EndReason.REPLACED})


def current_subscription(held: Sequence[HeldSubscription]) -> HeldSubscription | None:
    """
    Return a reader's current subscription with its terms; None if they have never had one.

    A live one comes first, then one that can become live again, such as a paused one. Among those, one that was paid (also
    by a promotion that made it free) precedes one that never was, and a duplicate comes last. Of several live ones, the
    earliest stays, as in :mod:`app.domain.duplicates`; of several that are over, the newest counts.
    """
    return max(held, key=_rank, default=None)


def _rank(held: HeldSubscription) -> tuple[object, ...]:
    subscription, terms = held
    is_paid = bool(terms)
    is_open = subscription.status not in OVER and subscription.access_ended_at is None
    created = subscription.created_at.timestamp()
    return (
        subscription.is_live,
        is_open and is_paid,
        is_paid,
        subscription.ended_by not in SURPLUS,
        subscription.is_live and subscription.status != SubscriptionStatus.PAST_DUE,
        -created if subscription.is_live else created,
        subscription.id,
    )


def pending_checkout(held: Sequence[HeldSubscription]) -> HeldSubscription | None:
    """Return the newest subscription whose first payment can still be completed; None if there is none."""
    started = [
        one
        for one in held
        if one[0].status == SubscriptionStatus.INCOMPLETE and one[0].access_ended_at is None and not one[1]
    ]
    return max(started, key=lambda one: (one[0].created_at, one[0].id), default=None)
