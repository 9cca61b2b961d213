"""Special issues between terms and at their beginning are sent, and none is missed by a reader who renews on time."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from app.domain.holds import Hold
from app.domain.subscriptions import Term
from tests.domain.test_holds import NEXT, TERM, runs, sent, span
from tests.domain.test_issues import PLAIN, at

# A term bought on March 1, 2026 owes issues 2 to 25, and one that follows owes 26 to 49.
BETWEEN = {**PLAIN, 26: replace(PLAIN[26], counts_as=0)}
LATE = replace(NEXT, paid_at=NEXT.starts_at + timedelta(days=100))


def test_a_special_issue_between_two_terms_is_sent() -> None:
    found = runs(TERM, NEXT, issues=tuple(BETWEEN.values()))

    assert sent(found) == span(2, 26)
    assert set(sent(found, "in_2")) - {26} == set(span(27, 50))


@pytest.mark.parametrize("following", [[], [LATE], [replace(NEXT, print_edition=False)]])
def test_without_a_renewal_on_time_special_issues_are_sent_while_the_term_lasts(following: list[Term]) -> None:
    closes_before = date(2027, 2, 27)
    closes_after = TERM.ends_at.date() + timedelta(days=1)
    for cutoff, last in ((closes_before, 26), (closes_after, 25)):
        issues = {**BETWEEN, 26: replace(BETWEEN[26], label_cutoff=cutoff)}
        assert sent(runs(TERM, *following, issues=tuple(issues.values())))[-1] == last


@pytest.mark.parametrize(("cutoff", "first"), [(date(2026, 2, 27), 3), (date(2026, 3, 2), 2)])
def test_a_new_reader_gets_a_special_issue_whose_labels_are_open(cutoff: date, first: int) -> None:
    issues = {**PLAIN, 2: replace(PLAIN[2], counts_as=0, label_cutoff=cutoff)}

    assert sent(runs(TERM, issues=tuple(issues.values())))[0] == first


def test_print_that_is_added_begins_with_a_special_issue_whose_labels_are_open() -> None:
    added = replace(TERM, print_from=at(PLAIN[6].label_cutoff - timedelta(days=1)))
    issues = {**PLAIN, **{number: replace(PLAIN[number], counts_as=0) for number in (5, 6)}}

    assert sent(runs(added, issues=tuple(issues.values())))[0] == 6


def test_a_held_special_issue_between_two_terms_is_not_sent() -> None:
    cutoff = BETWEEN[26].label_cutoff
    hold = Hold(starts_on=cutoff, until=cutoff + timedelta(days=1))
    terms = [replace(term, holds=(hold,)) for term in (TERM, NEXT)]

    found = runs(*terms, issues=tuple(BETWEEN.values()))

    assert 26 not in {*sent(found), *sent(found, "in_2")}
