"""The state of an issue by its dates and its label run, and the cut-off that comes next."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from app.domain.issue_states import IssueState, months_of, next_cutoff, state_of, to_freeze, years_of
from app.domain.issues import Calendar
from tests.domain.test_issues import CHICAGO, issue

FIRST = replace(issue(1, date(2026, 3, 10)), label_cutoff=date(2026, 3, 1))
SECOND = replace(issue(2, date(2026, 12, 30)), label_cutoff=date(2026, 12, 20))
THIRD = replace(issue(3, date(2027, 1, 5)), label_cutoff=date(2026, 12, 22))
CALENDAR = Calendar([FIRST, SECOND, THIRD], CHICAGO)


@pytest.mark.parametrize(
    ("now", "frozen", "state"),
    [
        pytest.param(
            datetime(2026, 3, 2, 5, 59, tzinfo=UTC), False, IssueState.PLANNED, id="until the cut-off day ends"
        ),
        pytest.param(datetime(2026, 3, 2, 6, tzinfo=UTC), False, IssueState.CLOSED, id="in the publisher's time zone"),
        pytest.param(datetime(2026, 3, 2, 6, tzinfo=UTC), True, IssueState.FROZEN, id="frozen"),
        pytest.param(datetime(2026, 3, 10, 4, 59, tzinfo=UTC), True, IssueState.FROZEN, id="the evening before"),
        pytest.param(datetime(2026, 3, 10, 5, tzinfo=UTC), True, IssueState.MAILED, id="mailed"),
        pytest.param(datetime(2026, 3, 10, 5, tzinfo=UTC), False, IssueState.MAILED, id="mailed without a run"),
    ],
)
def test_state_of_an_issue(now: datetime, frozen: bool, state: IssueState) -> None:
    found = replace(FIRST, frozen_at=CALENDAR.ends(FIRST.label_cutoff) if frozen else None)
    assert state_of(found, Calendar([found], CHICAGO), now) == state


def test_next_cutoff_and_labels_to_freeze() -> None:
    early, closed, late = (datetime(*day, 18, tzinfo=UTC) for day in ((2026, 2, 1), (2026, 3, 5), (2027, 2, 1)))
    assert [next_cutoff(CALENDAR, now) for now in (early, closed, late)] == [FIRST, SECOND, None]
    assert [list(to_freeze(CALENDAR, now)) for now in (early, closed, late)] == [[], [FIRST], []]


def test_a_year_has_twelve_months_and_issues_by_mail_date() -> None:
    assert years_of(CALENDAR) == [2026, 2027]
    months = months_of(CALENDAR, 2026)
    assert [month.month for month, _ in months] == list(range(1, 13))
    assert [[one.number for one in mailed] for _, mailed in months if mailed] == [[1], [2]]
