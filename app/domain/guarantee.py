"""
The money-back guarantee, "60-Day money back guarantee!": which payments it covers, and until when (rules.md, rule 5).

The number of days (60) belongs to the plan, in ``catalogue.toml``. :mod:`app.domain.quotes` computes the refund.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.domain.dated_policies import Dated, value_on


@dataclass(frozen=True, slots=True, kw_only=True)
class GuaranteeTerms:
    """A refund within ``days`` of a subscription's first payment or, with ``renewals``, of each payment."""

    days: int
    renewals: bool = False
    once: bool = True  # per subscriber


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """
    A plan's guarantee. The terms of the day of the payment apply, even if they have changed since.

    Each entry of ``changes`` applies from its date, in the publisher's time zone.
    """

    title: str
    terms: GuaranteeTerms
    changes: Sequence[Dated[GuaranteeTerms]] = ()

    def on(self, day: date) -> GuaranteeTerms:
        """Return the terms for a payment on ``day``."""
        return value_on(self.changes, day, self.terms)


def guaranteed_until(paid_at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """
    Return the end (exclusive) of the guarantee: midnight after the ``days``-th day, in the publisher's time zone.

    Days are calendar days, so a daylight saving change doesn't shorten or extend the last one.
    """
    last_day = paid_at.astimezone(zone).date() + timedelta(days=days)
    return datetime.combine(last_day + timedelta(days=1), time(), tzinfo=zone)
