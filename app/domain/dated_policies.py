"""
Policies that change on a date, without a deployment (rules.md, rule 12).

Each policy is a list of entries in ``catalogue.toml``. An entry has the date from which it applies, in the publisher's time
zone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Generic, TypeVar

from app.domain.holds import HoldPolicy
from app.domain.notification_policies import DEFAULT_POLICIES, NotificationPolicy

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


PAID_PERCENT = 30  # of the basic price, above which a copy is paid: see docs/concepts/circulation.md
# The units of complimentary access, of extensions, and of claims and back issues; goodwill's is a currency.
DAYS, ISSUES, COPIES = "days", "issues", "copies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was given before, in one unit."""

    on_payment: int = 0  # on the same payment
    to_reader: int = 0  # to the same reader
    today: int = 0  # by the same person on the same day, without a second person


@dataclass(frozen=True, slots=True, kw_only=True)
class GivingLimits:
    """
    What one person may give alone, by unit: a currency (in minor units), days, issues or copies. In other units: nothing.

    What was given is added up, so that several small requests are not approved more easily than a large one.
    """

    alone: Mapping[str, int] = field(default_factory=dict)  # on one payment, and to one reader
    in_a_day: Mapping[str, int] | None = None  # by one person on one day; None: as much as to one reader
    reader_days: int | None = None  # for how long what a reader got counts; None: forever

    def left(self, unit: str, given: Given) -> int:
        """Return how much one person may still give alone."""
        alone, in_a_day = self.alone.get(unit, 0), (self.alone if self.in_a_day is None else self.in_a_day).get(unit, 0)
        return max(0, min(alone - given.on_payment, alone - given.to_reader, in_a_day - given.today))

    def counts_since(self, now: datetime) -> datetime | None:
        """Return since when what a reader got counts; None: since ever."""
        return now - timedelta(days=self.reader_days) if self.reader_days is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPolicy:
    """Until when copies can be claimed, and how many without a second person: by a reader, and by a person in a day."""

    days: int = 0  # after the copy was mailed
    limits: GivingLimits = field(default_factory=GivingLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The publisher's policies. Without an entry, the strictest value applies."""

    goodwill: Sequence[Dated[GivingLimits]] = ()
    comps: Sequence[Dated[GivingLimits]] = ()
    extensions: Sequence[Dated[GivingLimits]] = ()
    claims: Sequence[Dated[ClaimPolicy]] = ()
    back_issues: Sequence[Dated[GivingLimits]] = ()
    holds: Sequence[Dated[HoldPolicy]] = ()
    notices: Sequence[NotificationPolicy] = DEFAULT_POLICIES
    paid_copies: Sequence[Dated[int]] = ()  # the least percentage of the basic price that makes a copy paid

    def paid_percent(self, day: date) -> int:
        """Return the least percentage of the basic price that makes a copy mailed on ``day`` a paid one."""
        return value_on(self.paid_copies, day, PAID_PERCENT)

    def goodwill_limits(self, day: date) -> GivingLimits:
        """Return the limits of goodwill refunds that apply on ``day``."""
        return value_on(self.goodwill, day, GivingLimits())

    def comp_limits(self, day: date) -> GivingLimits:
        """Return the limits of complimentary access that apply on ``day``."""
        return value_on(self.comps, day, GivingLimits())

    def extension_limits(self, day: date) -> GivingLimits:
        """Return the limits of extensions that apply on ``day``."""
        return value_on(self.extensions, day, GivingLimits())

    def claim_policy(self, day: date) -> ClaimPolicy:
        """Return the policy for claims of copies that applies on ``day``."""
        return value_on(self.claims, day, ClaimPolicy())

    def back_issue_limits(self, day: date) -> GivingLimits:
        """Return the limits of back issues that apply on ``day``."""
        return value_on(self.back_issues, day, GivingLimits())

    def hold_policy(self, day: date) -> HoldPolicy:
        """Return the policy for holds that applies on ``day``."""
        return value_on(self.holds, day, HoldPolicy())
