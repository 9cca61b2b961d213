"""A night begins at a time of the publisher's zone, and lasts until the next one begins."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from app.domain.retention import night_of


@pytest.mark.parametrize(
    ("now", "night"),
    [
        (datetime(2026, 6, 2, 7, 59, tzinfo=UTC), date(2026, 6, 1)),  # 3:59 in New York
        (datetime(2026, 6, 2, 8, 0, tzinfo=UTC), date(2026, 6, 2)),
        (datetime(2026, 6, 3, 2, 0, tzinfo=UTC), date(2026, 6, 2)),  # 22:00
    ],
)
def test_a_night_lasts_until_the_next_one_begins(now: datetime, night: date) -> None:
    assert night_of(now, begins_at=time(4), zone=ZoneInfo("America/New_York")) == night
