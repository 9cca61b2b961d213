"""
The money-back guarantee, "60-Day money back guarantee!": for which payments it holds, and until when (rules.md, rule 5).

The number of days is the plan's, in ``catalogue.toml``. What a refund under it pays is in :mod:`app.domain.quotes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.domain.dated_policies import Dated, value_on


@dataclass(frozen=True, slots=True, kw_only=True)
class GuaranteeTerms:
    """Money back within ``days``: of a subscription's first payment only, or of each renewal's too."""

    days: int
    renewals: bool = False
    once: bool = True  # for each subscriber


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """
    The promise of money back. A reader has what was promised on the day they paid, whatever changed since.

    ``changes`` hold from their day, on the publisher's calendar.
    """

    title: str
    terms: GuaranteeTerms
    changes: Sequence[Dated[GuaranteeTerms]] = ()

    def on(self, day: date) -> GuaranteeTerms:
        """Return what was promised to whoever paid on ``day``."""
        return value_on(self.changes, day, self.terms)


def guaranteed_until(paid_at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """
    Return the end (excluded) of the guarantee: midnight after the ``days``-th day, on the publisher's calendar.

    Days are those of the wall calendar, so a change of clocks neither adds nor takes an hour from the last one.
    """
    last_day = paid_at.astimezone(zone).date() + timedelta(days=days)
    return datetime.combine(last_day + timedelta(days=1), time(), tzinfo=zone)
