"""The lines of PS Form 3526 add up, for an issue and for the average of a period."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.circulation import (
    EXCESS,
    TITLES,
    EnteredCounts,
    InvalidCirculationPeriod,
    IssueCirculation,
    LabelCounts,
    check_period,
    lines_of,
    parts_of,
    statement,
)

FIRST, LAST = date(2025, 10, 1), date(2026, 9, 30)
counts = st.integers(0, 2_000_000)
issues = st.lists(
    st.builds(
        IssueCirculation,
        number=counts,
        mail_date=st.just(LAST),
        labels=st.builds(LabelCounts, **dict.fromkeys(LabelCounts.__slots__, counts)),
        electronic=counts,
        entered=st.none() | st.builds(EnteredCounts, **dict.fromkeys(EnteredCounts.__slots__, counts)),
    ),
    max_size=5,
)
ISSUE = IssueCirculation(
    number=7,
    mail_date=date(2026, 6, 9),
    labels=LabelCounts(paid_outside_county=800, paid_in_county=50, paid_other_mail=10, free_outside_county=30),
    electronic=300,
    entered=EnteredCounts(press_run=1_000, dealer_sales=40, single_copies_mailed=2, free_outside_mail=20),
)


def test_each_count_is_on_its_line() -> None:
    assert lines_of(parts_of(ISSUE)) == {
        "15a": 1_000, "15b1": 800, "15b2": 50, "15b3": 40, "15b4": 12, "15c": 902,
        "15d1": 30, "15d2": 0, "15d3": 0, "15d4": 20, "15e": 50, "15f": 952, "15g": 48, "15h": 1_000, "15i": 9_475,
        "16a": 300, "16b": 1_202, "16c": 1_252, "16d": 9_601,
    }  # fmt: skip


@given(issues)
def test_the_sums_are_right_for_the_average_and_for_the_nearest_issue(found: list[IssueCirculation]) -> None:
    made = statement(FIRST, LAST, found)

    for column in ("average", "nearest"):
        if column == "nearest" and made.lines[0].nearest is None:
            continue
        line = {one.line: getattr(one, column) for one in made.lines}
        assert set(line) == set(TITLES)
        assert line["15c"] == line["15b1"] + line["15b2"] + line["15b3"] + line["15b4"]
        assert line["15e"] == line["15d1"] + line["15d2"] + line["15d3"] + line["15d4"]
        assert line["15f"] == line["15c"] + line["15e"]
        assert line["15h"] == line["15f"] + line["15g"] >= line["15a"]
        assert line["15h"] == line["15a"] or any(parts_of(one)[EXCESS] for one in made.issues)
        assert (line["16b"], line["16c"]) == (line["15c"] + line["16a"], line["15f"] + line["16a"])
        assert all(0 <= line[percent] <= 10_000 for percent in ("15i", "16d"))
    assert len(made.issues) + len(made.missing) == len(found)


def test_a_press_run_that_is_too_small_leaves_the_rest_of_another_issue_as_it_is() -> None:
    both = [
        IssueCirculation(
            number=number,
            mail_date=LAST,
            labels=LabelCounts(paid_outside_county=sent),
            electronic=0,
            entered=EnteredCounts(press_run=100),
        )
        for number, sent in ((1, 120), (2, 60))
    ]
    average = {one.line: one.average for one in statement(FIRST, LAST, both).lines}

    assert [lines_of(parts_of(one))["15g"] for one in both] == [0, 40]
    assert (average["15f"], average["15g"], average["15h"]) == (90, 20, 110)


def test_an_issue_without_a_press_run_or_frozen_labels_is_left_out_and_named() -> None:
    earlier = IssueCirculation(number=6, mail_date=FIRST, labels=LabelCounts(), electronic=0, entered=None)
    made = statement(FIRST, LAST, [earlier, ISSUE], not_frozen=[5])

    assert (made.nearest, made.missing, made.not_frozen) == (7, [5, 6], [5])
    assert [one.number for one in made.issues] == [7]
    assert {one.line: one.nearest for one in made.lines} == lines_of(parts_of(ISSUE))


@pytest.mark.parametrize("is_frozen", [True, False])
def test_no_other_issue_stands_for_the_one_nearest_to_filing(is_frozen: bool) -> None:
    later = IssueCirculation(number=8, mail_date=LAST, labels=LabelCounts(), electronic=0, entered=None)
    made = statement(FIRST, LAST, [ISSUE, later] if is_frozen else [ISSUE], not_frozen=[] if is_frozen else [8])

    assert (made.nearest, made.missing) == (8, [8])
    assert {one.nearest for one in made.lines} == {None}
    assert {one.line: one.average for one in made.lines} == lines_of(parts_of(ISSUE))


@pytest.mark.parametrize(
    ("since", "until"),
    [
        pytest.param(LAST, FIRST, id="ends before it begins"),
        pytest.param(FIRST, date(2027, 9, 30), id="two years"),
    ],
)
def test_a_period_has_a_beginning_and_an_end(since: date, until: date) -> None:
    check_period(FIRST, LAST)
    check_period(FIRST, FIRST)
    with pytest.raises(InvalidCirculationPeriod):
        check_period(since, until)
