"""The number of issues that a payment bought, and how many were served."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from app.domain.issues import Calendar, Issue, schedule_terms
from app.domain.quotes import IssueProgress, progress_of
from app.domain.subscriptions import Payment
from tests.domain.test_entitlements import CATALOGUE, SUBSCRIPTION, TERM

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
    runs = schedule_terms(SUBSCRIPTION, [TERM], CALENDAR, CATALOGUE)

    found = progress_of([PAID, printed], [TERM], runs, now=datetime(2026, 9, 1, tzinfo=UTC))

    served, before = 12, 6  # mailed by September 1 and by June 1
    assert found == {
        "pi_1": IssueProgress(bought=24, served=served),
        "pi_2": IssueProgress(24 - before, served - before),
    }


def test_progress_is_unknown_without_a_calendar() -> None:
    assert progress_of([PAID], [TERM], [], now=TERM.starts_at) == {}
