"""
How long access continues after a paid term: the renewal allowance and, in dunning, the grace period (rules.md, rule 3).

Both are settings, 3 and 14 days by default. Which one applies to a subscription is in :mod:`app.domain.status_table`.
"""

from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from app.domain.text import Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessPolicy:
    """How long access continues after the end of a paid term (rules.md, rule 3)."""

    renewal_allowance: timedelta  # Stripe charges an hour after the period ends, and its events arrive even later
    grace_period: timedelta  # while a failed renewal payment is retried
    zone: ZoneInfo  # the publisher's: issues come out on its calendar days
    wording: Wording  # of the dates in what staff are told
