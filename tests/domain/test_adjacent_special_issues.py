"""Each of several special issues between the same two copies is judged by its own labels."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.calendar_changes import affected_terms
from app.domain.copies import copies_of
from app.domain.issues import Calendar, Issue, ScheduledTerm, schedule_terms
from app.domain.subscriptions import Term
from tests.domain.test_calendar_changes import touched
from tests.domain.test_entitlements import CATALOGUE, POLICY, SUBSCRIPTION
from tests.domain.test_issues import BOUGHT, CHICAGO, at, issue

FIRST_DAY = date(2026, 3, 1)


def printed(starts_at: datetime, ends_at: datetime, *, issues_owed: int, invoice_id: str = "in_1") -> Term:
    return replace(
        BOUGHT,
        invoice_id=invoice_id,
        starts_at=starts_at,
        ends_at=ends_at,
        issues_owed=issues_owed,
        print_edition=True,
        adjustments=(),
    )


def scheduled(terms: list[Term], issues: list[Issue]) -> list[ScheduledTerm]:
    return schedule_terms(SUBSCRIPTION, terms, Calendar(issues, CHICAGO), CATALOGUE, grace=POLICY.grace_period)


def numbers(terms: list[Term], issues: list[Issue], *, but: int | None = None) -> dict[str, set[int]]:
    """Return the numbers of the copies that each term owes, other than ``but``."""
    return {
        invoice: {
            one.number
            for one in issues
            if one.number != but
            and any(first <= one.number and (end is None or one.number < end) for first, end in copies.ranges)
        }
        for invoice, copies in copies_of(scheduled(terms, issues)).items()
    }


def closing(number: int, closes: date, *, counts_as: int = 0) -> Issue:
    """Return an issue whose labels close at the end of a day."""
    mailed = FIRST_DAY + timedelta(days=10 * number)
    return replace(issue(number, mailed, counts_as=counts_as), label_cutoff=closes)


@pytest.mark.parametrize(
    ("starts", "owed"),
    [
        (date(2026, 2, 10), {2, 3, 4}),
        (date(2026, 2, 20), {2, 4}),
        (date(2026, 3, 5), {4}),
    ],
)
def test_a_closed_special_issue_hides_no_open_one_before_it(starts: date, owed: set[int]) -> None:
    """Issue 3 closes before issue 2."""
    issues = [
        closing(1, date(2026, 2, 1), counts_as=1),
        closing(2, date(2026, 3, 1)),
        closing(3, date(2026, 2, 15)),
        closing(4, date(2026, 3, 20), counts_as=1),
    ]

    assert numbers([printed(at(starts), at(date(2027, 2, 10)), issues_owed=1)], issues) == {"in_1": owed}


@pytest.mark.parametrize(
    ("ends", "owed"),
    [
        (date(2026, 3, 20), {1}),
        (date(2026, 4, 5), {1, 3}),
        (date(2026, 5, 5), {1, 2, 3}),
    ],
)
def test_a_late_special_issue_hides_no_earlier_one_after_it(ends: date, owed: set[int]) -> None:
    """Issue 2 closes after issue 3."""
    issues = [
        closing(1, date(2026, 3, 1), counts_as=1),
        closing(2, date(2026, 5, 1)),
        closing(3, date(2026, 4, 1)),
        closing(4, date(2026, 5, 20), counts_as=1),
    ]

    assert numbers([printed(at(date(2026, 2, 10)), at(ends), issues_owed=1)], issues) == {"in_1": owed}


def test_a_term_that_begins_within_a_double_issue_owes_no_special_issue_before_it() -> None:
    """The term before it has that copy, and so the special issues that are sent with it."""
    issues = [
        closing(1, date(2026, 3, 1), counts_as=1),
        closing(2, date(2026, 3, 20)),
        closing(3, date(2026, 3, 25), counts_as=2),
        closing(4, date(2026, 4, 5), counts_as=1),
    ]
    renewed = at(date(2026, 3, 10))
    terms = [
        printed(at(date(2026, 2, 10)), renewed, issues_owed=2),
        printed(renewed, at(date(2027, 3, 10)), issues_owed=2, invoice_id="in_2"),
    ]

    assert numbers(terms, issues) == {"in_1": {1, 2, 3}, "in_2": {3, 4}}


@st.composite
def dense_calendars(draw: st.DrawFn) -> list[Issue]:
    """Return a few issues within a month, many of them special, whose labels close in any order."""
    days = sorted(draw(st.lists(st.integers(0, 30), min_size=2, max_size=6)))
    return [
        issue(
            number,
            FIRST_DAY + timedelta(days=day),
            counts_as=draw(st.sampled_from([0, 0, 1, 1, 2])),
            cutoff=draw(st.integers(0, 20)),
        )
        for number, day in enumerate(days, start=1)
    ]


@st.composite
def printed_terms(draw: st.DrawFn) -> list[Term]:
    """Return one or two printed terms that begin while such a calendar goes out."""
    starts = at(FIRST_DAY + timedelta(days=draw(st.integers(-10, 30))))
    terms = []
    for invoice in ("in_1", "in_2")[: draw(st.integers(1, 2))]:
        ends = starts + timedelta(days=draw(st.sampled_from([10, 20, 400])))
        terms.append(printed(starts, ends, issues_owed=draw(st.integers(1, 4)), invoice_id=invoice))
        starts = ends + timedelta(days=draw(st.sampled_from([0, 0, 30])))
    return terms


@settings(max_examples=600)
@given(dense_calendars(), printed_terms(), st.data())
def test_a_term_is_derived_again_when_a_special_issue_changes_its_copies(
    issues: list[Issue], terms: list[Term], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(issues) - 1))
    special = replace(issues[index], counts_as=0)
    moved = replace(special, label_cutoff=data.draw(st.sampled_from(issues)).label_cutoff)
    without = [one for one in issues if one.number != special.number]
    earlier, later = ([*issues[:index], one, *issues[index + 1 :]] for one in (special, moved))

    for old, new in ((earlier, later), (without, later), (later, without)):
        # The copies of an issue that is removed don't matter.
        gone = special.number if new is without else None
        before = {invoice: copies.ranges for invoice, copies in copies_of(scheduled(terms, old)).items()}
        stored = {
            invoice: {
                one.number
                for one in new
                if one.number != gone and any(a <= one.number and (b is None or one.number < b) for a, b in ranges)
            }
            for invoice, ranges in before.items()
        }
        if stored != numbers(terms, new, but=gone):
            change = affected_terms(Calendar(old, CHICAGO), Calendar(new, CHICAGO))
            assert touched(change, scheduled(terms, old)), (old, new)
