"""
Policies that change on a date, without a deployment (rules.md, rule 12).

Each policy is a list of entries in ``catalogue.toml``. An entry has the date from which it applies, in the publisher's time
zone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dated(Generic[T]):
    """A value that applies from the beginning of ``since`` until the next entry's date."""

    since: date
    value: T


def value_on(entries: Sequence[Dated[T]], day: date, otherwise: T) -> T:
    """Return the value that applies on ``day``: the newest entry that has begun, else ``otherwise``."""
    begun = [entry for entry in entries if entry.since <= day]
    return max(begun, key=lambda entry: entry.since).value if begun else otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodwillLimits:
    """The goodwill that one person may give alone, in minor units by currency. In other currencies: nothing."""

    alone: Mapping[str, int] = field(default_factory=dict)

    def needs_second_person(self, amount: int, currency: str) -> bool:
        """Return whether a second person must approve."""
        return amount > self.alone.get(currency, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The publisher's policies. Without an entry, the strictest value applies."""

    goodwill: Sequence[Dated[GoodwillLimits]] = ()

    def goodwill_limits(self, day: date) -> GoodwillLimits:
        """Return the limits that apply on ``day``."""
        return value_on(self.goodwill, day, GoodwillLimits())
