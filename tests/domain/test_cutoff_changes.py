"""A cut-off that has passed stays, and so does what its issue counts as."""

from dataclasses import replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from app.domain.issues import DOUBLE, Calendar, Issue
from app.domain.label_runs import CutoffPassed, IssueFrozen, check_changes

ZONE = ZoneInfo("America/Chicago")
ISSUE = Issue(
    number=5,
    title="Issue 5",
    cover_date=date(2026, 3, 17),
    planned_mail_date=date(2026, 3, 17),
    label_cutoff=date(2026, 3, 8),
)
CALENDAR = Calendar([ISSUE], ZONE)
LAST_MINUTE = datetime(2026, 3, 8, 23, 59, tzinfo=ZONE)
CLOSED = datetime(2026, 3, 9, tzinfo=ZONE)
LATER = replace(ISSUE, label_cutoff=date(2026, 3, 15))
SLIPPED = replace(ISSUE, planned_mail_date=date(2026, 4, 1))


@pytest.mark.parametrize("changed", [LATER, replace(ISSUE, counts_as=DOUBLE)])
def test_a_cutoff_and_what_an_issue_counts_as_can_change_until_the_end_of_its_day(changed: Issue) -> None:
    check_changes(CALENDAR, ISSUE, changed, LAST_MINUTE)
    with pytest.raises(CutoffPassed):
        check_changes(CALENDAR, ISSUE, changed, CLOSED)
    with pytest.raises(IssueFrozen):
        check_changes(CALENDAR, replace(ISSUE, frozen_at=CLOSED), changed, CLOSED)


def test_a_cutoff_cannot_be_moved_to_a_day_that_has_passed() -> None:
    with pytest.raises(CutoffPassed, match="that day has passed"):
        check_changes(CALENDAR, LATER, ISSUE, CLOSED)


def test_a_mail_date_can_always_change_and_a_past_issue_can_be_added() -> None:
    check_changes(CALENDAR, ISSUE, SLIPPED, CLOSED)
    check_changes(CALENDAR, None, ISSUE, CLOSED)
