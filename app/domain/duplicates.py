"""
Two subscriptions at once: which one stays (rules.md, rule 9).

Nobody is charged twice for the same magazine. The earliest paid one stays, whichever we hear of first; one whose renewal
failed is dying and never preferred, and neither is a trial, which nobody has paid for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.reasons import EndReason
from app.domain.refunds import RefundBasis


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateCandidate:
    """A live subscription beside others of the same reader."""

    id: str  # scr_…
    stripe_id: str  # decides ties, since it does not depend on which one we heard of first
    status: str
    created_at: datetime
    paid_at: datetime | None  # when it was first paid, by money or by a promotion that made it free

    @property
    def is_paid(self) -> bool:
        """Whether what it gives now is paid for."""
        return self.status == "active" and self.paid_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Which one stays, and what ends each of the others. None stays alone while none is paid."""

    stays: DuplicateCandidate | None
    ends: tuple[tuple[DuplicateCandidate, str], ...] = ()


def resolve(live: Sequence[DuplicateCandidate]) -> Resolution:
    """
    Return which of a reader's live subscriptions stays.

    The earliest paid one; all others end beside it. While none is paid, the earliest trial stays, so that two trials
    do not both come to be charged, and one whose renewal failed is left to be mended.
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
    trials = sorted((r for r in live if r.status == "trialing"), key=lambda r: (r.created_at, r.stripe_id))
    return Resolution(
        stays=trials[0] if trials else None, ends=tuple((candidate, EndReason.REPLACED) for candidate in trials[1:])
    )


def _first_paid(candidate: DuplicateCandidate) -> tuple[datetime, str]:
    assert candidate.paid_at is not None
    return candidate.paid_at, candidate.stripe_id
