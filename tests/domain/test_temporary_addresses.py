"""A temporary address can't be over already, and ends within two years."""

from datetime import date, timedelta

import pytest

from app.domain.addresses import TEMPORARY_UNTIL, Period, TemporaryDatesWrong, check_period

TODAY = date(2026, 3, 10)
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)


@pytest.mark.parametrize("until", [TODAY, TODAY + TEMPORARY_UNTIL + timedelta(days=1), date(2999, 1, 1)])
def test_a_temporary_address_that_is_over_or_lasts_too_long_is_refused(until: date) -> None:
    with pytest.raises(TemporaryDatesWrong):
        check_period(Period(since=YESTERDAY, until=until), today=TODAY)


@pytest.mark.parametrize("until", [TOMORROW, TODAY + TEMPORARY_UNTIL])
def test_a_temporary_address_that_has_begun_or_lasts_two_years_is_saved(until: date) -> None:
    check_period(Period(since=YESTERDAY, until=until), today=TODAY)
