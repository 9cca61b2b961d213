"""The reader's place and the day of the event decide which entry of the policy applies."""

from datetime import date

import pytest

from app.domain.notification_policies import DAYS_AHEAD, DEFAULT_POLICIES, NotificationPolicy, policy_for
from app.domain.notifications import Channel, NotificationKind
from app.domain.places import Place

KIND = NotificationKind.RENEWAL_AHEAD
EVERYWHERE, LATER = (
    NotificationPolicy(kind=KIND, days=20),
    NotificationPolicy(kind=KIND, days=25, since=date(2027, 1, 1)),
)
CALIFORNIA = NotificationPolicy(kind=KIND, places=("US-CA",), days=30)
AMERICA = NotificationPolicy(kind=KIND, places=("US",), days=10)
EUROPE = NotificationPolicy(kind=KIND, places=("EU",), days=15)
NOWHERE_ELSE = NotificationPolicy(kind=KIND, places=("FR",), days=40)
DAY = date(2026, 6, 1)


@pytest.mark.parametrize(
    ("policies", "place", "day", "expected"),
    [
        pytest.param([EVERYWHERE], Place(country="DE"), DAY, EVERYWHERE, id="everywhere"),
        pytest.param([EVERYWHERE, CALIFORNIA], Place(country="US", region="CA"), DAY, CALIFORNIA, id="a state first"),
        pytest.param(
            [EVERYWHERE, CALIFORNIA, AMERICA], Place(country="US", region="NY"), DAY, AMERICA, id="its country"
        ),
        pytest.param([EVERYWHERE, EUROPE], Place(country="IT"), DAY, EUROPE, id="the union"),
        pytest.param([EVERYWHERE, CALIFORNIA, AMERICA], Place(country="US"), DAY, CALIFORNIA, id="an unknown state"),
        pytest.param([EVERYWHERE, CALIFORNIA, AMERICA], Place(), DAY, CALIFORNIA, id="an unknown place: the strictest"),
        pytest.param([AMERICA], Place(country="DE"), DAY, None, id="no entry for the place"),
        pytest.param([], Place(), DAY, None, id="no entry"),
        pytest.param([EVERYWHERE, LATER], Place(), DAY, EVERYWHERE, id="before the change"),
        pytest.param([EVERYWHERE, LATER], Place(), date(2027, 1, 1), LATER, id="from its day on"),
    ],
)
def test_the_most_specific_entry_in_force_applies(
    policies: list[NotificationPolicy], place: Place, day: date, expected: NotificationPolicy | None
) -> None:
    assert policy_for(policies, KIND, place, day) == expected
    assert policy_for(list(reversed(policies)), KIND, place, day) == expected


def test_for_an_unknown_place_an_entry_that_is_sent_counts_before_one_that_is_not() -> None:
    off = NotificationPolicy(kind=KIND, places=("FR",), days=40, channel=Channel.OFF)

    assert policy_for([off, EVERYWHERE], KIND, Place(), DAY) == EVERYWHERE


def test_the_defaults_are_within_the_ranges_that_the_sources_give() -> None:
    chosen = {one.kind: one.days for one in DEFAULT_POLICIES}

    assert set(chosen) == set(NotificationKind)
    assert all(least <= chosen[kind] <= most for kind, (least, most, _) in DAYS_AHEAD.items())
    assert 15 <= chosen[KIND] <= 30, "California's and Mastercard's ranges overlap there"
