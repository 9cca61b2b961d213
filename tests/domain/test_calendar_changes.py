"""Which terms a calendar change affects: every term whose end moves, and few others."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain.calendar_changes import AffectedTerms, affected_terms, moved_closings, version_of
from app.domain.copies import copies_of
from app.domain.issues import Calendar, Issue, ScheduledTerm, schedule_terms
from app.domain.subscriptions import Term
from tests.domain.test_entitlements import CATALOGUE, POLICY, SUBSCRIPTION
from tests.domain.test_issues import CHICAGO, PLAIN, calendars, chains, issue

ALWAYS = datetime.max.replace(tzinfo=UTC)


def touched(change: AffectedTerms | None, runs: list[ScheduledTerm]) -> bool:
    """Return whether the database's query finds one of a subscription's terms."""
    if change is None:
        return False
    moments = [run.term.starts_at for run in runs] + [a.at for run in runs for a in run.term.adjustments]
    noted = [run.stored_last_issue() for run in runs]
    return (
        any(
            last == number and run.term.ends_at < until
            for last, run in zip(noted, runs, strict=True)
            for number, until in change.ends
        )
        or (change.since is not None and any(last is not None and last >= change.since for last in noted))
        or (change.beyond and None in noted)
        or any(start <= moment <= end for moment in moments for start, end in change.begun)
    )


@st.composite
def changed(draw: st.DrawFn) -> tuple[list[Issue], list[Issue]]:
    """Return a calendar before and after a change by circulation."""
    before = draw(calendars())
    after = list(before)
    for _ in range(draw(st.integers(1, 3))):
        what = draw(st.sampled_from(["slip", "count", "cutoff", "append"]))
        index = draw(st.integers(0, max(0, len(after) - 1)))
        if what == "append" or not after:
            newest = after[-1].mail_date if after else date(2026, 6, 1)
            days = draw(st.integers(0, 40))
            after.append(issue(len(after) + 1, newest + timedelta(days=days), counts_as=draw(st.integers(0, 2))))
        elif what == "count":
            after[index] = replace(after[index], counts_as=draw(st.integers(0, 2)))
        elif what == "cutoff":
            cutoff = after[index].mail_date - timedelta(days=draw(st.integers(0, 30)))
            after[index] = replace(after[index], label_cutoff=cutoff)
        else:
            first = after[index - 1].mail_date if index else date(2026, 1, 1)
            last = after[index + 1].mail_date if index + 1 < len(after) else first + timedelta(days=90)
            day = first + timedelta(days=draw(st.integers(0, max(0, (last - first).days))))
            after[index] = replace(after[index], actual_mail_date=day, label_cutoff=min(day, after[index].label_cutoff))
    return before, after


@given(changed(), chains())
def test_a_term_that_the_query_skips_does_not_change(both: tuple[list[Issue], list[Issue]], terms: list[Term]) -> None:
    old, new = (Calendar(issues, CHICAGO) for issues in both)
    before, after = (
        schedule_terms(SUBSCRIPTION, terms, calendar, CATALOGUE, grace=POLICY.grace_period) for calendar in (old, new)
    )

    if not touched(affected_terms(old, new), before):
        assert [run.stored_last_issue() for run in after] == [run.stored_last_issue() for run in before]
        assert [run.editions_until() for run in after] == [run.editions_until() for run in before]


@given(changed())
def test_a_stored_change_is_read_unchanged(both: tuple[list[Issue], list[Issue]]) -> None:
    change = affected_terms(*(Calendar(issues, CHICAGO) for issues in both))

    assert change is None or AffectedTerms.load(change.dump()) == change


def test_a_delayed_issue_affects_only_terms_that_begin_or_end_near_it() -> None:
    slipped = {**PLAIN, 23: replace(PLAIN[23], actual_mail_date=date(2027, 2, 18))}

    change = affected_terms(Calendar(PLAIN.values(), CHICAGO), Calendar(slipped.values(), CHICAGO))

    assert change == AffectedTerms(
        ends=((22, datetime(2027, 1, 20, 6, tzinfo=UTC)), (23, datetime(2027, 2, 18, 6, tzinfo=UTC))),
        begun=((datetime(2027, 2, 5, 6, tzinfo=UTC), datetime(2027, 2, 18, 6, tzinfo=UTC)),),
    )


def test_next_years_plan_affects_terms_at_and_beyond_the_end_of_the_calendar() -> None:
    short = Calendar([PLAIN[number] for number in range(1, 21)], CHICAGO)

    assert affected_terms(short, Calendar(PLAIN.values(), CHICAGO)) == AffectedTerms(since=20, beyond=True)


def test_a_new_issue_that_does_not_count_affects_the_terms_beside_it() -> None:
    """Even if its labels are closed before those of the issues before it."""
    special = issue(len(PLAIN) + 1, max(one.mail_date for one in PLAIN.values()), counts_as=0, cutoff=1000)
    old, new = Calendar(PLAIN.values(), CHICAGO), Calendar([*PLAIN.values(), special], CHICAGO)
    moment = datetime(2026, 6, 10, tzinfo=UTC)

    change = affected_terms(old, new)
    assert change is not None
    assert (change.ends, change.since, change.beyond) == (((len(PLAIN), ALWAYS),), None, False)
    assert old.begin(moment, print_edition=True) == new.begin(moment, print_edition=True)


@given(calendars(), chains(), st.data())
def test_a_special_issue_affects_each_term_that_gets_or_loses_it(
    old: list[Issue], terms: list[Term], data: st.DataObject
) -> None:
    assume(old)
    changed = data.draw(st.sampled_from(old))
    moved = replace(changed, counts_as=0, label_cutoff=data.draw(st.sampled_from(old)).label_cutoff)
    before = Calendar([replace(one, counts_as=0) if one is changed else one for one in old], CHICAGO)
    after = Calendar([moved if one is changed else one for one in old], CHICAGO)
    without = Calendar([one for one in old if one is not changed], CHICAGO)
    printed = [replace(term, print_edition=True) for term in terms]

    def scheduled(calendar: Calendar) -> list[ScheduledTerm]:
        return schedule_terms(SUBSCRIPTION, printed, calendar, CATALOGUE, grace=POLICY.grace_period)

    def numbers(calendar: Calendar) -> set[tuple[str, int]]:
        owed = copies_of(scheduled(calendar))
        return {
            (invoice, one.number)
            for invoice, copies in owed.items()
            for one in after.issues
            if any(first <= one.number and (end is None or one.number < end) for first, end in copies.ranges)
        }

    for one, other in ((before, after), (without, after)):
        if numbers(one) != numbers(other):
            assert touched(affected_terms(one, other), scheduled(one)), (one.issues, other.issues)


def test_a_changed_title_affects_no_term() -> None:
    renamed = {**PLAIN, 3: replace(PLAIN[3], title="Another")}

    assert affected_terms(Calendar(PLAIN.values(), CHICAGO), Calendar(renamed.values(), CHICAGO)) is None


def test_an_earlier_cutoff_closes_the_issues_before_as_well() -> None:
    one, two, special = (
        issue(1, date(2026, 3, 10)),
        issue(2, date(2026, 3, 25)),
        issue(3, date(2026, 4, 1), counts_as=0),
    )
    before = Calendar([one, two, special], CHICAGO)
    early = replace(two, label_cutoff=one.label_cutoff - timedelta(days=5))

    both = moved_closings(before, Calendar([one, early, special], CHICAGO))
    none = moved_closings(before, Calendar([one, two, replace(special, label_cutoff=date(2026, 1, 1))], CHICAGO))
    added = moved_closings(before, Calendar([one, two, special, issue(4, date(2026, 4, 9))], CHICAGO))

    assert [(moved.issue.number, moved.after) for moved in both] == [
        (1, before.ends(early.label_cutoff)),
        (2, before.ends(early.label_cutoff)),
    ]
    assert [moved.issue.number for moved in none] == [3], "a special issue closes only its own labels"
    assert [(moved.issue.number, moved.before) for moved in added] == [(4, None)]


def test_every_change_of_an_issue_is_another_version() -> None:
    one = issue(1, date(2026, 3, 10))
    changed = [
        None,
        one,
        replace(one, title="Another"),
        replace(one, counts_as=2),
        replace(one, actual_mail_date=one.planned_mail_date),
        replace(one, frozen_at=datetime(2026, 3, 1, tzinfo=UTC)),
    ]
    assert len({version_of(found) for found in changed}) == len(changed)
