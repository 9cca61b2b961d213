"""A delay counts from the date that readers know."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from app.domain.issue_delays import delay_of
from app.domain.issues import Issue

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = date(2026, 6, 1)
ISSUE = Issue(number=12, title="Issue 12", cover_date=DAY, planned_mail_date=DAY, label_cutoff=DAY - timedelta(days=9))


@pytest.mark.parametrize(
    ("moves", "announced"),
    [
        pytest.param([3], [], id="a few days"),
        pytest.param([7], [(0, 7)], id="a week"),
        pytest.param([3, 6, 9], [(0, 9)], id="a little at a time"),
        pytest.param([8, 10], [(0, 8)], id="a little more than was said"),
        pytest.param([8, 20], [(0, 8), (8, 20)], id="much more than was said"),
        pytest.param([8, 0, 8], [(0, 8)], id="as was said, after all"),
        pytest.param([-5], [], id="earlier"),
    ],
)
def test_readers_hear_of_a_week_more_than_they_know(moves: list[int], announced: list[tuple[int, int]]) -> None:
    issue, known, found = ISSUE, None, []
    for days in moves:
        moved = replace(issue, planned_mail_date=DAY + timedelta(days=days))
        delay = delay_of(issue, moved, known, now=NOW)
        assert delay is not None
        issue, known = moved, delay
        if delay.is_told:
            found.append(((delay.planned_on - DAY).days, (delay.expected_on - DAY).days))

    assert found == announced


def test_a_new_issue_and_one_that_was_mailed_have_no_delay() -> None:
    late = replace(ISSUE, planned_mail_date=DAY + timedelta(days=30))

    assert delay_of(None, late, None, now=NOW) is None
    assert delay_of(ISSUE, replace(late, actual_mail_date=DAY), None, now=NOW) is None
    assert delay_of(ISSUE, replace(ISSUE, title="Another title"), None, now=NOW) is None
