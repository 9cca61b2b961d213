"""Copies after the expire while a renewal is awaited, and how a late renewal is charged for them."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from app.domain.adjustments import Adjustment, AdjustmentKind
from app.domain.back_issues import IssueNotMailed, check_mailed
from app.domain.issues import Calendar, schedule_terms
from app.domain.label_runs import grace_expires
from app.domain.progress import progress_of
from app.domain.subscriptions import Payment, Term
from tests.domain.test_entitlements import CATALOGUE, POLICY, SUBSCRIPTION
from tests.domain.test_issues import BOUGHT, CHICAGO, PLAIN, at

SPECIAL = {**PLAIN, 9: replace(PLAIN[9], counts_as=0)}
FIRST = replace(BOUGHT, print_edition=True, grace_sent=2)  # owes issues 2 to 25; issues 26 and 27 were grace copies

PAYMENT = Payment(
    id="pi_2",
    invoice_id="in_2",
    amount=49_00,
    tax=0,
    currency="usd",
    paid_at=FIRST.ends_at,
    billing_reason="subscription_cycle",
)


def renewed(paid: date) -> Term:
    starts_at = FIRST.ends_at
    return replace(
        FIRST,
        invoice_id="in_2",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(days=365),
        paid_at=at(paid),
        grace_sent=0,
    )


def _calendar(length: int) -> Calendar:
    issues = [*PLAIN.values()]
    day = issues[-1].planned_mail_date
    while len(issues) < length:
        day += timedelta(days=15)
        number = len(issues) + 1
        issues.append(
            replace(
                issues[-1],
                number=number,
                cover_date=day,
                planned_mail_date=day,
                label_cutoff=day - timedelta(days=7),
            )
        )
    return Calendar(issues, CHICAGO)


@pytest.mark.parametrize(
    ("number", "issues", "most", "expires"),
    [
        pytest.param(10, PLAIN, 2, [9, 8], id="two issues"),
        pytest.param(10, PLAIN, 0, [], id="none"),
        pytest.param(1, PLAIN, 2, [], id="the first issue"),
        pytest.param(10, SPECIAL, 2, [8, 7], id="a special issue doesn't count"),
        pytest.param(9, SPECIAL, 2, [8, 7], id="a special issue goes with them"),
    ],
)
def test_an_issue_is_a_grace_copy_of_terms_that_ended_shortly_before(
    number: int, issues: dict[int, object], most: int, expires: list[int]
) -> None:
    calendar = Calendar(issues.values(), CHICAGO)  # type: ignore[arg-type]
    issue = next(one for one in calendar.issues if one.number == number)
    assert grace_expires(calendar, issue, {"annual": most}) == [("annual", one) for one in expires]


@pytest.mark.parametrize(
    ("paid", "owed", "grace", "first", "last"),
    [
        pytest.param(date(2027, 3, 10), 24, 0, 26, 49, id="in time: the grace copies are its own"),
        pytest.param(date(2027, 4, 1), 22, 2, 28, 49, id="late: charged, and starts with the next issue"),
        pytest.param(date(2028, 2, 2), 22, 2, 48, 69, id="after most of a year"),
    ],
)
def test_a_renewal_is_charged_for_grace_copies_once(paid: date, owed: int, grace: int, first: int, last: int) -> None:
    calendar = _calendar(80)
    _, run = schedule_terms(SUBSCRIPTION, [FIRST, renewed(paid)], calendar, CATALOGUE, grace=POLICY.grace_period)

    ledger = run.ledger(at(paid))
    begin = calendar.index_of_copy(run.ranges[0][0] + 1)
    assert (ledger.owed, ledger.grace_copies, ledger.last_issue) == (owed, grace, last)
    assert begin is not None
    assert calendar.issues[begin].number == first
    payment = replace(PAYMENT, invoice_id="in_2", paid_at=at(paid))
    progress = progress_of([payment], [FIRST, renewed(paid)], [run], now=at(paid))[payment.id]
    assert (progress.bought, progress.served) == (24, ledger.served + grace), "a refund keeps their price"


@pytest.mark.parametrize(
    ("paid", "extended", "grace"),
    [
        pytest.param(date(2027, 4, 1), date(2027, 3, 20), [26], id="paid late, added after a grace copy"),
        pytest.param(date(2027, 4, 1), date(2027, 2, 20), [27], id="paid late, added before the end of the term"),
        pytest.param(date(2027, 3, 10), date(2027, 3, 8), [], id="paid in time"),
    ],
)
def test_an_issue_added_while_a_renewal_is_awaited_is_worth_an_issue(
    paid: date, extended: date, grace: list[int]
) -> None:
    added = Adjustment(kind=AdjustmentKind.EXTENSION, issues=1, at=at(extended))
    terms = [replace(FIRST, adjustments=(added,), grace_sent=len(grace)), renewed(paid)]
    first, second = schedule_terms(SUBSCRIPTION, terms, _calendar(80), CATALOGUE, grace=POLICY.grace_period)
    owed = [copy + 1 for run in (first, second) for start, end in run.ranges for copy in range(start, end)]
    assert sorted([*owed, *grace]) == [*range(2, 2 + 24 + 1 + 24)], "each issue once"


def test_a_back_issue_was_mailed() -> None:
    issue = replace(PLAIN[4], frozen_at=at(date(2026, 4, 14)))
    check_mailed(issue, today=issue.mail_date)
    for wrong, today in ((issue, issue.mail_date - timedelta(days=1)), (PLAIN[4], issue.mail_date)):
        with pytest.raises(IssueNotMailed):
            check_mailed(wrong, today=today)
