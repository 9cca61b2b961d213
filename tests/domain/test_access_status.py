"""Access, the reader's notice, the words for staff and the next checkout follow from one function, and never disagree."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.access_status import AccessStatus, access_status, is_over
from app.domain.entitlements import Decision, combine_grants, decide
from app.domain.grants import denial_reason_of, grants_of
from app.domain.invoices import InvoiceStatus
from app.domain.reader_summary import summary_of
from app.domain.reasons import EndReason
from app.domain.renewals import CollectionMethod, Pause, PauseReason, PaymentStatus, Renewal, RenewalOutcome
from app.domain.status_cells import RENEWAL_HELD
from app.domain.subscriptions import OVER, Subscription, SubscriptionStatus, Term
from tests.domain.test_entitlements import CATALOGUE, END, POLICY, START, SUBSCRIPTION, TERM

A_YEAR, DAY = timedelta(days=365), timedelta(days=1)
EARLIER = replace(TERM, invoice_id="in_0", starts_at=START - A_YEAR, ends_at=START)
TERMS: dict[str, list[Term]] = {
    "never paid": [],
    "one term": [TERM],
    "two terms": [EARLIER, TERM],
    "older term refunded": [replace(EARLIER, refunded_as="dashboard"), TERM],
    "newest term refunded": [EARLIER, replace(TERM, refunded_as="guarantee")],
}
PAYMENTS = (None, *PaymentStatus)
INVOICES = [
    None,
    *(
        Renewal(
            invoice_id="in_2",
            status=status,
            starts_at=END,
            collection_method=method,
            due_at=END + 30 * DAY
            if method == CollectionMethod.SEND_INVOICE and status != InvoiceStatus.DRAFT
            else None,
            auto_advance=auto_advance,
            attempted=payment is not None,
            finalization_error=error,
            payment=payment,
            payment_at=END + DAY if payment is not None else None,
        )
        for status, method, auto_advance, error, payment in product(
            (InvoiceStatus.DRAFT, InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.VOID),
            CollectionMethod,
            (True, False),
            (None, "customer_tax_location_invalid"),
            PAYMENTS,
        )
        if (error is None or status == InvoiceStatus.DRAFT) and (payment is None or status != InvoiceStatus.DRAFT)
    ),
]
PAUSES = [
    None,
    *(Pause(reason=reason, since=START + 90 * DAY, credited=c) for reason in PauseReason for c in (True, False)),
]
MOMENTS = [
    at + delta
    for at in (
        START,
        START + 90 * DAY,
        END,
        END + 3 * DAY,
        END + 14 * DAY,
        END + 30 * DAY,
        END + 44 * DAY,
        END + A_YEAR,
    )
    for delta in (timedelta(seconds=-1), timedelta(0))
]


def gate_of(subscription: Subscription, terms: Sequence[Term], now: datetime) -> Decision:
    """Return the gate's decision for the archive, which follows the period and no owed issues."""
    grants = grants_of(subscription, terms, CATALOGUE, POLICY)
    access = combine_grants(grants, [denial_reason_of(subscription, terms)])
    return decide(access, "archive", CATALOGUE, now=now)


def check_agreement(subscription: Subscription, terms: Sequence[Term], now: datetime) -> AccessStatus:
    """Check that the gate, the reader, staff and the checkout agree about a subscription at a time."""
    gate, status = gate_of(subscription, terms, now), access_status(subscription, terms, POLICY, now=now)
    _check_reader(subscription, terms, gate, status, now)
    _check_staff(subscription, terms, gate, status, now)
    _check_checkout(subscription, gate, status, now)
    return status


def _check_reader(
    subscription: Subscription, terms: Sequence[Term], gate: Decision, status: AccessStatus, now: datetime
) -> None:
    notice = status.notice
    assert status.has_access is gate.allowed
    if notice is not None:
        assert notice.until == status.until
    if gate.allowed and status.until is not None:
        before, after = (gate_of(subscription, terms, at) for at in (status.until - timedelta(seconds=1), status.until))
        assert before.allowed, "access lasts until then"
        assert not after.allowed or after.reason == "renewal_pending", "nothing but an allowance follows"
    elif gate.allowed:
        assert gate.until is None
        assert gate_of(subscription, terms, now + 20 * A_YEAR).allowed, "no number of days ends it"
    elif gate.reason != "not_yet":
        assert notice is not None, "a reader without access is told why"
        assert status.until == gate.until
        assert status.until is None or status.until <= now


def _check_staff(
    subscription: Subscription, terms: Sequence[Term], gate: Decision, status: AccessStatus, now: datetime
) -> None:
    summary = summary_of([(subscription, terms)], policy=POLICY, now=now).text
    if is_over(subscription) or subscription.status == SubscriptionStatus.INCOMPLETE:
        assert status.has_access is gate.allowed
        return
    if gate.allowed:
        assert "Access ended" not in summary
    elif status.until is not None and any(not term.is_refunded for term in terms):
        assert "Access ended on" in summary or summary.startswith("Access on hold")
        assert not status.staff_summary.startswith("Renews")
    if status.has_lapsed:
        assert status.anomalies or gate.reason != "ended" or status.notice, "never active and silent"


def _check_checkout(subscription: Subscription, gate: Decision, status: AccessStatus, now: datetime) -> None:
    outcome = subscription.renewal.outcome if subscription.renewal else None
    if is_over(subscription) or subscription.status == SubscriptionStatus.INCOMPLETE:
        assert status.may_subscribe
    elif gate.allowed or outcome == RenewalOutcome.PROCESSING:
        assert not status.may_subscribe, "nobody pays twice for the same time"
    elif not status.may_subscribe:
        awaited = subscription.status == SubscriptionStatus.ACTIVE and now < END + 44 * DAY
        assert awaited, "what is refused can still be collected"


def _states() -> Iterator[tuple[str, Pause | None]]:
    for status in (*SubscriptionStatus, "hibernating"):
        for pause in PAUSES if status == SubscriptionStatus.PAUSED else [None]:
            yield status, pause


@pytest.mark.parametrize("held", TERMS)
def test_everybody_gets_the_same_answer_for_every_status_invoice_and_payment(held: str) -> None:
    for (status, pause), renewal in product(_states(), INVOICES):
        ended_at = START + 100 * DAY if status in OVER else None
        subscription = replace(SUBSCRIPTION, status=status, pause=pause, renewal=renewal, ended_at=ended_at)
        for now in MOMENTS:
            check_agreement(subscription, TERMS[held], now)


MOMENT = st.integers(-10, 900).map(lambda days: START + days * DAY)


@given(
    subscription=st.builds(
        lambda status, **facts: replace(SUBSCRIPTION, status=status, **facts),
        st.sampled_from([*SubscriptionStatus, "hibernating"]),
        renewal=st.sampled_from(INVOICES),
        pause=st.sampled_from(PAUSES),
        collection_paused=st.sampled_from([None, "void"]),
        cancel_at=st.sampled_from([None, START + 200 * DAY, END, END + A_YEAR]),
        ended_at=st.none() | MOMENT,
        access_ended_at=st.none() | MOMENT,
        ended_by=st.sampled_from([None, "cancel_now", "dispute_lost", "subscribed_again"]),
        trial_end=st.sampled_from([None, START + 30 * DAY, END + 60 * DAY]),
        came_from=st.sampled_from([None, "canceled", "active"]),
    ),
    held=st.sampled_from(sorted(TERMS)),
    now=MOMENT,
)
def test_everybody_gets_the_same_answer_whatever_else_is_true(
    subscription: Subscription, held: str, now: datetime
) -> None:
    check_agreement(subscription, TERMS[held], now)


def test_a_renewal_that_nothing_is_heard_of_is_checked_when_its_allowance_ends() -> None:
    for (status, pause), renewal in product(_states(), INVOICES):
        subscription = replace(SUBSCRIPTION, status=status, pause=pause, renewal=renewal)
        known = access_status(subscription, [TERM], POLICY, now=END + timedelta(hours=2))
        for now in MOMENTS:
            later = access_status(subscription, [TERM], POLICY, now=now)
            if now > END and later.anomalies.keys() - known.anomalies.keys():
                assert known.check_at is not None
                assert known.check_at <= now


def test_a_renewal_that_stripe_holds_back_is_reported_with_its_reason() -> None:
    draft = Renewal(
        invoice_id="in_2", status="draft", starts_at=END, finalization_error="customer_tax_location_invalid"
    )
    subscription = replace(SUBSCRIPTION, renewal=draft)

    known = access_status(subscription, [TERM], POLICY, now=END + timedelta(hours=1))
    later = access_status(subscription, [TERM], POLICY, now=END + 4 * DAY)

    assert known.anomalies == {
        RENEWAL_HELD: "The renewal was due on March 1, 2027, and its invoice in_2 could not be finalized "
        "(customer_tax_location_invalid). Access ends on March 4, 2027."
    }
    assert later.anomalies[RENEWAL_HELD].endswith("Access ended on March 4, 2027.")
    assert later.notice is not None
    assert (later.notice.code, later.notice.until, later.notice.action) == ("access_ended", END + 3 * DAY, "subscribe")
    assert later.may_subscribe


def test_a_first_payment_that_stripe_holds_back_is_reported() -> None:
    draft = Renewal(invoice_id="in_1", status="draft", starts_at=START, auto_advance=False)
    begun = replace(SUBSCRIPTION, renewal=draft, created_at=START)
    tried = replace(begun, trial_end=START + 30 * DAY)

    found = access_status(begun, [], POLICY, now=START + timedelta(hours=1))
    after_trial = access_status(tried, [], POLICY, now=START + 30 * DAY + timedelta(hours=1))

    assert found.anomalies == {
        RENEWAL_HELD: "The first payment was due on March 1, 2026, and its invoice in_1 is kept as a draft. "
        "It gives no access."
    }
    assert after_trial.anomalies[RENEWAL_HELD].startswith("The first payment was due on March 31, 2026")
    assert access_status(replace(begun, status="canceled"), [], POLICY, now=START).anomalies.keys() <= {
        "impossible_state"
    }


def test_a_payment_that_is_processing_for_21_days_is_reported_and_keeps_access() -> None:
    renewal = Renewal(invoice_id="in_2", status="open", starts_at=END, payment="processing", payment_at=END + DAY)
    subscription = replace(SUBSCRIPTION, renewal=renewal)

    early = access_status(subscription, [TERM], POLICY, now=END + 21 * DAY)
    late = access_status(subscription, [TERM], POLICY, now=END + 22 * DAY)

    assert (early.anomalies, early.check_at) == ({}, END + 22 * DAY)
    assert list(late.anomalies) == ["payment_processing"]
    assert (late.has_access, late.until, late.may_subscribe) == (True, None, False)


def test_a_reader_in_dunning_sees_the_reason_and_the_end_of_access() -> None:
    subscription = replace(SUBSCRIPTION, status="past_due", pay_url="https://pay.example.com")

    notice = access_status(subscription, [TERM], POLICY, now=END + DAY).notice
    ended = access_status(subscription, [TERM], POLICY, now=END + 14 * DAY).notice

    assert notice is not None
    assert (notice.code, notice.until, notice.action) == ("payment_failed", END + 14 * DAY, "update_payment_method")
    assert ended is not None
    assert (ended.code, ended.until, ended.action) == ("access_ended", END + 14 * DAY, "subscribe")
    assert ended.pay_url == "https://pay.example.com"


def test_the_grace_period_of_an_invoice_sent_by_mail_starts_at_its_due_date() -> None:
    sent = Renewal(
        invoice_id="in_2", status="open", starts_at=END, collection_method="send_invoice", due_at=END + 30 * DAY
    )

    for status, code in (("active", "invoice_open"), ("past_due", "payment_failed"), ("unpaid", "payment_failed")):
        found = access_status(replace(SUBSCRIPTION, status=status, renewal=sent), [TERM], POLICY, now=END + DAY)
        assert found.until == END + 44 * DAY
        assert found.notice is not None
        assert (found.notice.code, found.notice.action) == (code, "pay_invoice")


def test_a_trial_that_moved_the_billing_date_moves_the_grace_period() -> None:
    subscription = replace(SUBSCRIPTION, status="past_due", trial_end=END + 60 * DAY)

    assert access_status(subscription, [TERM], POLICY, now=END + 61 * DAY).until == END + 74 * DAY


def test_a_suspended_term_blocks_a_new_checkout() -> None:
    suspended = replace(TERM, suspended_as="dispute_open")

    found = access_status(SUBSCRIPTION, [suspended], POLICY, now=START + DAY)

    assert (found.has_access, found.may_subscribe, found.has_lapsed) == (False, False, False)


def test_subscribing_again_keeps_the_issues_that_a_term_still_owes() -> None:
    subscription = replace(SUBSCRIPTION, access_ended_at=END + 20 * DAY, ended_by=EndReason.SUBSCRIBED_AGAIN)

    def editions_until(of: Subscription) -> datetime:
        grants = grants_of(of, [TERM], CATALOGUE, POLICY, editions_until={TERM.invoice_id: END + 60 * DAY})
        return max(period.until for period in grants[0].features["digital_edition"])

    assert TERM.outlives(subscription)
    assert not TERM.outlives(replace(subscription, ended_by=EndReason.REPLACED))
    assert editions_until(subscription) == END + 60 * DAY
    running = replace(TERM, ends_at=END + A_YEAR)
    assert not running.outlives(subscription), "a term that Stripe credited is not given twice"
