"""A cut-off that has passed stays, and so does what its issue counts as."""

from dataclasses import replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from app.domain.calendar_changes import affected_terms
from app.domain.issues import DOUBLE, SPECIAL, Calendar, Issue
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


def test_a_mail_date_can_always_change() -> None:
    check_changes(CALENDAR, ISSUE, SLIPPED, CLOSED)


def test_an_issue_whose_cutoff_has_passed_is_added_only_once_it_is_mailed() -> None:
    others = Calendar(
        [replace(ISSUE, number=4, label_cutoff=date(2026, 2, 20), planned_mail_date=date(2026, 3, 2))], ZONE
    )
    check_changes(others, None, ISSUE, LAST_MINUTE)
    check_changes(Calendar([], ZONE), None, ISSUE, CLOSED)  # the first import
    for moment in (CLOSED, datetime(2026, 3, 16, 23, 59, tzinfo=ZONE)):
        with pytest.raises(CutoffPassed, match="is not mailed yet"):
            check_changes(others, None, ISSUE, moment)
    check_changes(others, None, ISSUE, datetime(2026, 3, 17, tzinfo=ZONE))


def test_an_issue_that_a_later_one_has_closed_is_closed() -> None:
    later = replace(ISSUE, number=6, label_cutoff=date(2026, 3, 5), planned_mail_date=date(2026, 4, 1))
    five, six = Calendar([ISSUE, later], ZONE).issues
    special, _ = Calendar([replace(ISSUE, counts_as=SPECIAL), later], ZONE).issues

    assert (five.closes_on, six.closes_on, special.closes_on) == (
        six.label_cutoff,
        six.label_cutoff,
        ISSUE.label_cutoff,
    )
    with pytest.raises(CutoffPassed, match="closed at the end of 2026-03-05"):
        check_changes(CALENDAR, five, LATER, datetime(2026, 3, 6, tzinfo=ZONE))


def test_an_earlier_cutoff_of_a_later_issue_derives_what_the_issue_before_concerns() -> None:
    later = replace(ISSUE, number=7, label_cutoff=date(2026, 3, 20), planned_mail_date=date(2026, 4, 1))
    new = replace(ISSUE, number=6, label_cutoff=date(2026, 3, 5), planned_mail_date=date(2026, 3, 20))
    before, after = Calendar([ISSUE, later], ZONE), Calendar([ISSUE, new, later], ZONE)

    change = affected_terms(before, after)

    assert change is not None
    assert (before.ends(new.label_cutoff), before.ends(ISSUE.label_cutoff)) in change.begun
