"""The number of issues that a payment bought, and how many were served."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from app.domain.issues import Calendar, Issue, schedule_terms
from app.domain.progress import IssueProgress, progress_of, term_of, with_labels_closed
from app.domain.subscriptions import Payment, Term
from tests.domain.test_entitlements import CATALOGUE, POLICY, SUBSCRIPTION, TERM

ZONE = ZoneInfo("America/Chicago")
CALENDAR = Calendar(
    (
        Issue(
            number=number,
            title=f"Number {number}",
            cover_date=date(2026, 3, 10) + timedelta(days=15 * (number - 1)),
            planned_mail_date=date(2026, 3, 10) + timedelta(days=15 * (number - 1)),
            actual_mail_date=None,
            label_cutoff=date(2026, 3, 1) + timedelta(days=15 * (number - 1)),
            counts_as=1,
        )
        for number in range(1, 60)
    ),
    ZONE,
)
PAID = Payment(
    id="pi_1",
    invoice_id=TERM.invoice_id,
    amount=49_00,
    tax=0,
    currency="usd",
    paid_at=TERM.starts_at,
    billing_reason="subscription_create",
)


def test_a_first_payment_buys_all_issues_and_one_for_print_the_remaining_ones() -> None:
    printed = replace(
        PAID,
        id="pi_2",
        invoice_id="in_later",
        amount=12_00,
        paid_at=datetime(2026, 6, 1, tzinfo=UTC),
        billing_reason="x",
    )
    runs = schedule_terms(SUBSCRIPTION, [TERM], CALENDAR, CATALOGUE, grace=POLICY.grace_period)

    found = progress_of([PAID, printed], [TERM], runs, now=datetime(2026, 9, 1, tzinfo=UTC))

    served, before = 12, 6  # mailed by September 1 and by June 1
    assert found == {
        "pi_1": IssueProgress(bought=24, served=served),
        "pi_2": IssueProgress(24 - before, served - before),
    }


def test_progress_is_unknown_without_a_calendar() -> None:
    assert progress_of([PAID], [TERM], [], now=TERM.starts_at) == {}


JUNE, SEPTEMBER = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)
ADDED = replace(TERM, print_edition=True, print_from=JUNE)
FOR_PRINT = replace(
    PAID, id="pi_2", invoice_id="in_later", paid_at=JUNE, billing_reason="subscription_update", print_from=JUNE
)


def progress(payment: Payment, term: Term, now: datetime) -> IssueProgress:
    runs = schedule_terms(SUBSCRIPTION, [term], CALENDAR, CATALOGUE, grace=POLICY.grace_period)
    return progress_of([PAID, payment], [term], runs, now=now)[payment.id]


def test_only_copies_after_the_next_label_cutoff_count_as_print_copies() -> None:
    # By June 1, 6 issues were mailed and the labels of the 7th are closed: print starts with the 8th.
    assert progress(FOR_PRINT, ADDED, JUNE) == IssueProgress(bought=17, served=0)
    assert progress(FOR_PRINT, ADDED, SEPTEMBER) == IssueProgress(bought=17, served=5)
    assert progress(PAID, ADDED, SEPTEMBER) == IssueProgress(bought=24, served=12)


def test_print_by_the_month_buys_only_the_copies_of_its_month() -> None:
    month = replace(FOR_PRINT, print_until=datetime(2026, 7, 1, tzinfo=UTC))
    monthly = replace(ADDED, print_until=month.print_until)

    assert progress(month, monthly, JUNE) == IssueProgress(bought=2, served=0)
    assert progress(month, monthly, SEPTEMBER) == IssueProgress(bought=2, served=2), "nothing is left of a past month"


def test_a_replaced_term_has_nothing_left_because_its_rest_was_credited() -> None:
    credited = replace(TERM, ends_at=JUNE, credited_at=JUNE)
    (run,) = schedule_terms(SUBSCRIPTION, [credited], CALENDAR, CATALOGUE, grace=POLICY.grace_period)

    assert (run.ledger(SEPTEMBER).served, run.ledger(SEPTEMBER).cancelled) == (6, 18)
    assert progress(PAID, credited, SEPTEMBER) == IssueProgress(bought=24, served=24)


def test_the_first_part_of_a_renewal_does_not_belong_to_the_term_before() -> None:
    part = replace(PAID, id="pi_3", invoice_id="in_renewal", billing_reason="subscription_cycle", paid_at=TERM.ends_at)

    assert term_of(part, [TERM]) is None
    assert term_of(FOR_PRINT, [TERM]) is TERM


def test_print_belongs_to_the_term_in_which_it_begins_although_paid_in_the_next() -> None:
    renewed = replace(TERM, invoice_id="in_2", starts_at=TERM.ends_at, ends_at=TERM.ends_at + timedelta(days=365))
    debited = replace(FOR_PRINT, paid_at=TERM.ends_at + timedelta(days=3))
    runs = schedule_terms(SUBSCRIPTION, [ADDED, renewed], CALENDAR, CATALOGUE, grace=POLICY.grace_period)

    assert term_of(debited, [ADDED, renewed]) is ADDED
    assert term_of(replace(debited, print_from=None), [ADDED, renewed]) is renewed
    assert term_of(replace(debited, print_from=TERM.starts_at - timedelta(days=1)), [ADDED, renewed]) is renewed
    found = progress_of([PAID, debited], [ADDED, renewed], runs, now=debited.paid_at)
    assert found["pi_2"] == IssueProgress(bought=17, served=17), "its copies were those of the term before"


@given(since=st.integers(0, 400), until=st.integers(0, 400), now=st.integers(0, 500), later=st.integers(0, 500))
def test_a_term_with_print_for_a_time_serves_each_copy_once(since: int, until: int, now: int, later: int) -> None:
    start = TERM.starts_at
    first, last = sorted((start + timedelta(days=since), start + timedelta(days=until)))
    term = replace(TERM, print_edition=True, print_from=first, print_until=last)
    (run,) = schedule_terms(SUBSCRIPTION, [term], CALENDAR, CATALOGUE, grace=POLICY.grace_period)
    early, late = sorted((start + timedelta(days=now), start + timedelta(days=later)))

    assert run.ledger(early).served <= run.ledger(late).served <= 24
    assert run.ledger(late).owed == 24


def test_a_copy_counts_as_served_from_its_cutoff_although_it_is_not_frozen_yet() -> None:
    closing, mailed = datetime(2026, 3, 2, 6, tzinfo=UTC), datetime(2026, 3, 10, 5, tzinfo=UTC)
    second = timedelta(seconds=1)
    served = {
        now: with_labels_closed(CALENDAR, now).copies_served(now, print_edition=True)
        for now in (closing - second, closing, mailed - second, mailed)
    }
    assert list(served.values()) == [0, 1, 1, 1]
    assert with_labels_closed(CALENDAR, mailed) is CALENDAR
    assert with_labels_closed(CALENDAR, closing).copies_served(closing) == 0, "the digital edition isn't out yet"
