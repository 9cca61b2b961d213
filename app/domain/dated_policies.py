"""
Policies that change on a day: what holds is a matter of the date, not of a deployment (rules.md, rule 12).

Each is a list of entries in ``catalogue.toml``, an entry with the day from which it holds on the publisher's calendar.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dated(Generic[T]):
    """What holds from the beginning of ``since`` until the next entry's day."""

    since: date
    value: T


def value_on(entries: Sequence[Dated[T]], day: date, otherwise: T) -> T:
    """Return what holds on ``day``: the newest entry whose day has come, else ``otherwise``."""
    begun = [entry for entry in entries if entry.since <= day]
    return max(begun, key=lambda entry: entry.since).value if begun else otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodwillLimits:
    """How much goodwill one person may give alone, in minor units by currency. One that is not named: nothing."""

    alone: Mapping[str, int] = field(default_factory=dict)

    def needs_second_person(self, amount: int, currency: str) -> bool:
        """Tell whether somebody else has to agree."""
        return amount > self.alone.get(currency, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policies of the house. Without an entry the strictest holds."""

    goodwill: Sequence[Dated[GoodwillLimits]] = ()

    def goodwill_limits(self, day: date) -> GoodwillLimits:
        """Return how much goodwill one person may give alone on ``day``."""
        return value_on(self.goodwill, day, GoodwillLimits())
