"""
Duplicate subscriptions: which one stays (rules.md, rule 9).

A reader is never charged twice for the same magazine. The subscription that was paid first stays, in any order of
events. One whose renewal failed is never preferred, and neither is an unpaid trial.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.errors import Conflict
from app.domain.reasons import EndReason
from app.domain.refunds import RefundBasis
from app.domain.subscriptions import SubscriptionStatus


class PossibleDuplicate(Conflict):
    """Another account with your email address is already subscribed. Sign in with it, or confirm a second subscription."""

    code = "possible_duplicate"
    title = "Another account may already be subscribed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateCandidate:
    """One of several live subscriptions of a reader."""

    id: str  # scr_…
    stripe_id: str  # decides ties, because it doesn't depend on the order of events
    status: str
    created_at: datetime
    paid_at: datetime | None  # when it was first paid, by money or by a promotion that made it free
    has_lapsed: bool = False  # its renewal was never paid, and its access has ended

    @property
    def is_paid(self) -> bool:
        """Whether the current term is paid."""
        return self.status == SubscriptionStatus.ACTIVE and self.paid_at is not None and not self.has_lapsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The subscription that stays, and the reason for ending each other one. ``stays`` is None if none is chosen yet."""

    stays: DuplicateCandidate | None
    ends: tuple[tuple[DuplicateCandidate, str], ...] = ()


def resolve(live: Sequence[DuplicateCandidate]) -> Resolution:
    """
    Return which of a reader's live subscriptions stays.

    The one that was paid first stays, and all others end. If none is paid, the earliest trial stays, so that no two trials
    are charged. One whose renewal failed is left alone, because it may still be paid.
    """
    paid = sorted((r for r in live if r.is_paid and r.paid_at is not None), key=_first_paid)
    if paid:
        others = [candidate for candidate in live if candidate.id != paid[0].id]
        return Resolution(
            stays=paid[0],
            ends=tuple(
                (candidate, RefundBasis.DUPLICATE if candidate.is_paid else EndReason.REPLACED) for candidate in others
            ),
        )
    trials = sorted(
        (r for r in live if r.status == SubscriptionStatus.TRIALING), key=lambda r: (r.created_at, r.stripe_id)
    )
    return Resolution(
        stays=trials[0] if trials else None, ends=tuple((candidate, EndReason.REPLACED) for candidate in trials[1:])
    )


def _first_paid(candidate: DuplicateCandidate) -> tuple[datetime, str]:
    assert candidate.paid_at is not None
    return candidate.paid_at, candidate.stripe_id
