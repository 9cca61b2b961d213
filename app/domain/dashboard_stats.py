"""The figures of the dashboard: subscribers, new and lost subscribers by week, refunds, and unpaid renewals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

WEEKS = 13  # a quarter of a year, including the current week
REFUND_DAYS = 90
MONEY_DAYS = 30  # of each of the two periods that are compared
TREND_WEEKS = 4  # complete weeks
DUNNING_BANDS = ((0, "under 3 days"), (3, "3 to 6 days"), (7, "7 to 13 days"), (14, "14 days or more"))
# With these, counting takes at most a twentieth of the time, even if the tables are large.
MIN_CACHE_AGE, MAX_LOAD_DIVISOR = timedelta(minutes=1), 20


@dataclass(frozen=True, slots=True)
class SubscriptionCount:
    """The number of subscriptions with a status and an edition."""

    status: str
    print_edition: bool
    count: int


@dataclass(frozen=True, slots=True)
class Week:
    """The subscriptions that started and ended in a week, which begins on Monday in the publisher's time zone."""

    monday: date
    new: int
    lost: int


@dataclass(frozen=True, slots=True)
class RefundTotal:
    """The refunds on one basis for one reason. Amounts in minor units."""

    basis: str
    reason: str
    count: int
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class OverdueTotal:
    """The unpaid renewals of one band of days overdue. Amounts in minor units."""

    band: str
    count: int
    amount: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyTotal:
    """Payments and refunds in one currency in the last :data:`MONEY_DAYS`, and in the same number of days before."""

    currency: str
    paid: int  # minor units, tax included
    paid_before: int
    refunded: int
    refunded_before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardStats:
    """All figures, counted at the same time."""

    subscriptions: Sequence[SubscriptionCount]
    weeks: Sequence[Week]
    refunds: Sequence[RefundTotal]
    unpaid: Sequence[OverdueTotal]
    money: Sequence[MoneyTotal] = ()  # the largest currency first

    @property
    def growth(self) -> int:
        """The new subscribers minus the lost ones in the last :data:`TREND_WEEKS` complete weeks."""
        return sum(week.new - week.lost for week in self.weeks[-TREND_WEEKS - 1 : -1])

    @property
    def busy_weeks(self) -> Sequence[Week]:
        """The weeks since the first one with a change; empty if there was none."""
        first = next((number for number, week in enumerate(self.weeks) if week.new or week.lost), len(self.weeks))
        return self.weeks[first:]


def percent_change(now: int, before: int) -> int | None:
    """Return by how many percent an amount changed, rounded. None: there was nothing before."""
    return round((now - before) * 100 / before) if before else None


def first_monday(now: datetime, zone: ZoneInfo) -> date:
    """Return the Monday of the first counted week."""
    today = now.astimezone(zone).date()
    return today - timedelta(days=today.weekday(), weeks=WEEKS - 1)


def weeks_of(first: date, new: dict[date, int], lost: dict[date, int]) -> list[Week]:
    """Return every counted week, including weeks without changes."""
    mondays = [first + timedelta(weeks=number) for number in range(WEEKS)]
    return [Week(monday, new.get(monday, 0), lost.get(monday, 0)) for monday in mondays]


def band_of(days: int) -> str:
    """Return the band of a renewal that is overdue by a number of days."""
    return [name for least, name in DUNNING_BANDS if days >= least or least == 0][-1]
