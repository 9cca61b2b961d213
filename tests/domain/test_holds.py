"""What a hold skips, how it meets everything else that happens, and which holds are possible."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.adjustments import Adjustment, AdjustmentKind
from app.domain.copies import copies_of
from app.domain.derivations import digital_pauses
from app.domain.errors import DomainError
from app.domain.grants import grants_of
from app.domain.holds import (
    HeldCopies,
    Hold,
    HoldDatesWrong,
    HoldIsOver,
    HoldOverlaps,
    HoldPolicy,
    HoldStatus,
    HoldTooLong,
    TooManyHolds,
    check_hold,
    held_by,
    last_day_of,
    lifted,
    status_of,
)
from app.domain.invoice_lines import Span
from app.domain.issues import Calendar, Issue, ScheduledTerm, schedule_terms
from app.domain.notices import notice_for
from app.domain.subscriptions import Subscription, Term
from tests.domain.test_entitlements import CATALOGUE, POLICY, SUBSCRIPTION
from tests.domain.test_issues import BOUGHT, CHICAGO, PLAIN, at, issue

# Issues come out on the 5th and the 20th; their labels close 7 days before. A term bought on March 1 owes issues 2 to 25.
TERM = replace(BOUGHT, print_edition=True)
APRIL = Hold(starts_on=date(2026, 4, 1), until=date(2026, 5, 1))  # issues 4 (April 13) and 5 (April 28)
TWO = Hold(starts_on=date(2026, 4, 1), issues=2)
# Print is dropped on April 20, so issue 5 is digital, and added again on May 10, before the cut-off of issue 6.
DROPPED_AND_ADDED = {
    "earlier_print": (Span(TERM.starts_at, at(date(2026, 4, 20))),),
    "print_from": at(date(2026, 5, 10)),
}
MAY = Hold(starts_on=date(2026, 5, 10), until=date(2026, 6, 10))  # issues 6 (May 13) and 7 (May 28)
NEXT = replace(
    TERM, invoice_id="in_2", starts_at=TERM.ends_at, ends_at=TERM.ends_at + timedelta(days=365), paid_at=TERM.ends_at
)
DOUBLE = {**PLAIN, 4: replace(PLAIN[4], counts_as=2)}
SPECIAL = {**PLAIN, 4: replace(PLAIN[4], counts_as=0)}
SPECIAL_BEFORE = {**PLAIN, 3: replace(PLAIN[3], counts_as=0)}
MOVED_IN = {**PLAIN, 6: replace(PLAIN[6], label_cutoff=date(2026, 4, 30))}
MOVED_OUT = {**PLAIN, 5: replace(PLAIN[5], label_cutoff=date(2026, 5, 2))}


def runs(
    *terms: Term, issues: Sequence[Issue] = tuple(PLAIN.values()), subscription: Subscription = SUBSCRIPTION
) -> list[ScheduledTerm]:
    calendar = Calendar(issues, CHICAGO)
    return schedule_terms(subscription, terms, calendar, CATALOGUE, grace=POLICY.grace_period)


def sent(found: Sequence[ScheduledTerm], invoice: str = "in_1") -> list[int]:
    """Return the issues that a term's labels are printed for."""
    owed = copies_of(found)[invoice]
    numbers = [one.number for one in found[0].calendar.issues]
    return [one for one in numbers if any(a <= one and (b is None or one < b) for a, b in owed.ranges)]


def held(*holds: Hold, **changed: object) -> Term:
    return replace(TERM, holds=holds, **changed)  # type: ignore[arg-type]


def span(first: int, last: int, *, but: Sequence[int] = ()) -> list[int]:
    return [number for number in range(first, last + 1) if number not in but]


@pytest.mark.parametrize(
    ("terms", "issues", "expected"),
    [
        pytest.param([held()], PLAIN, span(2, 25), id="no hold"),
        pytest.param([held(APRIL)], PLAIN, span(2, 27, but=[4, 5]), id="a cut-off in the hold"),
        pytest.param([held(TWO)], PLAIN, span(2, 27, but=[4, 5]), id="for two issues"),
        pytest.param([held(APRIL)], DOUBLE, span(2, 27, but=[4, 5]), id="a double issue: its two are owed later"),
        pytest.param([held(TWO)], DOUBLE, span(2, 27, but=[4, 5]), id="a double issue is one of two"),
        pytest.param([held(APRIL)], SPECIAL, span(2, 27, but=[4, 5]), id="a special issue"),
        pytest.param([held(TWO)], SPECIAL, span(2, 28, but=[4, 5, 6]), id="a special issue is none of two"),
        pytest.param([held(APRIL)], SPECIAL_BEFORE, span(2, 28, but=[4, 5]), id="a special issue before is sent"),
        pytest.param([held(APRIL)], MOVED_IN, span(2, 28, but=[4, 5, 6]), id="a cut-off moved into it"),
        pytest.param([held(APRIL)], MOVED_OUT, span(2, 26, but=[4]), id="a cut-off moved out of it"),
        pytest.param(
            [held(APRIL, print_until=at(date(2026, 4, 20)))], PLAIN, span(2, 3), id="print is dropped in the hold"
        ),
        pytest.param(
            [held(APRIL, print_from=at(date(2026, 4, 15)))], PLAIN, span(6, 25), id="print is added in the hold"
        ),
        pytest.param(
            [held(APRIL, **DROPPED_AND_ADDED)], PLAIN, [2, 3, *span(6, 26)], id="print is dropped in it, and added"
        ),
        pytest.param(
            [held(MAY, **DROPPED_AND_ADDED)], PLAIN, [2, 3, 4, *span(8, 27)], id="after print was added again"
        ),
        pytest.param(
            [held(replace(APRIL, until=date(2026, 7, 1)), **DROPPED_AND_ADDED)],
            PLAIN,
            [2, 3, *span(10, 30)],
            id="over both periods of print",
        ),
        pytest.param(
            [
                held(
                    APRIL,
                    adjustments=(Adjustment(kind=AdjustmentKind.CLAIM, issues=1, at=at(date(2026, 4, 10))),),
                )
            ],
            PLAIN,
            span(2, 28, but=[4, 5]),
            id="a claim adds an issue at the end",
        ),
        pytest.param(
            [held(lifted(APRIL, tuple(PLAIN.values()), today=date(2026, 4, 13)))],
            PLAIN,
            span(2, 25),
            id="lifted on the day of the cut-off",
        ),
        pytest.param(
            [held(lifted(APRIL, tuple(PLAIN.values()), today=date(2026, 4, 14)))],
            PLAIN,
            span(2, 26, but=[4]),
            id="lifted a day later",
        ),
        pytest.param(
            [held(refunded_as="guarantee", refunded_at=at(date(2026, 4, 2)))], PLAIN, span(2, 25), id="refunded"
        ),
    ],
)
def test_a_hold_skips_issues_and_the_term_still_owes_as_many(
    terms: list[Term], issues: dict[int, Issue], expected: list[int]
) -> None:
    assert sent(runs(*terms, issues=tuple(issues.values()))) == expected


def test_the_ledger_owes_as_many_and_ends_later() -> None:
    plain, on_hold = (runs(term)[0] for term in (TERM, held(APRIL)))
    for day in (date(2026, 4, 1), date(2026, 5, 25), date(2027, 4, 30)):
        before, after = plain.ledger(at(day)), on_hold.ledger(at(day))
        assert (after.owed, after.last_issue) == (before.owed, 27)
    assert (plain.ledger(at(date(2026, 5, 25))).served, on_hold.ledger(at(date(2026, 5, 25))).served) == (5, 3)


def test_held_issues_are_unserved_so_a_refund_pays_them_back() -> None:
    unserved = runs(held(APRIL))[0].ledger(at(date(2026, 5, 6))).unserved
    assert unserved == runs(TERM)[0].ledger(at(date(2026, 5, 6))).unserved + 2


def test_after_a_cancellation_at_the_period_end_the_held_issues_are_sent() -> None:
    ending = replace(SUBSCRIPTION, cancel_at=TERM.ends_at, ended_at=TERM.ends_at, status="canceled")
    (run,) = runs(held(APRIL), subscription=ending)
    assert sent([run])[-1] == 27
    until = run.editions_until()
    assert until is not None
    assert until >= at(date(2027, 4, 5)).replace(hour=0)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"refunded_as": "guarantee", "refunded_at": at(date(2026, 4, 20))}, id="refunded"),
        pytest.param({"credited_at": at(date(2026, 4, 20))}, id="the rest credited"),
    ],
)
def test_what_ends_the_term_ends_the_held_issues_too(changed: dict[str, object]) -> None:
    (run,) = runs(replace(held(APRIL), **changed))  # type: ignore[arg-type]
    assert run.ended_at == at(date(2026, 4, 20))
    assert run.ledger(at(date(2026, 6, 1))).unserved == 0


def test_an_immediate_cancellation_ends_the_held_issues_too() -> None:
    now = at(date(2026, 4, 20))
    (run,) = runs(held(APRIL), subscription=replace(SUBSCRIPTION, access_ended_at=now, ended_by="cancel_now"))
    assert run.ledger(now).unserved == 0


def test_a_renewal_starts_after_the_held_issues_and_the_hold_continues_in_it() -> None:
    winter = Hold(starts_on=date(2027, 2, 20), until=date(2027, 4, 30))  # issues 25 to 29
    first, second = (replace(term, holds=(winter,)) for term in (TERM, NEXT))
    found = runs(first, second)
    assert sent(found)[-2:] == [24, 30]
    assert sent(found, "in_2")[0] == 31
    assert found[1].ledger(at(date(2027, 6, 1))).owed == 24


def test_digital_access_pauses_only_if_the_policy_says_so() -> None:
    calendar = Calendar(PLAIN.values(), CHICAGO)
    pause = (calendar.begins(date(2026, 4, 1)), calendar.begins(date(2026, 5, 1)))
    (with_print,) = grants_of(SUBSCRIPTION, [TERM], CATALOGUE, POLICY, pauses=[pause])
    (digital,) = grants_of(SUBSCRIPTION, [replace(TERM, print_edition=False)], CATALOGUE, POLICY, pauses=[pause])

    def is_open(periods: Sequence[object], day: date) -> bool:
        return any(one.covers(at(day)) for one in periods)  # type: ignore[attr-defined]

    archive = with_print.features["archive"]
    days = [date(2026, 3, 31), date(2026, 4, 1), date(2026, 4, 30), date(2026, 5, 1)]
    assert [is_open(archive, day) for day in days] == [True, False, False, True]
    assert all(is_open(digital.features["archive"], day) for day in days)


def test_a_notice_says_until_when_digital_access_pauses() -> None:
    calendar = Calendar(PLAIN.values(), CHICAGO)
    terms = [held(replace(APRIL, keeps_digital=False))]
    pauses = digital_pauses(terms, calendar)

    def shown(day: date) -> tuple[str, datetime | None] | None:
        notice = notice_for(SUBSCRIPTION, terms, (), (), by_status=None, pauses=pauses, now=at(day))
        return (notice.code, notice.until) if notice is not None else None

    assert digital_pauses([held(APRIL)], calendar) == []
    assert shown(date(2026, 3, 31)) is None
    assert shown(date(2026, 4, 30)) == ("on_hold", calendar.begins(date(2026, 5, 1)))
    assert shown(date(2026, 5, 1)) is None


TODAY = date(2026, 3, 20)
RULES = HoldPolicy(days=100)


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        pytest.param(APRIL, None, id="a month"),
        pytest.param(TWO, None, id="two issues"),
        pytest.param(Hold(starts_on=TODAY, issues=1), None, id="from today"),
        pytest.param(Hold(starts_on=date(2026, 3, 19), issues=1), HoldDatesWrong, id="from yesterday"),
        pytest.param(Hold(starts_on=TODAY), HoldDatesWrong, id="no end"),
        pytest.param(Hold(starts_on=TODAY, until=date(2026, 5, 1), issues=2), HoldDatesWrong, id="two ends"),
        pytest.param(Hold(starts_on=TODAY, until=TODAY), HoldDatesWrong, id="an empty one"),
        pytest.param(Hold(starts_on=TODAY, until=TODAY + timedelta(days=100)), None, id="as long as allowed"),
        pytest.param(Hold(starts_on=TODAY, until=TODAY + timedelta(days=101)), HoldTooLong, id="a day longer"),
        pytest.param(Hold(starts_on=TODAY, until=date(2036, 3, 20)), HoldTooLong, id="ten years"),
        pytest.param(Hold(starts_on=TODAY, issues=1000), HoldTooLong, id="more issues than planned"),
        pytest.param(Hold(starts_on=date(2026, 6, 29), issues=1), HoldTooLong, id="too far ahead"),
    ],
)
def test_a_hold_starts_today_or_later_and_is_not_too_long(wanted: Hold, error: type[DomainError] | None) -> None:
    if error is None:
        check_hold(wanted, [], tuple(PLAIN.values()), RULES, today=TODAY)
    else:
        with pytest.raises(error):
            check_hold(wanted, [], tuple(PLAIN.values()), RULES, today=TODAY)


@pytest.mark.parametrize(
    ("other", "overlaps"),
    [
        pytest.param(Hold(starts_on=date(2026, 4, 30), until=date(2026, 5, 9)), True, id="begins on its last day"),
        pytest.param(Hold(starts_on=date(2026, 5, 1), until=date(2026, 5, 9)), False, id="begins after it"),
        pytest.param(Hold(starts_on=date(2026, 3, 25), until=date(2026, 4, 2)), True, id="ends on its first day"),
        pytest.param(Hold(starts_on=date(2026, 3, 25), until=date(2026, 4, 1)), False, id="ends before it"),
        pytest.param(Hold(starts_on=date(2026, 3, 25), issues=2), True, id="lasts until its first issue"),
        pytest.param(replace(TWO, ended_on=date(2026, 4, 1)), False, id="was lifted before it began"),
    ],
)
def test_holds_do_not_overlap(other: Hold, *, overlaps: bool) -> None:
    if overlaps:
        with pytest.raises(HoldOverlaps):
            check_hold(APRIL, [other], tuple(PLAIN.values()), RULES, today=TODAY)
    else:
        check_hold(APRIL, [other], tuple(PLAIN.values()), RULES, today=TODAY)


FORTY = Hold(starts_on=date(2026, 4, 1), until=date(2026, 5, 11))  # issues 4 and 5


@pytest.mark.parametrize(
    ("others", "wanted", "days", "refused"),
    [
        pytest.param([FORTY], (date(2026, 5, 11), 60), 100, False, id="right after another: as long as one may be"),
        pytest.param([FORTY], (date(2026, 5, 11), 61), 100, True, id="right after another: a day longer"),
        pytest.param([FORTY], (date(2026, 5, 13), 61), 100, True, id="later, without an issue between"),
        pytest.param([FORTY], (date(2026, 5, 14), 61), 100, False, id="later, with an issue between"),
        pytest.param([FORTY], (date(2026, 3, 20), 12), 51, True, id="right before another"),
        pytest.param(
            [FORTY, Hold(starts_on=date(2026, 5, 20), until=date(2026, 6, 20))],
            (date(2026, 5, 11), 9),
            79,
            True,
            id="between two",
        ),
        pytest.param([replace(FORTY, ended_on=date(2026, 4, 2))], (date(2026, 4, 2), 99), 100, False, id="was lifted"),
        pytest.param([replace(FORTY, ended_on=date(2026, 4, 2))], (date(2026, 4, 2), 100), 100, True, id="lifted late"),
    ],
)
def test_holds_without_an_issue_between_them_count_as_one(
    others: list[Hold], wanted: tuple[date, int], days: int, *, refused: bool
) -> None:
    starts_on, count = wanted
    hold = Hold(starts_on=starts_on, until=starts_on + timedelta(days=count))
    policy = HoldPolicy(days=days, days_in_a_year=365)
    if refused:
        with pytest.raises(HoldTooLong, match="count as one"):
            check_hold(hold, others, tuple(PLAIN.values()), policy, today=TODAY)
    else:
        check_hold(hold, others, tuple(PLAIN.values()), policy, today=TODAY)


@pytest.mark.parametrize(
    ("wanted", "policy", "refused"),
    [
        pytest.param((date(2026, 6, 20), 60), RULES, False, id="with the other, as many as of one hold"),
        pytest.param((date(2026, 6, 20), 61), RULES, True, id="a day more"),
        pytest.param((date(2026, 6, 20), 61), replace(RULES, days_in_a_year=101), False, id="the policy allows it"),
        pytest.param((date(2027, 4, 1), 100), RULES, False, id="a year later"),
        pytest.param((date(2027, 3, 31), 100), RULES, False, id="a day less than a year later"),
        pytest.param((date(2027, 1, 30), 61), RULES, True, id="some days of both are in one year"),
    ],
)
def test_days_on_hold_in_any_365_days_are_limited(
    wanted: tuple[date, int], policy: HoldPolicy, *, refused: bool
) -> None:
    starts_on, count = wanted
    hold = Hold(starts_on=starts_on, until=starts_on + timedelta(days=count))
    today = starts_on - timedelta(days=10)
    if refused:
        with pytest.raises(HoldTooLong, match="in a year"):
            check_hold(hold, [FORTY], tuple(PLAIN.values()), policy, today=today)
    else:
        check_hold(hold, [FORTY], tuple(PLAIN.values()), policy, today=today)


def test_holds_in_a_row_are_refused_whatever_the_calendar() -> None:
    policy, others, today = HoldPolicy(days=183), list[Hold](), date(2026, 3, 1)
    for _ in range(20):
        starts_on = max([today, *(one.until for one in others if one.until)])
        today = max(today, starts_on - timedelta(days=100))
        hold = Hold(starts_on=starts_on, until=starts_on + timedelta(days=183))
        if others:
            with pytest.raises(HoldTooLong):
                check_hold(hold, others, [], policy, today=today)
        else:
            check_hold(hold, others, [], policy, today=today)
            others.append(hold)


def test_a_reader_can_have_fifty_holds_that_start_in_a_year() -> None:
    days = [TODAY + timedelta(days=number) for number in range(50)]
    lifted_at_once = [Hold(starts_on=day, issues=1, ended_on=day) for day in days]
    check_hold(APRIL, lifted_at_once[1:], tuple(PLAIN.values()), RULES, today=TODAY)
    with pytest.raises(TooManyHolds):
        check_hold(APRIL, lifted_at_once, tuple(PLAIN.values()), RULES, today=TODAY)


@pytest.mark.parametrize(
    ("hold", "today", "status"),
    [
        pytest.param(APRIL, date(2026, 3, 31), HoldStatus.PLANNED, id="before it"),
        pytest.param(APRIL, date(2026, 4, 1), HoldStatus.RUNNING, id="on its first day"),
        pytest.param(APRIL, date(2026, 5, 1), HoldStatus.OVER, id="after it"),
        pytest.param(TWO, date(2026, 4, 28), HoldStatus.RUNNING, id="on its last cut-off"),
        pytest.param(TWO, date(2026, 4, 29), HoldStatus.OVER, id="after its last cut-off"),
        pytest.param(replace(APRIL, ended_on=date(2026, 4, 1)), date(2026, 3, 31), HoldStatus.OVER, id="removed"),
    ],
)
def test_a_hold_is_over_once_nothing_of_it_is_left(hold: Hold, today: date, status: HoldStatus) -> None:
    issues = tuple(PLAIN.values())
    assert status_of(hold, issues, today=today) == status
    if status == HoldStatus.OVER:
        with pytest.raises(HoldIsOver):
            lifted(hold, issues, today=today)


def test_the_last_day_of_a_number_of_issues_is_their_last_cutoff() -> None:
    issues = tuple(PLAIN.values())
    assert last_day_of(TWO, issues) == date(2026, 4, 28)
    assert last_day_of(replace(TWO, issues=1000), issues) is None
    assert [issues[index].number for index in held_by(TWO, issues)] == [4, 5]


@given(st.sets(st.integers(0, 25)), st.integers(0, 30), st.integers(0, 12))
def test_ranges_count_only_copies_that_are_not_held(skipped: set[int], start: int, count: int) -> None:
    copies = HeldCopies([(one, one + 1) for one in sorted(skipped)])
    first = copies.before(start)
    parts = list(copies.spread(first, first + count))

    found = [one for begin, end in parts for one in range(begin, end)]
    free = [one for one in range(start, 60) if one not in skipped]
    assert (found, first) == (free[:count], len([one for one in range(start) if one not in skipped]))


@given(
    st.lists(st.sampled_from([0, 1, 1, 1, 2]), min_size=40, max_size=40),
    st.integers(0, 300),
    st.integers(1, 150),
    st.sampled_from([1, 2]),
)
def test_a_held_issue_is_never_sent_and_what_is_owed_stays(
    counts: list[int], ahead: int, length: int, doubles: int
) -> None:
    issues = [
        issue(number, date(2026, 3, 5) + timedelta(days=15 * number), counts_as=one)
        for number, one in enumerate(counts, start=1)
    ]
    first = date(2026, 3, 2) + timedelta(days=ahead)
    hold = Hold(starts_on=first, until=first + timedelta(days=length))
    catalogue = replace(
        CATALOGUE, plans={code: replace(one, double_issues=doubles) for code, one in CATALOGUE.plans.items()}
    )
    calendar = Calendar(issues, CHICAGO)
    (run,) = schedule_terms(SUBSCRIPTION, [held(hold)], calendar, catalogue, grace=POLICY.grace_period)

    skipped = {issues[index].number for index in held_by(hold, issues)}
    assert not skipped & set(sent([run]))
    assert sum(end - start for start, end in run.ranges) == TERM.issues_owed
    now = datetime(2027, 1, 1, tzinfo=UTC)
    ledger = run.ledger(now)
    assert ledger.owed == ledger.served + ledger.unserved == TERM.issues_owed
