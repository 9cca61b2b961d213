"""The issue calendar and the ledger of a term: issues bought, served and remaining."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.adjustments import Adjustment, AdjustmentKind
from app.domain.calendar_changes import DuplicateIssueNumber, IssueOutOfOrder, check_order
from app.domain.entitlements import combine_grants, decide
from app.domain.grants import grants_of
from app.domain.issues import Calendar, InconsistentIssueDates, Issue, schedule_terms
from app.domain.ledgers import Ledger
from app.domain.plans import Catalogue
from app.domain.renewals import Pause
from app.domain.subscriptions import Subscription, Term
from app.domain.term_issues import ledgers_of
from tests.domain.test_entitlements import CATALOGUE, POLICY, SUBSCRIPTION, TERM

CHICAGO = ZoneInfo("America/Chicago")
NOON = datetime(2026, 3, 1, 18, tzinfo=UTC)  # in Chicago
BOUGHT = replace(TERM, starts_at=NOON, ends_at=datetime(2027, 3, 1, 18, tzinfo=UTC))


def issue(number: int, mailed: date, *, counts_as: int = 1, cutoff: int = 7, actual: date | None = None) -> Issue:
    return Issue(
        number=number,
        title=f"Number {number}",
        cover_date=mailed,
        planned_mail_date=mailed,
        actual_mail_date=actual,
        label_cutoff=mailed - timedelta(days=cutoff),
        counts_as=counts_as,
    )


def twice_a_month(*, months: int = 30) -> dict[int, Issue]:
    """Return issues on the 5th and the 20th of each month, from March 2026 on."""
    days = [date(2026 + (2 + m) // 12, (2 + m) % 12 + 1, day) for m in range(months) for day in (5, 20)]
    return {number: issue(number, day) for number, day in enumerate(days, start=1)}


PLAIN = twice_a_month()


def at(day: date) -> datetime:
    """Return noon of a day in Chicago."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=CHICAGO).astimezone(UTC)


def ledger(
    day: date | datetime,
    *terms: Term,
    issues: Sequence[Issue] | None = None,
    subscription: Subscription = SUBSCRIPTION,
    which: int = 0,
) -> Ledger:
    now = day if isinstance(day, datetime) else at(day)
    calendar = Calendar(PLAIN.values() if issues is None else issues, CHICAGO)
    return ledgers_of(subscription, terms or (BOUGHT,), calendar, CATALOGUE, grace=POLICY.grace_period, now=now)[which]


DOUBLE_AND_SLIPPED = {
    **PLAIN,
    10: replace(PLAIN[10], counts_as=2),
    23: replace(PLAIN[23], actual_mail_date=date(2027, 2, 18)),  # planned for the 5th
}
# Renewed in April after two grace copies, which count for the new term.
RENEWED = replace(
    BOUGHT,
    invoice_id="in_2",
    starts_at=datetime(2027, 4, 1, 18, tzinfo=UTC),
    ends_at=datetime(2028, 4, 1, 18, tzinfo=UTC),
    adjustments=(Adjustment(kind=AdjustmentKind.GRACE_COPIES, issues=-2, at=datetime(2027, 4, 1, 18, tzinfo=UTC)),),
)


@pytest.mark.parametrize(
    ("day", "first", "second"),
    [
        pytest.param(date(2026, 3, 1), (24, 0, 24), (22, 0, 22), id="no issue yet"),
        pytest.param(date(2026, 3, 5), (24, 1, 23), (22, 0, 22), id="first issue"),
        pytest.param(date(2026, 7, 5), (24, 9, 15), (22, 0, 22), id="nine issues"),
        pytest.param(date(2026, 7, 20), (24, 11, 13), (22, 0, 22), id="the double issue counts as two"),
        pytest.param(date(2027, 1, 20), (24, 23, 1), (22, 0, 22), id="one remaining"),
        pytest.param(date(2027, 2, 5), (24, 23, 1), (22, 0, 22), id="the last issue is delayed"),
        pytest.param(date(2027, 2, 18), (24, 24, 0), (22, 0, 22), id="mailed: the term is served"),
        pytest.param(date(2027, 3, 20), (24, 24, 0), (22, 0, 22), id="issues before the renewal belong to no term"),
        pytest.param(date(2027, 4, 5), (24, 24, 0), (22, 1, 21), id="first issue of the renewed term"),
        pytest.param(date(2028, 2, 19), (24, 24, 0), (22, 21, 1), id="two grace copies shorten the term"),
        pytest.param(date(2028, 2, 20), (24, 24, 0), (22, 22, 0), id="the renewed term is served"),
    ],
)
def test_a_ledger_with_a_double_issue_a_delay_and_two_grace_copies(
    day: date, first: tuple[int, int, int], second: tuple[int, int, int]
) -> None:
    ledgers = [ledger(day, BOUGHT, RENEWED, issues=list(DOUBLE_AND_SLIPPED.values()), which=which) for which in (0, 1)]

    assert [(one.owed, one.served, one.unserved) for one in ledgers] == [first, second]
    assert [one.last_issue for one in ledgers] == [23, 48]
    assert [(one.bought, one.adjustments, one.grace_copies) for one in ledgers] == [(24, 0, 0), (24, -2, 2)]


def test_a_double_issue_can_count_as_one() -> None:
    annual = replace(CATALOGUE.plans["annual"], double_issues=1)
    generous = Catalogue(publisher="x", features=CATALOGUE.features, plans={"annual": annual})
    calendar = Calendar(DOUBLE_AND_SLIPPED.values(), CHICAGO)

    (found,) = ledgers_of(
        SUBSCRIPTION, [BOUGHT], calendar, generous, grace=POLICY.grace_period, now=at(date(2026, 7, 20))
    )

    assert (found.served, found.last_issue) == (10, 24)


def test_a_special_issue_counts_for_no_term() -> None:
    special = [replace(one, counts_as=0) if one.number == 3 else one for one in PLAIN.values()]

    assert ledger(date(2026, 4, 20), issues=special).served == 3
    assert ledger(date(2026, 4, 20), issues=special).last_issue == 25


def test_a_double_issue_between_two_terms_counts_once_for_each() -> None:
    following = replace(
        BOUGHT, invoice_id="in_2", starts_at=BOUGHT.ends_at, ends_at=datetime(2028, 3, 1, 18, tzinfo=UTC)
    )
    seam = [replace(one, counts_as=2) if one.number == 25 else one for one in PLAIN.values()]
    late = [replace(one, actual_mail_date=date(2027, 3, 5)) if one.number == 24 else one for one in seam]
    odd = replace(BOUGHT, adjustments=(Adjustment(kind=AdjustmentKind.EXTENSION, issues=1, at=NOON),))

    both = [ledger(date(2027, 3, 6), odd, following, issues=late, which=which) for which in (0, 1)]

    assert [(one.served, one.unserved) for one in both] == [(25, 0), (1, 23)]


def test_an_issue_is_mailed_at_midnight_in_the_publishers_time_zone() -> None:
    midnight = datetime(2026, 3, 5, 6, tzinfo=UTC)  # in Chicago, standard time
    in_summer = datetime(2026, 7, 5, 5, tzinfo=UTC)

    assert ledger(midnight - timedelta(seconds=1)).served == 0
    assert ledger(midnight).served == 1
    assert ledger(in_summer - timedelta(seconds=1)).served == 8
    assert ledger(in_summer).served == 9


@pytest.mark.parametrize(
    ("joined", "first_served"),
    [
        pytest.param(at(date(2026, 4, 13)), 4, id="on the cutoff day: included"),
        pytest.param(datetime(2026, 4, 14, 4, 59, tzinfo=UTC), 4, id="last minute of the cutoff day: included"),
        pytest.param(datetime(2026, 4, 14, 5, tzinfo=UTC), 5, id="after the cutoff day: next issue"),
    ],
)
def test_a_print_term_begins_with_the_first_issue_before_its_label_cutoff(joined: datetime, first_served: int) -> None:
    printed = replace(BOUGHT, print_edition=True, starts_at=joined, ends_at=joined + timedelta(days=365))
    mailed = PLAIN[first_served].mail_date

    assert ledger(mailed - timedelta(days=1), printed).served == 0
    assert ledger(mailed, printed).served == 1
    assert ledger(date(2026, 4, 20), replace(printed, print_edition=False)).served == 1


def test_a_renewed_print_term_has_no_gap() -> None:
    first = replace(BOUGHT, print_edition=True, starts_at=at(date(2026, 2, 20)))
    following = replace(first, invoice_id="in_2", starts_at=first.ends_at, ends_at=datetime(2028, 3, 1, 18, tzinfo=UTC))

    assert ledger(date(2027, 3, 6), first, following, which=1).served == 1  # its label cutoff was in February


def test_a_print_issue_is_served_at_the_label_cutoff() -> None:
    frozen = [
        replace(one, frozen_at=at(one.label_cutoff + timedelta(days=1))) if one.number == 1 else one
        for one in twice_a_month().values()
    ]
    printed = replace(BOUGHT, print_edition=True, starts_at=at(date(2026, 2, 20)))

    assert ledger(date(2026, 2, 28), printed, issues=frozen).served == 1
    assert ledger(date(2026, 2, 28), replace(printed, print_edition=False), issues=frozen).served == 0


def test_issues_beyond_the_calendar_stay_owed_without_a_last_issue() -> None:
    short = [PLAIN[number] for number in range(1, 11)]

    assert (ledger(date(2027, 6, 1), issues=short).served, ledger(date(2027, 6, 1), issues=short).unserved) == (10, 14)
    assert ledger(date(2027, 6, 1), issues=short).last_issue is None
    assert ledger(date(2027, 6, 1), issues=[]).unserved == 24


NOW_ENDED = replace(SUBSCRIPTION, status="canceled", access_ended_at=at(date(2026, 4, 6)))
CREDITED = Pause(reason="pause_requested", since=at(date(2026, 4, 6)), credited=True)
PERIOD_ENDED = replace(SUBSCRIPTION, status="canceled", cancel_at=BOUGHT.ends_at, ended_at=BOUGHT.ends_at)


@pytest.mark.parametrize(
    ("subscription", "term", "counts"),
    [
        pytest.param(NOW_ENDED, BOUGHT, (3, 0, 21), id="immediate end: the rest is canceled"),
        pytest.param(NOW_ENDED, replace(BOUGHT, refunded_as="guarantee"), (3, 0, 21), id="refunded"),
        pytest.param(
            replace(NOW_ENDED, access_ended_at=None, ended_at=at(date(2026, 4, 6))), BOUGHT, (3, 0, 21), id="at Stripe"
        ),
        pytest.param(
            replace(SUBSCRIPTION, status="paused", pause=CREDITED),
            BOUGHT,
            (3, 0, 21),
            id="paused, unused time credited",
        ),
        pytest.param(
            replace(SUBSCRIPTION, status="paused", pause=replace(CREDITED, credited=False)),
            BOUGHT,
            (23, 1, 0),
            id="paused without a credit: owed issues are served",
        ),
        pytest.param(PERIOD_ENDED, BOUGHT, (23, 1, 0), id="end of the period: owed issues are served"),
    ],
)
def test_an_end_cancels_or_keeps_the_owed_issues(
    subscription: Subscription, term: Term, counts: tuple[int, int, int]
) -> None:
    late = {**PLAIN, 24: replace(PLAIN[24], actual_mail_date=date(2027, 3, 10)), 25: issue(25, date(2027, 3, 12))}

    found = ledger(date(2027, 3, 2), term, issues=list(late.values()), subscription=subscription)

    assert (found.served, found.unserved, found.cancelled) == counts


def test_an_extension_of_a_served_term_begins_at_that_time() -> None:
    given = Adjustment(kind=AdjustmentKind.CLAIM, issues=2, at=at(date(2027, 4, 10)))
    extended = replace(BOUGHT, adjustments=(given,))

    ledgers = {
        day: ledger(day, extended, subscription=PERIOD_ENDED)
        for day in (date(2027, 4, 10), date(2027, 4, 20), date(2027, 5, 5))
    }

    assert [one.unserved for one in ledgers.values()] == [2, 1, 0]
    assert ledgers[date(2027, 5, 5)].last_issue == PLAIN[29].number  # 5 May 2027


@pytest.mark.parametrize(
    ("changed", "until"),
    [
        pytest.param({}, BOUGHT.ends_at, id="all served within the period: until its end"),
        pytest.param({24: date(2027, 3, 12)}, datetime(2027, 3, 20, 5, tzinfo=UTC), id="delayed: until the next issue"),
    ],
)
def test_a_canceled_reader_keeps_access_until_all_owed_issues_are_served(
    changed: dict[int, date], until: datetime
) -> None:
    issues = {
        **PLAIN,
        25: replace(PLAIN[25], actual_mail_date=date(2027, 3, 20)),
        **{number: replace(PLAIN[number], actual_mail_date=day) for number, day in changed.items()},
    }
    runs = schedule_terms(
        PERIOD_ENDED, [BOUGHT], Calendar(issues.values(), CHICAGO), CATALOGUE, grace=POLICY.grace_period
    )
    open_until = {run.term.invoice_id: last for run in runs if (last := run.editions_until())}

    access = combine_grants(grants_of(PERIOD_ENDED, [BOUGHT], CATALOGUE, POLICY, editions_until=open_until), ["ended"])

    day_before = BOUGHT.ends_at - timedelta(days=1)
    for feature, expected in (("digital_edition", until), ("archive", BOUGHT.ends_at)):
        assert decide(access, feature, CATALOGUE, now=day_before).allowed
        assert decide(access, feature, CATALOGUE, now=expected - timedelta(seconds=1)).allowed
        assert not decide(access, feature, CATALOGUE, now=expected).allowed


def test_a_missing_calendar_for_next_year_ends_no_access() -> None:
    short = Calendar([PLAIN[number] for number in range(1, 21)], CHICAGO)  # to 20 December

    (run,) = schedule_terms(
        PERIOD_ENDED, [replace(BOUGHT, issues_owed=26)], short, CATALOGUE, grace=POLICY.grace_period
    )

    until = run.editions_until()
    assert until is not None
    assert timedelta(days=7) < until - BOUGHT.ends_at < timedelta(days=60)


@pytest.mark.parametrize(
    ("issues", "error", "words"),
    [
        pytest.param(
            [PLAIN[2], replace(PLAIN[1], planned_mail_date=date(2026, 3, 21))],
            IssueOutOfOrder,
            "Issue 2 would come out on 2026-03-20, before issue 1 on 2026-03-21",
            id="out of order",
        ),
        pytest.param([PLAIN[1], PLAIN[1]], DuplicateIssueNumber, "Duplicate issue number 1", id="duplicate number"),
    ],
)
def test_an_inconsistent_calendar_is_rejected(issues: list[Issue], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        check_order(issues)


def test_the_label_cutoff_cannot_be_after_the_mailing() -> None:
    with pytest.raises(InconsistentIssueDates, match="mailed on 2026-03-05, so its label cut-off can't be 2026-03-06"):
        replace(PLAIN[1], label_cutoff=date(2026, 3, 6)).check()
    replace(PLAIN[1], actual_mail_date=date(2026, 3, 6), label_cutoff=date(2026, 3, 6)).check()


# Random calendars, terms, adjustments and ends, compared with a count copy by copy.

days = st.integers(0, 900).map(lambda n: date(2026, 1, 1) + timedelta(days=n))
moments = st.integers(0, 900 * 24).map(lambda n: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n))


@st.composite
def calendars(draw: st.DrawFn) -> list[Issue]:
    mailed = sorted(draw(st.lists(days, max_size=40)))
    return [
        issue(number, day, counts_as=draw(st.sampled_from([0, 1, 1, 1, 2])), cutoff=draw(st.integers(0, 20)))
        for number, day in enumerate(mailed, start=1)
    ]


@st.composite
def chains(draw: st.DrawFn) -> list[Term]:
    starts, terms = draw(moments), []
    for index in range(draw(st.integers(1, 3))):
        ends = starts + timedelta(days=draw(st.integers(20, 400)))
        owed = draw(st.integers(2, 26))
        given = (
            [Adjustment(kind=AdjustmentKind.GRACE_COPIES, issues=-draw(st.integers(1, 2)), at=starts)]
            if draw(st.booleans())
            else []
        )
        if draw(st.booleans()):
            hours = draw(st.integers(0, int((ends - starts) / timedelta(hours=1))))
            given.append(
                Adjustment(
                    kind=AdjustmentKind.EXTENSION, issues=draw(st.integers(1, 4)), at=starts + timedelta(hours=hours)
                )
            )
        terms.append(
            replace(
                BOUGHT,
                invoice_id=f"in_{index}",
                starts_at=starts,
                ends_at=ends,
                issues_owed=owed,
                print_edition=draw(st.booleans()),
                adjustments=tuple(given),
            )
        )
        starts = ends + timedelta(days=draw(st.sampled_from([0, 0, 30])))
    return terms


@st.composite
def ends(draw: st.DrawFn) -> Subscription:
    moment = draw(st.none() | moments)
    return (
        replace(SUBSCRIPTION, access_ended_at=moment) if draw(st.booleans()) else replace(SUBSCRIPTION, ended_at=moment)
    )


@given(calendars(), chains(), ends(), moments)
def test_a_ledger_balances_for_any_calendar(
    issues: list[Issue], terms: list[Term], subscription: Subscription, now: datetime
) -> None:
    calendar = Calendar(issues, CHICAGO)
    ledgers = ledgers_of(subscription, terms, calendar, CATALOGUE, grace=POLICY.grace_period, now=now)

    for one, term in zip(ledgers, terms, strict=True):
        added = sum(a.issues for a in term.adjustments)
        assert one.bought + added == one.owed == one.served + one.unserved + one.cancelled
        assert min(one.served, one.unserved, one.cancelled) >= 0
    out = calendar.copies_served(now) - calendar.begin(terms[0].starts_at)
    assert sum(one.served for one in ledgers) <= max(0, out), "no copy serves two terms"


@given(calendars(), chains(), moments)
def test_bisection_counts_the_same_issues_as_a_linear_scan(
    issues: list[Issue], terms: list[Term], now: datetime
) -> None:
    calendar = Calendar(issues, CHICAGO)

    ledgers = ledgers_of(SUBSCRIPTION, terms, calendar, CATALOGUE, grace=POLICY.grace_period, now=now)

    assert {one.invoice_id: one.served for one in ledgers} == walked(calendar, terms, now)


def walked(calendar: Calendar, terms: list[Term], now: datetime) -> dict[str, int]:
    """Assign each copy, in order, to the oldest term that is owed one."""
    served = {term.invoice_id: 0 for term in terms}
    copies = [one for one in calendar.issues for _ in range(one.counts_as)]
    for copy in copies:
        out = datetime.combine(copy.mail_date, datetime.min.time(), CHICAGO).astimezone(UTC)
        closes = datetime.combine(copy.label_cutoff, datetime.min.time(), CHICAGO) + timedelta(days=1)
        before = None
        for term in terms:
            joins = term.print_edition and before != term.starts_at
            before = term.ends_at
            owed = term.issues_owed + sum(a.issues for a in term.adjustments if a.issues < 0 or a.at < out)
            too_late = (
                any(
                    c.number >= copy.number
                    and datetime.combine(c.label_cutoff, datetime.min.time(), CHICAGO) + timedelta(days=1)
                    <= term.starts_at
                    for c in calendar.issues
                )
                or closes <= term.starts_at
            )
            if out < term.starts_at or (joins and too_late) or served[term.invoice_id] >= owed:
                continue
            if out <= now:
                served[term.invoice_id] += 1
            break
    return served


@given(calendars(), chains(), moments, st.data())
def test_a_delay_never_increases_the_served_issues(
    issues: list[Issue], terms: list[Term], now: datetime, data: st.DataObject
) -> None:
    if not issues:
        return
    late = data.draw(st.integers(0, len(issues) - 1))
    slip = timedelta(days=data.draw(st.integers(1, 60)))
    slipped = [
        replace(one, planned_mail_date=one.planned_mail_date + slip) if index >= late else one
        for index, one in enumerate(issues)
    ]

    def out(calendar: list[Issue]) -> int:
        return sum(
            one.served
            for one in ledgers_of(
                SUBSCRIPTION, terms[:1], Calendar(calendar, CHICAGO), CATALOGUE, grace=POLICY.grace_period, now=now
            )
        )

    first = terms[0]
    if all(first.starts_at < datetime.combine(one.mail_date, datetime.min.time(), CHICAGO) for one in issues):
        assert out(slipped) <= out(issues)


@pytest.mark.parametrize(
    ("paid_on", "print_edition", "first"),
    [
        pytest.param(date(2027, 3, 1), False, 25, id="on time: the next issue"),
        pytest.param(date(2027, 3, 14), False, 25, id="in the grace period: issues were sent meanwhile"),
        pytest.param(date(2027, 3, 14), True, 26, id="in the grace period, print: as if it were paid on time"),
        pytest.param(date(2027, 4, 10), False, 28, id="after it, digital: the next issue to come out"),
        pytest.param(date(2027, 4, 12), True, 28, id="after it, print: before the next label cut-off"),
        pytest.param(date(2027, 4, 14), True, 29, id="after it, print: after the next label cut-off"),
    ],
)
def test_a_renewal_paid_after_the_grace_period_serves_issues_like_a_new_subscription(
    paid_on: date, first: int, *, print_edition: bool
) -> None:
    renewal = replace(
        BOUGHT,
        invoice_id="in_2",
        starts_at=BOUGHT.ends_at,
        ends_at=BOUGHT.ends_at + timedelta(days=365),
        print_edition=print_edition,
        paid_at=at(paid_on),
    )

    before = replace(BOUGHT, print_edition=print_edition)
    new = ledger(paid_on, before, renewal, which=1)

    assert new.last_issue == first + 23
    assert new.served <= (0 if paid_on >= date(2027, 4, 1) else 1)
    whole = ledger(date(2028, 7, 1), before, renewal, which=1)
    assert (whole.owed, whole.served, whole.unserved) == (24, 24, 0)


def test_a_refunded_older_term_keeps_what_it_served_and_moves_no_later_term() -> None:
    renewal = replace(BOUGHT, invoice_id="in_2", starts_at=BOUGHT.ends_at, ends_at=BOUGHT.ends_at + timedelta(days=365))
    refunded = replace(BOUGHT, refunded_as="dashboard", refunded_at=at(date(2027, 5, 1)))
    day = date(2027, 6, 1)

    old, new = (ledger(day, refunded, renewal, which=which) for which in (0, 1))
    assert (old.served, old.unserved, old.cancelled) == (24, 0, 0)
    assert new == ledger(day, BOUGHT, renewal, which=1)
