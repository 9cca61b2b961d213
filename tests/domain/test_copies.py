"""The printed copies of a term are those that its ledger counts."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from app.domain.copies import OwedCopies, copies_of
from app.domain.issues import Calendar, Issue, ScheduledTerm
from app.domain.subscriptions import Term

ZONE = ZoneInfo("America/Chicago")
FIRST_DAY = date(2026, 1, 10)
COUNTS = st.lists(st.sampled_from([0, 1, 1, 1, 2]), min_size=1, max_size=30)


def calendar_of(counts: list[int]) -> Calendar:
    days = [FIRST_DAY + timedelta(days=15 * number) for number in range(len(counts))]
    issues = [
        Issue(
            number=number + 1,
            title="",
            cover_date=day,
            planned_mail_date=day,
            label_cutoff=day - timedelta(days=9),
            counts_as=count,
        )
        for number, (day, count) in enumerate(zip(days, counts, strict=True))
    ]
    return Calendar(issues, ZONE)


def run_of(calendar: Calendar, start: int, owed: int, *, print_edition: bool = True) -> ScheduledTerm:
    starts_at = datetime(2026, 1, 1, tzinfo=UTC)
    term = Term(
        invoice_id="in_1",
        plan="annual",
        print_edition=print_edition,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(days=365),
        issues_owed=owed,
    )
    return ScheduledTerm(term=term, ranges=((start, start + owed),), ended_at=None, doubles=2, calendar=calendar)


def numbers(copies: OwedCopies, calendar: Calendar) -> list[int]:
    known = [issue.number for issue in calendar.issues]
    return [one for one in known if any(first <= one and (end is None or one < end) for first, end in copies.ranges)]


@given(COUNTS, st.integers(0, 20), st.integers(0, 20))
def test_each_issue_with_a_copy_of_the_term_is_owed_and_no_other_counted_one(
    counts: list[int], start: int, owed: int
) -> None:
    calendar = calendar_of(counts)
    found = numbers(copies_of([run_of(calendar, start, owed)])["in_1"], calendar)

    before = 0
    for issue in calendar.issues:
        after = before + issue.counts_as
        if issue.counts_as:
            assert (issue.number in found) == (max(before, start) < min(after, start + owed))
        before = after


@given(COUNTS, st.integers(0, 20), st.integers(1, 20))
def test_the_expire_is_the_last_owed_issue(counts: list[int], start: int, owed: int) -> None:
    calendar = calendar_of(counts)
    copies = copies_of([run_of(calendar, start, owed)])["in_1"]

    if copies.expire is not None:
        counted = {issue.number for issue in calendar.issues if issue.counts_as}
        assert max(counted.intersection(numbers(copies, calendar))) == copies.expire
    else:
        assert sum(counts) < start + owed


def test_a_term_without_print_owes_no_copy() -> None:
    calendar = calendar_of([1, 1, 1])

    assert copies_of([run_of(calendar, 0, 2, print_edition=False)])["in_1"].stored == "{}"
    assert copies_of([run_of(calendar, 0, 2)])["in_1"].stored == "{[1,3)}"
    assert copies_of([run_of(calendar, 1, 24)])["in_1"].stored == "{[2,)}"
