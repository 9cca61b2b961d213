"""
The liability report: what the publisher owes readers in money, for what they paid and have not received yet.

Every payment is taken net of tax. What was returned of it is deducted, and of the rest the share that was delivered is
earned: ``earned = floor((paid - returned) * delivered)``, for the digital and the print part each. The digital part is
delivered by day of its term, the print part by copy. What is left is owed, so it is never negative, and zero once everything
is delivered or the term has ended. All figures are computed as totals from the beginning until a day, and a period's figures
are the differences of two totals. So periods always add up, to the minor unit.

A refund reduces what is owed first by the undelivered share of what it returns. Its delivered share had been earned, and
is reversed. The fraction of a unit that a division leaves stays with what is owed.

Dates are the publisher's, and everything that happens on a day is booked at its end. A month that was closed keeps its
totals. What becomes known later changes the totals of later days, so it appears in the first month that is not closed.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import accumulate

from app.domain.errors import Conflict, Invalid
from app.domain.issues import DOUBLE, ORDINARY, Calendar
from app.domain.plans import Catalogue

DAY = timedelta(days=1)
EARLIEST_FIRST = 3  # years before this one
FIRST_YEAR = 1970  # of a report
SHARE_DENOMINATOR = 10_000  # the finest print share that is told apart


class InvalidReportDate(Invalid):
    """A report needs one date, or one month such as 2026-03, that is not in the future."""

    code = "invalid_report_date"
    title = "Invalid date of a report"


class MonthNotOver(Conflict):
    """A month can be closed when it is over, in the publisher's time zone."""

    code = "month_not_over"
    title = "Month is not over"


class MonthClosed(Conflict):
    """The month is closed. What became known later is in the first month that is not closed."""

    code = "month_closed"
    title = "Month already closed"


class MonthOutOfOrder(Conflict):
    """Months are closed one after the other, without gaps."""

    code = "month_out_of_order"
    title = "An earlier month is not closed"


class MonthTooEarly(Conflict):
    """The first month to close is too long ago. It can't be opened again, and all months after it would follow."""

    code = "month_too_early"
    title = "Month is too long ago"


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Amounts from the beginning until a day, in minor units without tax."""

    sold: int = 0
    earned: int = 0  # including what was reversed later
    reversed: int = 0
    refunded: int = 0

    @property
    def owed(self) -> int:
        """The liability at the end of the day."""
        return self.sold - self.earned + self.reversed - self.refunded

    def __add__(self, other: "Totals") -> "Totals":
        """Return the sum of both."""
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in FIGURES})

    def __sub__(self, other: "Totals") -> "Totals":
        """Return what was added since the other."""
        return Totals(**{name: getattr(self, name) - getattr(other, name) for name in FIGURES})


FIGURES = tuple(one.name for one in fields(Totals))
NOTHING = Totals()


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """What happened in a period: opening + sales - earned + earned_reversed - refunds = closing."""

    opening: int
    sales: int
    earned: int
    earned_reversed: int  # by refunds
    refunds: int  # and lost disputes
    closing: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing was owed and nothing happened."""
        return not any(getattr(self, one.name) for one in fields(self))


def movement(before: Totals, after: Totals) -> Movement:
    """Return what happened between two totals."""
    added = after - before
    return Movement(
        opening=before.owed,
        sales=added.sold,
        earned=added.earned,
        earned_reversed=added.reversed,
        refunds=added.refunded,
        closing=after.owed,
    )


@dataclass(frozen=True, slots=True)
class Returned:
    """What was returned of a payment on a day, without tax: a confirmed refund, a lost dispute or a credit."""

    on: date
    net: int
    of_print: bool = False  # for dropping print


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidAmount:
    """
    A payment and what it bought.

    :param net: without tax.
    :param print_share: the part of it that print costs.
    :param period: the first day of the digital part, and the day after the last. None: it has opened no term yet.
    :param copies: the days on which its printed copies are served, as far as they are planned, in order. The grace copies
        that its term was charged for count on the day of that. None: unknown, so print is delivered by day, too.
    :param later_copies: the number of copies after those.
    :param print_ends_on: when print ends within the term.
    :param ended_on: when the term ended early. Whatever was not returned is earned.
    """

    paid_on: date
    net: int
    print_share: Fraction = Fraction(0)
    period: tuple[date, date] | None = None
    copies: tuple[date, ...] | None = None
    later_copies: int = 0
    print_ends_on: date | None = None
    ended_on: date | None = None
    returned: tuple[Returned, ...] = field(default=())


def totals(payment: PaidAmount, through: date) -> Totals:
    """Return the totals of a payment at the end of a day."""
    sold = _sold(payment, through)
    back, of_print = _returned(payment, through)
    reversals = sum(_reversed(payment, day) for day in {one.on for one in payment.returned if one.on <= through})
    return Totals(
        sold=sold,
        earned=_earned(payment, through, min(back, sold), min(of_print, sold)) + reversals,
        reversed=reversals,
        refunded=min(back, sold),
    )


def sum_totals(payments: Iterable[PaidAmount], through: date) -> Totals:
    """Return the totals of payments in one currency."""
    return sum((totals(payment, through) for payment in payments), start=NOTHING)


def _sold(payment: PaidAmount, through: date) -> int:
    return payment.net if payment.paid_on <= through else 0


def _returned(payment: PaidAmount, through: date) -> tuple[int, int]:
    """Return what was returned until the end of a day, and how much of it for dropping print."""
    known = [one for one in payment.returned if one.on <= through]
    return sum(one.net for one in known), sum(one.net for one in known if one.of_print)


def _reversed(payment: PaidAmount, day: date) -> int:
    """
    Return what was earned before and is reversed by what was returned on a day.

    An end of the term or of print on that day belongs to the return.
    """
    sold, before, after = _sold(payment, day), _returned(payment, day - DAY), _returned(payment, day)
    was = _earned(payment, day, min(before[0], sold), min(before[1], sold), ends_before=day)
    return max(0, was - _earned(payment, day, min(after[0], sold), min(after[1], sold)))


def _earned(payment: PaidAmount, through: date, back: int, of_print: int, *, ends_before: date | None = None) -> int:
    """
    Return what is earned of a payment.

    :param back: what was returned of it, and ``of_print`` how much of that for dropping print.
    :param ends_before: ends on this day or later don't count yet.
    """
    left = _sold(payment, through) - back
    share = payment.print_share
    printed = _whole(_sold(payment, through), share) - of_print - _whole(back - of_print, share)
    printed = min(left, max(0, printed))
    limit = ends_before if ends_before is not None else through + DAY
    days = _days_delivered(payment, through, limit)
    return _whole(printed, _copies_delivered(payment, through, limit, days)) + _whole(left - printed, days)


def _days_delivered(payment: PaidAmount, through: date, limit: date) -> Fraction:
    if payment.ended_on is not None and payment.ended_on < limit:
        return Fraction(1)
    if payment.period is None:
        return Fraction(0)
    first, end = payment.period
    length = max(1, (end - first).days)
    return Fraction(min(length, max(0, (through - first).days + 1)), length)


def _copies_delivered(payment: PaidAmount, through: date, limit: date, days: Fraction) -> Fraction:
    ends = (payment.ended_on, payment.print_ends_on)
    if any(end is not None and end < limit for end in ends):
        return Fraction(1)
    if payment.copies is None:
        return days
    served = sum(day <= through for day in payment.copies)
    return Fraction(served, max(1, len(payment.copies) + payment.later_copies))


def _whole(amount: int, share: Fraction) -> int:
    return amount * share.numerator // share.denominator


@dataclass(frozen=True, slots=True, kw_only=True)
class EarningRules:
    """
    What decides when a payment is earned: when each issue is served, and the print share of each plan.

    :param numbers: of the issues, in order.
    :param served_on: the day on which each is served in print: of its frozen label run, or else its mail date.
    :param copies: how many copies the issues before each one are, and all: by how many a double issue serves.
    :param plans: the print share, and how many copies a double issue serves.
    :param closes_at: when the labels of each issue close; of a special issue, when the next ones do.
    :param grace: the grace period of terms that were promised none.
    """

    zone: str
    numbers: Sequence[int]
    served_on: Sequence[date]
    copies: Mapping[int, Sequence[int]]
    plans: Mapping[str, tuple[Fraction, int]]
    closes_at: Sequence[datetime] = ()
    grace: timedelta = timedelta()


def earning_rules(calendar: Calendar, catalogue: Catalogue, *, grace: timedelta) -> EarningRules:
    """Return the rules that follow from the calendar, the catalogue and the grace period."""
    served = (
        (issue.frozen_at - timedelta.resolution).astimezone(calendar.zone).date()
        if issue.frozen_at
        else issue.mail_date
        for issue in calendar.issues
    )
    return EarningRules(
        zone=calendar.zone.key,
        numbers=[issue.number for issue in calendar.issues],
        served_on=list(accumulate(served, max)),
        copies={
            most: list(accumulate((min(issue.counts_as, most) for issue in calendar.issues), initial=0))
            for most in (ORDINARY, DOUBLE)
        },
        plans={
            code: (plan.print_share.limit_denominator(SHARE_DENOMINATOR), plan.double_issues)
            for code, plan in catalogue.plans.items()
        },
        closes_at=calendar.closes_at,
        grace=grace,
    )


def first_of_month(day: date) -> date:
    """Return the first day of a day's month."""
    return day.replace(day=1)


def next_month(day: date) -> date:
    """Return the first day of the month after a day's."""
    return first_of_month(first_of_month(day) + timedelta(days=31))


def last_of_month(day: date) -> date:
    """Return the last day of a day's month."""
    return next_month(day) - DAY


def report_day(*, at: date | None, month: str | None, today: date) -> date:
    """
    Return the last day of a report: of a month, a given day, or today.

    :raises InvalidReportDate: both are given, or the day is in the future.
    """
    if at is not None and month is not None:
        raise InvalidReportDate("Give a date or a month, not both")
    first = parse_month(month) if month is not None else None
    day = min(last_of_month(first), max(first, today)) if first is not None else at or today
    if day.year < FIRST_YEAR:
        raise InvalidReportDate(f"{day} is before {FIRST_YEAR}", date=str(day))
    if day > today:
        raise InvalidReportDate(f"{day} is in the future", date=str(day))
    return day


def parse_month(text: str) -> date:
    """
    Return the first day of a month such as ``2026-03``.

    :raises InvalidReportDate: it is no month.
    """
    with suppress(ValueError):
        month = date.fromisoformat(f"{text}-01")
        if FIRST_YEAR <= month.year < date.max.year:
            return month
    raise InvalidReportDate(f"{text!r} is not a month such as 2026-03")


def check_closing(month: date, *, last_closed: date | None, today: date) -> None:
    """
    Check that a month can be closed.

    :raises MonthNotOver: the month is not over.
    :raises MonthTooEarly: it would be the first one, and is more than :data:`EARLIEST_FIRST` years ago.
    :raises MonthClosed: it is closed.
    :raises MonthOutOfOrder: a month before it is not closed, though an earlier one is.
    """
    if today <= last_of_month(month):
        raise MonthNotOver(f"{month:%Y-%m} can be closed from {next_month(month)} on", month=f"{month:%Y-%m}")
    if last_closed is None:
        if month.year < today.year - EARLIEST_FIRST:
            raise MonthTooEarly(f"The first month to close can't be before {today.year - EARLIEST_FIRST}-01")
        return
    if month <= last_closed:
        raise MonthClosed(f"{month:%Y-%m} is closed", month=f"{month:%Y-%m}")
    if month != next_month(last_closed):
        following = next_month(last_closed)
        raise MonthOutOfOrder(f"Close {following:%Y-%m} first", month=f"{following:%Y-%m}")
