"""Leaving a renewed term at a month's notice."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.early_exits import early_exit, in_months
from app.domain.places import UNKNOWN_PLACE, Place
from app.domain.subscriptions import Subscription, Term

BERLIN = ZoneInfo("Europe/Berlin")
MADE = datetime(2026, 3, 1, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
GERMANY = Place(country="DE")
SUBSCRIPTION = Subscription(
    id="scr_1",
    stripe_id="sub_1",
    subscriber_id="rdr_1",
    version=1,
    plan="annual",
    print_edition=False,
    status="active",
    price=49_00,
    currency="usd",
    created_at=MADE,
    current_period_start=None,
    current_period_end=None,
    cancel_at=None,
    canceled_at=None,
    ended_at=None,
    end_reason=None,
)


def term(number: int) -> Term:
    """Return the term that begins after ``number`` years."""
    starts_at = MADE + number * YEAR
    return Term(
        invoice_id=f"in_{number}",
        plan="annual",
        print_edition=False,
        starts_at=starts_at,
        ends_at=starts_at + YEAR,
        issues_owed=24,
    )


def exit_at(now: datetime, place: Place = GERMANY, *, made: datetime = MADE, wanted: date | None = None) -> str | None:
    """Return the last day of access, if the subscription is canceled at a month's notice."""
    held = replace(SUBSCRIPTION, created_at=made)
    found = early_exit(place, held, [term(0), term(1)], now=now, zone=BERLIN, wanted=wanted)
    return str((found - timedelta(seconds=1)).astimezone(BERLIN).date()) if found is not None else None


@pytest.mark.parametrize(
    ("now", "last_day"),
    [
        pytest.param(MADE + timedelta(days=200), None, id="the first term is not ended early"),
        pytest.param(datetime(2027, 5, 10, 9, tzinfo=UTC), "2027-06-10", id="the day with the same number"),
        pytest.param(datetime(2027, 5, 31, 9, tzinfo=UTC), "2027-06-30", id="or the last day of the month"),
        pytest.param(datetime(2027, 5, 10, 22, 30, tzinfo=UTC), "2027-06-11", id="it is the next day already there"),
        pytest.param(datetime(2028, 2, 10, 9, tzinfo=UTC), None, id="the paid period ends earlier"),
    ],
)
def test_notice_ends_after_a_month(now: datetime, last_day: str | None) -> None:
    assert exit_at(now) == last_day


def test_later_end_can_be_asked_for() -> None:
    now = datetime(2027, 5, 10, 9, tzinfo=UTC)
    assert exit_at(now, wanted=date(2027, 8, 31)) == "2027-08-31"
    assert exit_at(now, wanted=date(2027, 5, 20)) == "2027-06-10", "never earlier than the notice"
    assert exit_at(now, wanted=date(2028, 8, 31)) is None, "it would renew before"


@pytest.mark.parametrize(
    ("place", "has_right"),
    [
        pytest.param(GERMANY, True, id="Germany"),
        pytest.param(UNKNOWN_PLACE, True, id="unknown: the strictest"),
        pytest.param(Place(country="AT"), False, id="Austria"),
        pytest.param(Place(country="US"), False, id="the United States"),
    ],
)
def test_only_some_places_have_it(place: Place, has_right: bool) -> None:
    assert (exit_at(datetime(2027, 5, 10, 9, tzinfo=UTC), place) is not None) == has_right


def test_contract_from_before_the_law_is_not_covered() -> None:
    assert exit_at(datetime(2027, 5, 10, 9, tzinfo=UTC), made=datetime(2022, 2, 28, 12, tzinfo=UTC)) is None


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 24))
def test_months_later_is_the_same_day_or_the_last_of_the_month(day: date, months: int) -> None:
    later = in_months(day, months)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day == day.day or (later + timedelta(days=1)).day == 1
