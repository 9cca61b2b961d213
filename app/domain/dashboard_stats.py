"""The figures of the front page: how many subscribers there are, who came and went, what was given back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

WEEKS = 13  # a quarter of a year, this week among them
REFUND_DAYS = 90
DUNNING_BANDS = ((0, "under 3 days"), (3, "3 to 6 days"), (7, "7 to 13 days"), (14, "14 days and more"))
# So counting never takes more than a twentieth of the time, however large the tables grow.
MIN_CACHE_AGE, MAX_LOAD_DIVISOR = timedelta(minutes=1), 20


@dataclass(frozen=True, slots=True)
class SubscriptionCount:
    """How many subscriptions stand so."""

    status: str
    print_edition: bool
    count: int


@dataclass(frozen=True, slots=True)
class Week:
    """A week of the publisher's calendar, by its Monday."""

    monday: date
    new: int
    lost: int


@dataclass(frozen=True, slots=True)
class RefundTotal:
    """What was given back on one basis for one reason. Amounts in minor units."""

    basis: str
    reason: str
    count: int
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class OverdueTotal:
    """Subscriptions whose renewal failed, by how long ago it was due. Amounts in minor units."""

    band: str
    count: int
    amount: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardStats:
    """All of them, as they were counted at one time."""

    held: Sequence[SubscriptionCount]
    weeks: Sequence[Week]
    given: Sequence[RefundTotal]
    unpaid: Sequence[OverdueTotal]


def first_monday(now: datetime, zone: ZoneInfo) -> date:
    """Return the Monday with which the counted weeks begin."""
    today = now.astimezone(zone).date()
    return today - timedelta(days=today.weekday(), weeks=WEEKS - 1)


def weeks_of(first: date, new: dict[date, int], lost: dict[date, int]) -> list[Week]:
    """Return every counted week, those in which nothing happened among them."""
    mondays = [first + timedelta(weeks=number) for number in range(WEEKS)]
    return [Week(monday, new.get(monday, 0), lost.get(monday, 0)) for monday in mondays]


def band_of(days: int) -> str:
    """Return in which band a renewal is that was due so many days ago."""
    return [name for least, name in DUNNING_BANDS if days >= least or least == 0][-1]
