"""Print that is dropped and added again within a term: the term knows each period of print."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.copies import copies_of
from app.domain.invoice_lines import Span
from app.domain.issues import Calendar, ScheduledTerm, schedule_terms
from app.domain.subscriptions import Term
from app.domain.terms import terms_of
from tests.domain.test_copies import ZONE, calendar_of
from tests.domain.test_entitlements import CATALOGUE, POLICY, SUBSCRIPTION
from tests.domain.test_subscriptions import END, INVOICE, LINE, SEEN, START

# 40 issues, one every 15 days from January 10, 2026; labels close 9 days before. The first for March 1 is number 5.
CALENDAR = calendar_of([1] * 40)
AUGUST, OCTOBER = datetime(2026, 8, 1, 18, tzinfo=UTC), datetime(2026, 10, 1, 18, tzinfo=UTC)
BOTH = replace(INVOICE, total=73_00, tax=0, lines=(LINE, replace(LINE, component="print", amount=24_00)))


def schedule(term: Term, calendar: Calendar = CALENDAR) -> ScheduledTerm:
    (run,) = schedule_terms(SUBSCRIPTION, [term], calendar, CATALOGUE, grace=POLICY.grace_period)
    return run


def sent(run: ScheduledTerm) -> list[int]:
    """Return the issues that the term's labels are printed for."""
    ranges = copies_of([run])["in_1"].ranges
    return [number for number in range(1, 41) if any(a <= number < (b or 41) for a, b in ranges)]


def added_again(at: datetime) -> Term:
    """Return a term with print that was dropped in August and added again."""
    line = replace(
        LINE, component="print", amount=9_00, span=Span(at, END), of_subscription=False, is_print_change=True
    )
    bill = replace(
        INVOICE,
        id="in_print",
        billing_reason="manual",
        total=9_00,
        tax=0,
        lines=(line,),
        paid_at=at,
        print_change="pch_1",
    )
    (term,) = terms_of(replace(SEEN, invoices=(BOTH, bill), print_dropped=(AUGUST,)), CATALOGUE)
    return term


@pytest.mark.parametrize("at", [pytest.param(OCTOBER, id="later"), pytest.param(AUGUST, id="at the same moment")])
def test_a_term_knows_each_period_of_print(at: datetime) -> None:
    term = added_again(at)

    assert (term.earlier_print, term.print_from, term.print_until) == ((Span(START, AUGUST),), at, None)
    assert term.begins_with_print
    assert term.print_periods == ((None, AUGUST), (at, None))


def test_print_that_was_never_dropped_is_one_period() -> None:
    (term,) = terms_of(replace(SEEN, invoices=(BOTH,)), CATALOGUE)
    assert (term.earlier_print, term.print_periods) == ((), ((None, None),))
    assert replace(term, print_edition=False).print_periods == ()


def test_copies_of_both_periods_are_owed_and_the_issues_between_are_digital() -> None:
    run = schedule(added_again(OCTOBER))

    closing = {issue.number: CALENDAR.ends(issue.label_cutoff) for issue in CALENDAR.issues}
    printed = [one for one in range(5, 29) if closing[one] <= AUGUST or closing[one] > OCTOBER]
    assert sent(run) == printed
    assert run.ledger(START).last_issue == 28


@given(st.lists(st.integers(0, 364), min_size=2, max_size=6, unique=True), st.integers(0, 400))
def test_an_issue_is_served_by_its_labels_in_a_period_of_print_and_otherwise_by_mail(days: list[int], day: int) -> None:
    times = [START + timedelta(days=one, hours=1) for one in sorted(days)]
    pairs = [Span(*pair) for pair in zip(times[::2], times[1::2], strict=False)]
    now = START + timedelta(days=day, hours=5)
    issues = [
        replace(one, frozen_at=end if (end := CALENDAR.ends(one.label_cutoff)) <= now else None)
        for one in CALENDAR.issues
    ]
    calendar = Calendar(issues, ZONE)
    (term,) = terms_of(SEEN, CATALOGUE)
    *earlier, last = pairs
    run = schedule(
        replace(
            term, print_edition=True, earlier_print=tuple(earlier), print_from=last.starts_at, print_until=last.ends_at
        ),
        calendar,
    )

    def is_printed(number: int) -> bool:
        closes = calendar.ends(issues[number - 1].label_cutoff)
        return any(one.starts_at < closes <= one.ends_at for one in pairs)

    served = [
        number
        for number in range(5, 29)
        if (
            calendar.ends(issues[number - 1].label_cutoff)
            if is_printed(number)
            else calendar.begins(issues[number - 1].mail_date)
        )
        <= now
    ]
    assert sent(run) == [number for number in range(5, 29) if is_printed(number)]
    assert run.ledger(now).served == len(served)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        pytest.param(5, [5, 6], id="before the labels of the special issue close"),
        pytest.param(16, [5, 6, 7], id="after they have closed"),
    ],
)
def test_a_special_issue_whose_labels_had_closed_is_sent_after_print_was_dropped(day: int, expected: list[int]) -> None:
    calendar = calendar_of([1, 1, 1, 1, 1, 1, 0, 1, *[1] * 30])  # issue 7 is special
    (term,) = terms_of(replace(SEEN, invoices=(BOTH,)), CATALOGUE)
    dropped_at = calendar.ends(calendar.issues[5].label_cutoff) + timedelta(days=day)
    closes = calendar.ends(calendar.issues[6].label_cutoff)
    assert (closes <= dropped_at) is (7 in expected)

    assert sent(schedule(replace(term, print_until=dropped_at), calendar)) == expected
