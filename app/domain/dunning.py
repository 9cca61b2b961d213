"""
How long access outlives a paid term: the renewal allowance and, during dunning, the grace period (rules.md, rule 3).

Both are settings, 3 and 14 days by default. Which one applies to a subscription is in :mod:`app.domain.status_table`.
"""

from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicy:
    """How far access outlives what is paid, by policy (rules.md, rule 3)."""

    renewal_allowance: timedelta  # Stripe charges an hour after the period turns, and its events come later still
    grace_period: timedelta  # while a failed renewal is tried again
    zone: ZoneInfo  # the publisher's: issues come out by its days
