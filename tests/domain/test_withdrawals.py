"""The right of withdrawal: where it applies, when it ends, and what it is worth beside the guarantee."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.places import UNKNOWN_PLACE, Place
from app.domain.withdrawals import DELIVERY_DAYS, LAWS, Contract, easter_sunday, is_working_day, right_of

CHICAGO, BERLIN = ZoneInfo("America/Chicago"), ZoneInfo("Europe/Berlin")
GERMANY = Place(country="DE")
EEA_LAW = next(law for law in LAWS if law.code == "eea")
# Where readers of the EEA live, from east to west.
ZONES = ("Indian/Reunion", "Europe/Athens", "Europe/Berlin", "Atlantic/Azores", "America/Cayenne", "America/Martinique")


def until(
    concluded_at: datetime, place: Place = GERMANY, zone: ZoneInfo = BERLIN, **contract: object
) -> datetime | None:
    """Return when the right ends."""
    right = right_of(place, Contract(concluded_at=concluded_at, **contract), zone=zone)  # type: ignore[arg-type]
    assert right is not None
    return right.until.astimezone(UTC) if right.until is not None else None


@pytest.mark.parametrize(
    ("concluded", "last_day"),
    [
        pytest.param("2026-07-01T10:00", "2026-07-15", id="the day of the contract does not count"),
        pytest.param("2026-07-01T21:00", "2026-07-16", id="it was the next day already where the day begins first"),
        pytest.param("2026-07-04T10:00", "2026-07-20", id="a Saturday becomes Monday"),
        pytest.param("2026-07-05T10:00", "2026-07-20", id="a Sunday becomes Monday"),
        pytest.param("2026-12-11T10:00", "2026-12-28", id="Christmas on a Friday, then a weekend"),
        pytest.param("2026-03-20T10:00", "2026-04-07", id="Good Friday to Easter Monday"),
        pytest.param("2026-12-18T10:00", "2027-01-04", id="New Year on a Friday"),
        pytest.param("2026-03-16T10:00", "2026-03-30", id="summer time begins meanwhile"),
    ],
)
def test_last_day_is_the_fourteenth_or_the_next_working_day(concluded: str, last_day: str) -> None:
    end = until(datetime.fromisoformat(concluded).replace(tzinfo=UTC))
    # It ends with the last hour of that day where it ends last: in Martinique, four hours after UTC.
    assert end == datetime.fromisoformat(last_day).replace(tzinfo=UTC) + timedelta(days=1, hours=4)


@pytest.mark.parametrize(
    ("place", "law"),
    [
        pytest.param(Place(country="DE"), "eea", id="Germany"),
        pytest.param(Place(country="NO"), "eea", id="Norway"),
        pytest.param(Place(country="GB"), "gb", id="the United Kingdom: the right of 2013"),
        pytest.param(Place(country="US", region="CA"), None, id="California"),
        pytest.param(Place(country="CH"), None, id="Switzerland"),
        pytest.param(UNKNOWN_PLACE, "eea", id="unknown: the one that ends last"),
    ],
)
def test_place_decides_which_law_applies(place: Place, law: str | None) -> None:
    right = right_of(place, Contract(concluded_at=datetime(2026, 7, 1, tzinfo=UTC)), zone=CHICAGO)
    assert (right.law.code if right is not None else None) == law


def test_contract_from_before_a_law_is_not_covered_by_it() -> None:
    assert right_of(GERMANY, Contract(concluded_at=datetime(2014, 6, 12, 12, tzinfo=UTC)), zone=BERLIN) is None
    assert right_of(GERMANY, Contract(concluded_at=datetime(2014, 6, 13, 12, tzinfo=UTC)), zone=BERLIN) is not None


def test_law_that_is_not_in_force_yet_changes_nothing() -> None:
    (future,) = (law for law in LAWS if not law.enabled)
    contract = Contract(concluded_at=datetime(2028, 7, 1, tzinfo=UTC))
    assert right_of(Place(country="GB"), contract, zone=CHICAGO, laws=[future]) is None
    assert right_of(Place(country="GB"), contract, zone=CHICAGO, laws=[replace(future, enabled=True)]) is not None


def test_period_of_print_counts_from_the_first_copy() -> None:
    concluded = datetime(2026, 7, 1, 10, tzinfo=UTC)
    assert until(concluded, print_edition=True) is None, "no copy was mailed yet"
    mailed = date(2026, 8, 3)
    end = until(concluded, print_edition=True, first_copy_mailed=mailed)
    received = mailed + timedelta(days=DELIVERY_DAYS)  # Wednesday, September 2
    assert end == datetime(received.year, received.month, received.day, 4, tzinfo=UTC) + timedelta(days=15)
    early = until(concluded, print_edition=True, first_copy_mailed=date(2026, 1, 1))
    assert early == until(concluded), "never before that of the contract"


def test_in_an_unknown_place_print_stays_open_until_a_copy_is_mailed() -> None:
    assert until(datetime(2026, 7, 1, tzinfo=UTC), place=UNKNOWN_PLACE, print_edition=True) is None


MOMENTS = st.integers(1_420_000_000, 2_840_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(MOMENTS, st.sampled_from(ZONES), st.sampled_from(("America/Chicago", "Europe/Berlin", "Asia/Tokyo")))
def test_no_reader_of_the_area_has_less_than_the_law_gives(moment: datetime, where: str, publisher: str) -> None:
    local = moment.astimezone(ZoneInfo(where))
    last_day = local.date() + timedelta(days=14)
    end_there = datetime(last_day.year, last_day.month, last_day.day, tzinfo=ZoneInfo(where)) + timedelta(days=1)
    end = until(moment, zone=ZoneInfo(publisher))
    assert end is not None
    assert end >= end_there
    assert end - moment <= timedelta(days=14 + 1 + 5 + 2), "nor much more: a day begun, holidays, and time zones"


@given(MOMENTS)
def test_last_day_is_a_working_day_at_the_publisher(moment: datetime) -> None:
    end = until(moment)
    assert end is not None
    assert is_working_day((end - timedelta(microseconds=1)).astimezone(ZoneInfo("America/Martinique")).date())


@given(MOMENTS, st.timedeltas(timedelta(), timedelta(days=500)), st.booleans())
def test_place_is_looked_up_while_a_period_may_be_open(moment: datetime, later: timedelta, has_print: bool) -> None:
    contract = Contract(concluded_at=moment, print_edition=has_print)
    now = moment + later
    right = right_of(UNKNOWN_PLACE, contract, zone=BERLIN)
    if right is not None and right.until is not None and right.is_open(now):
        assert contract.may_be_open(now)


@pytest.mark.parametrize(
    ("year", "month", "day"),
    [(1818, 3, 22), (2000, 4, 23), (2024, 3, 31), (2025, 4, 20), (2026, 4, 5), (2027, 3, 28), (2038, 4, 25)],
)
def test_easter_is_when_the_almanac_says(year: int, month: int, day: int) -> None:
    assert easter_sunday(year) == date(year, month, day)


def test_every_law_names_its_source_and_its_articles() -> None:
    for law in LAWS:
        assert law.source.startswith("https://")
        assert all((law.from_contract, law.from_first_copy, law.refund, law.consent, law.title))
        assert ZoneInfo(law.first_zone)
        assert ZoneInfo(law.last_zone)
