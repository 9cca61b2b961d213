"""
Duplicate subscriptions: which one stays (rules.md, rule 9).

A reader is never charged twice for the same magazine. The subscription that was paid first stays, in any order of
events. One whose renewal failed is never preferred, and neither is an unpaid trial.

A subscription that began before Newsstand followed it is not ended as a duplicate: it may be meant for somebody else. Staff
see it.
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
    followed_since: datetime | None = None  # None: from its beginning

    @property
    def is_paid(self) -> bool:
        """Whether the current term is paid."""
        return self.status == SubscriptionStatus.ACTIVE and self.paid_at is not None and not self.has_lapsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The subscription that stays, and the reason for ending each other one. ``stays`` is None if none is chosen yet."""

    stays: DuplicateCandidate | None
    ends: tuple[tuple[DuplicateCandidate, str], ...] = ()
    left: tuple[DuplicateCandidate, ...] = ()  # began before we followed them, so staff decide


def resolve(live: Sequence[DuplicateCandidate]) -> Resolution:
    """
    Return which of a reader's live subscriptions stays.

    The one that was paid first stays, and all others end. If none is paid, the earliest trial stays, so that no two trials
    are charged. One whose renewal failed is left alone, because it may still be paid.
    """
    paid = sorted((r for r in live if r.is_paid and r.paid_at is not None), key=_first_paid)
    if paid:
        others = [candidate for candidate in live if candidate.id != paid[0].id]
        return _resolution(
            paid[0],
            [(candidate, RefundBasis.DUPLICATE if candidate.is_paid else EndReason.REPLACED) for candidate in others],
        )
    trials = sorted(
        (r for r in live if r.status == SubscriptionStatus.TRIALING), key=lambda r: (r.created_at, r.stripe_id)
    )
    if not trials:
        return Resolution(stays=None)
    return _resolution(trials[0], [(candidate, EndReason.REPLACED) for candidate in trials[1:]])


def _resolution(stays: DuplicateCandidate, others: Sequence[tuple[DuplicateCandidate, str]]) -> Resolution:
    return Resolution(
        stays=stays,
        ends=tuple((one, reason) for one, reason in others if _policy_applies(one, stays, reason)),
        left=tuple(one for one, reason in others if not _policy_applies(one, stays, reason)),
    )


def _policy_applies(candidate: DuplicateCandidate, stays: DuplicateCandidate, reason: str) -> bool:
    """
    Return whether the policy may end a candidate.

    One that was not followed from its beginning is ended only without a refund, for a subscription bought since.
    """
    since = candidate.followed_since
    if since is None:
        return True
    return reason == EndReason.REPLACED and stays.followed_since is None and stays.created_at >= since


def _first_paid(candidate: DuplicateCandidate) -> tuple[datetime, str]:
    assert candidate.paid_at is not None
    return candidate.paid_at, candidate.stripe_id
