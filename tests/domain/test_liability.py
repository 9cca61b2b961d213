"""What is owed in money: each month adds up, nothing is negative, and nothing is left in the end."""

from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import DomainError
from app.domain.liability import (
    DAY,
    InvalidReportDate,
    MonthClosed,
    MonthNotOver,
    MonthOutOfOrder,
    MonthTooEarly,
    PaidAmount,
    Returned,
    Totals,
    check_closing,
    last_of_month,
    movement,
    next_month,
    report_day,
    totals,
)

START, END = date(2026, 3, 1), date(2027, 3, 1)
ISSUES = tuple(date(2026, 3, 10) + 15 * number * DAY for number in range(24))
PRINT = Fraction(24, 73)
DIGITAL = PaidAmount(paid_on=START, net=36_500, period=(START, END))
BOTH = PaidAmount(paid_on=START, net=7_300, period=(START, END), print_share=PRINT, copies=ISSUES)
MARCH_20, LATER = date(2026, 3, 20), date(2030, 1, 1)


@pytest.mark.parametrize(
    ("payment", "through", "earned"),
    [
        pytest.param(DIGITAL, START, 100, id="digital: the first day is delivered at its end"),
        pytest.param(DIGITAL, date(2026, 3, 31), 3_100, id="digital: 31 of 365 days"),
        pytest.param(DIGITAL, date(2027, 2, 28), 36_500, id="digital: the last day"),
        pytest.param(replace(DIGITAL, paid_on=date(2026, 3, 4)), date(2026, 3, 3), 0, id="not paid yet"),
        pytest.param(replace(DIGITAL, paid_on=date(2026, 3, 4)), date(2026, 3, 4), 400, id="paid late: days before count"),
        pytest.param(replace(DIGITAL, net=100), START, 0, id="a fraction of a cent stays owed"),
        pytest.param(BOTH, date(2026, 3, 9), 4_900 * 9 // 365, id="both: no issue yet"),
        pytest.param(BOTH, date(2026, 3, 10), 4_900 * 10 // 365 + 100, id="both: the first of 24 issues"),
        pytest.param(BOTH, LATER, 7_300, id="both: all"),
        pytest.param(replace(BOTH, copies=ISSUES[:6], later_copies=18), LATER, 4_900 + 600, id="the calendar ends before"),
        pytest.param(replace(BOTH, copies=None), MARCH_20, 2_400 * 20 // 365 + 4_900 * 20 // 365, id="copies unknown"),
        pytest.param(
            replace(BOTH, copies=(START, START, *ISSUES[:22])), START, 4_900 // 365 + 200, id="late: two grace copies"
        ),
        pytest.param(replace(BOTH, print_ends_on=MARCH_20), MARCH_20, 4_900 * 20 // 365 + 2_400, id="print ended"),
        pytest.param(replace(BOTH, ended_on=MARCH_20), MARCH_20, 7_300, id="ended early: the rest is earned"),
        pytest.param(replace(DIGITAL, period=None), LATER, 0, id="no term yet: owed in full"),
    ],
)  # fmt: skip
def test_what_was_delivered_is_earned(payment: PaidAmount, through: date, earned: int) -> None:
    found = totals(payment, through)

    assert (found.earned, found.reversed) == (earned, 0)
    assert found.owed == found.sold - earned


JUNE_1 = date(2026, 6, 1)  # 93 of 365 days, 6 of 24 issues


@pytest.mark.parametrize(
    ("payment", "expected"),
    [
        pytest.param(
            replace(DIGITAL, returned=(Returned(JUNE_1, 36_500),), ended_on=JUNE_1),
            Totals(sold=36_500, earned=9_300, reversed=9_300, refunded=36_500),
            id="guarantee: what was earned is reversed",
        ),
        pytest.param(
            replace(DIGITAL, returned=(Returned(JUNE_1, 27_200),), ended_on=JUNE_1),
            Totals(sold=36_500, earned=9_300, reversed=0, refunded=27_200),
            id="the undelivered part: nothing is reversed",
        ),
        pytest.param(
            replace(DIGITAL, returned=(Returned(JUNE_1, 20_000),), ended_on=JUNE_1),
            Totals(sold=36_500, earned=16_500, reversed=0, refunded=20_000),
            id="less than that: the rest is earned at the end",
        ),
        pytest.param(
            replace(DIGITAL, returned=(Returned(JUNE_1, 3_650),)),
            Totals(sold=36_500, earned=9_300, reversed=930, refunded=3_650),
            id="goodwill: its delivered share is reversed",
        ),
        pytest.param(
            replace(BOTH, returned=(Returned(JUNE_1, 1_800, of_print=True),), print_ends_on=JUNE_1),
            Totals(sold=7_300, earned=600 + 4_900 * 93 // 365, reversed=0, refunded=1_800),
            id="print dropped: only print is affected",
        ),
        pytest.param(
            replace(DIGITAL, returned=(Returned(JUNE_1, 36_500), Returned(JUNE_1 + DAY, 36_500)), ended_on=JUNE_1),
            Totals(sold=36_500, earned=9_300, reversed=9_300, refunded=36_500),
            id="disputed after a refund: no more than was paid",
        ),
    ],
)
def test_refunds_reduce_what_is_owed_and_reverse_what_was_earned(payment: PaidAmount, expected: Totals) -> None:
    assert totals(payment, JUNE_1 + DAY if len(payment.returned) == 2 else JUNE_1) == expected


days = st.integers(-40, 500).map(lambda number: START + timedelta(days=number))


@st.composite
def payments(draw: st.DrawFn) -> PaidAmount:
    begins = draw(days)
    returned = draw(st.lists(st.builds(Returned, days, st.integers(1, 9_000), st.booleans()), max_size=4))
    return PaidAmount(
        paid_on=draw(days),
        net=draw(st.integers(0, 9_000)),
        print_share=draw(st.sampled_from([Fraction(0), PRINT, Fraction(1)])),
        period=draw(st.none() | st.integers(0, 400).map(lambda length: (begins, begins + length * DAY))),
        copies=draw(st.none() | st.lists(days, max_size=30).map(lambda copies: tuple(sorted(copies)))),
        later_copies=draw(st.integers(0, 5)),
        print_ends_on=draw(st.none() | days),
        ended_on=draw(st.none() | days),
        returned=tuple(returned),
    )


@given(payments(), days, days)
def test_every_period_adds_up_and_nothing_is_negative(payment: PaidAmount, one: date, other: date) -> None:
    before, after = totals(payment, min(one, other)), totals(payment, max(one, other))
    found = movement(before, after)

    assert found.closing == found.opening + found.sales - found.earned + found.earned_reversed - found.refunds
    assert 0 <= found.closing <= payment.net
    assert found.opening >= 0
    assert min(found.sales, found.earned_reversed, found.refunds) >= 0
    assert all(getattr(after, name) >= 0 for name in ("sold", "earned", "reversed", "refunded"))


@given(payments())
def test_the_months_add_up_to_the_whole_life(payment: PaidAmount) -> None:
    month, months = date(2025, 12, 1), []
    while month < date(2028, 6, 1):
        months.append(movement(totals(payment, month - DAY), totals(payment, last_of_month(month))))
        month = next_month(month)
    whole = totals(payment, month - DAY)

    assert sum(one.sales for one in months) == whole.sold == payment.net
    assert sum(one.earned for one in months) == whole.earned
    assert sum(one.earned_reversed for one in months) == whole.reversed
    assert sum(one.refunds for one in months) == whole.refunded
    assert [one.opening for one in months[1:]] == [one.closing for one in months[:-1]]


@given(payments())
def test_nothing_is_owed_once_everything_is_delivered_or_the_term_ended(payment: PaidAmount) -> None:
    is_over = payment.ended_on is not None or (
        payment.period is not None
        and (
            payment.copies is None
            or payment.print_ends_on is not None
            or payment.later_copies == 0 < len(payment.copies)
        )
    )

    assert totals(payment, LATER).owed == 0 or not is_over


TODAY = date(2026, 5, 10)


@pytest.mark.parametrize(
    ("month", "last_closed", "refusal"),
    [
        pytest.param(date(2026, 4, 1), None, None, id="the first can be any"),
        pytest.param(date(2025, 1, 1), None, None, id="a long time ago"),
        pytest.param(date(2026, 4, 1), date(2026, 3, 1), None, id="the next one"),
        pytest.param(date(2026, 5, 1), date(2026, 4, 1), MonthNotOver, id="still running"),
        pytest.param(date(2026, 4, 1), date(2026, 4, 1), MonthClosed, id="again"),
        pytest.param(date(2026, 2, 1), date(2026, 4, 1), MonthClosed, id="before the books"),
        pytest.param(date(2026, 4, 1), date(2026, 2, 1), MonthOutOfOrder, id="a gap"),
        pytest.param(date(2016, 4, 1), None, MonthTooEarly, id="a typo in the first month"),
    ],
)
def test_months_are_closed_in_order(month: date, last_closed: date | None, refusal: type[DomainError] | None) -> None:
    if refusal is None:
        check_closing(month, last_closed=last_closed, today=TODAY)
    else:
        with pytest.raises(refusal):
            check_closing(month, last_closed=last_closed, today=TODAY)


@pytest.mark.parametrize(
    ("at", "month", "day"),
    [
        pytest.param(None, None, TODAY, id="today"),
        pytest.param(date(2026, 3, 15), None, date(2026, 3, 15), id="a day"),
        pytest.param(None, "2026-02", date(2026, 2, 28), id="a month"),
        pytest.param(None, "2026-05", TODAY, id="the running month"),
        pytest.param(None, "2026-06", None, id="a later month"),
        pytest.param(date(2026, 5, 11), None, None, id="tomorrow"),
        pytest.param(date(2026, 5, 1), "2026-05", None, id="both"),
        pytest.param(None, "2026-13", None, id="no month"),
        pytest.param(None, "0001-01", None, id="before the calendar"),
        pytest.param(None, "9999-12", None, id="after the calendar"),
    ],
)
def test_a_report_ends_on_one_day_that_is_not_in_the_future(
    at: date | None, month: str | None, day: date | None
) -> None:
    if day is not None:
        assert report_day(at=at, month=month, today=TODAY) == day
    else:
        with pytest.raises(InvalidReportDate):
            report_day(at=at, month=month, today=TODAY)
