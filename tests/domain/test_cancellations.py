"""Previews of cancellations: the end of the subscription and of access."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from app.domain.cancellations import (
    EndPreview,
    end_of_unrenewed,
    ended_since,
    must_end_now,
    preview_period_end,
    probably_must_end_now,
    refunds_due,
)
from app.domain.invoice_lines import Span
from app.domain.reasons import EndReason
from app.domain.refunds import RefundBasis
from app.domain.renewals import Collection, Pause
from app.domain.subscriptions import StripeInvoiceState, StripeSubscriptionState, Subscription, Term
from tests.domain.test_entitlements import END, START, SUBSCRIPTION, TERM
from tests.domain.test_quotes import PAYMENT, REFUND
from tests.domain.test_subscriptions import DIGITAL, INVOICE, LINE, SEEN

BEGAN, YEAR, RUNS, PAID = START, END, SUBSCRIPTION, TERM
DAY = timedelta(days=1)
GIVEN_BACK = replace(PAID, refunded_as="goodwill")


EARLY, TRIED, LATER = BEGAN + 9 * DAY, BEGAN + 14 * DAY, YEAR + 365 * DAY
TRIAL = replace(RUNS, status="trialing", current_period_end=TRIED, trial_end=TRIED)


@pytest.mark.parametrize(
    ("subscription", "terms", "end"),
    [
        pytest.param(
            RUNS, [PAID], EndPreview(at=YEAR, access_until=YEAR), id="ends with its period and access does too"
        ),
        pytest.param(
            replace(RUNS, cancel_at=EARLY), [PAID], EndPreview(at=EARLY, access_until=EARLY), id="an earlier end stays"
        ),
        pytest.param(
            replace(RUNS, cancel_at=YEAR + DAY),
            [PAID],
            EndPreview(at=YEAR, access_until=YEAR),
            id="a later end is replaced",
        ),
        pytest.param(
            replace(RUNS, current_period_end=LATER),
            [PAID],
            EndPreview(at=LATER, access_until=YEAR),
            id="an unpaid period grants no access",
        ),
        pytest.param(RUNS, [GIVEN_BACK], EndPreview(at=YEAR, access_until=None), id="a refunded term grants no access"),
        pytest.param(TRIAL, [], EndPreview(at=TRIED, access_until=TRIED), id="a trial grants access to its end"),
        pytest.param(
            replace(RUNS, current_period_end=None), [], EndPreview(at=None, access_until=None), id="no terms yet"
        ),
    ],
)
def test_a_canceled_subscription_ends_with_the_paid_term(
    subscription: Subscription, terms: list[Term], end: EndPreview
) -> None:
    assert preview_period_end(subscription, terms, ends_now=False, now=BEGAN + DAY) == end


@pytest.mark.parametrize(
    ("now", "terms", "access_until"),
    [
        pytest.param(YEAR + DAY, [PAID], YEAR + DAY, id="past due: the grace period ends now"),
        pytest.param(EARLY, [PAID], YEAR, id="paused in a paid term: access until its end"),
        pytest.param(YEAR + DAY, [], None, id="never paid: no access"),
        pytest.param(EARLY, [GIVEN_BACK], None, id="refunded: no access"),
    ],
)
def test_an_unpaid_subscription_ends_now_and_keeps_paid_access(
    now: datetime, terms: list[Term], access_until: datetime | None
) -> None:
    expected = EndPreview(at=now, access_until=access_until, is_final=True)
    assert preview_period_end(RUNS, terms, ends_now=True, now=now) == expected


def test_nothing_is_left_of_a_term_whose_unused_time_was_credited_with_a_pause() -> None:
    pause = Pause(reason="pause_requested", since=EARLY, credited=True)
    paused = replace(RUNS, status="paused", pause=pause)
    assert end_of_unrenewed(pause) == EndReason.CANCEL_NOW
    assert end_of_unrenewed(replace(pause, credited=False)) == end_of_unrenewed(None) == EndReason.NOT_RENEWED
    expected = EndPreview(at=EARLY + DAY, access_until=None, is_final=True)
    assert preview_period_end(paused, [PAID], ends_now=True, now=EARLY + DAY) == expected


NEXT = replace(DIGITAL, period_start=DIGITAL.period_end, period_end=DIGITAL.period_end + 365 * DAY)
RENEWAL = replace(
    INVOICE,
    id="in_2",
    status="open",
    billing_reason="subscription_cycle",
    lines=(replace(LINE, span=Span(NEXT.period_start, NEXT.period_end)),),
    payments=(),
)
RENEWED = replace(SEEN, items=(NEXT,), invoices=(INVOICE, RENEWAL))


def with_renewal(invoice_status: str, **more: Any) -> StripeSubscriptionState:
    """Return a subscription in its second period, whose invoice has a status."""
    return replace(RENEWED, invoices=(INVOICE, replace(RENEWAL, status=invoice_status)), **more)


UPDATE = replace(RENEWAL, lines=(replace(LINE, component="print", proration=True),))
BEFORE = replace(LINE, span=Span(BEGAN - 365 * DAY, BEGAN))
WRITTEN_OFF = replace(INVOICE, id="in_0", status="uncollectible", lines=(BEFORE,))
FREE = replace(INVOICE, lines=(replace(LINE, amount=0),), total=0)


@pytest.mark.parametrize(
    ("seen", "now"),
    [
        pytest.param(SEEN, False, id="first year, paid"),
        pytest.param(with_renewal("paid"), False, id="renewal paid"),
        pytest.param(with_renewal("draft"), True, id="draft hour of a renewal"),
        pytest.param(with_renewal("open"), True, id="renewal open: processing, or sent by mail"),
        pytest.param(with_renewal("open", status="past_due"), True, id="renewal failed"),
        pytest.param(with_renewal("uncollectible"), True, id="renewal written off"),
        pytest.param(with_renewal("void"), True, id="collection paused: renewal voided"),
        pytest.param(
            replace(with_renewal("void"), invoices=(*with_renewal("void").invoices, replace(RENEWAL, status="paid"))),
            False,
            id="renewal voided and billed again",
        ),
        pytest.param(replace(SEEN, status="unpaid"), True, id="unpaid"),
        pytest.param(replace(SEEN, status="paused"), True, id="paused in a paid term"),
        pytest.param(replace(SEEN, status="incomplete", invoices=()), True, id="first payment pending"),
        pytest.param(replace(SEEN, invoices=(INVOICE, replace(UPDATE, status="open"))), True, id="print not paid"),
        pytest.param(
            replace(SEEN, invoices=(INVOICE, replace(UPDATE, status="draft"))), True, id="print about to be charged"
        ),
        pytest.param(
            replace(
                SEEN, invoices=(INVOICE, replace(UPDATE, status="draft", collection=Collection(auto_advance=False)))
            ),
            False,
            id="a draft that nobody collects",
        ),
        pytest.param(replace(SEEN, invoices=(INVOICE, replace(UPDATE, status="paid"))), False, id="print paid"),
        pytest.param(replace(SEEN, invoices=(WRITTEN_OFF, INVOICE)), False, id="an older invoice was written off"),
        pytest.param(replace(SEEN, invoices=()), False, id="no invoice yet: a moved or imported billing date"),
        pytest.param(replace(RENEWED, invoices=(INVOICE,)), False, id="nothing says that the period is unpaid"),
        pytest.param(replace(SEEN, items=(), invoices=(INVOICE,)), False, id="no digital item"),
        pytest.param(
            replace(SEEN, status="trialing", invoices=(FREE,)),
            False,
            id="trial",
        ),
    ],
)
def test_stripes_flag_is_used_only_if_nothing_more_is_charged(seen: StripeSubscriptionState, *, now: bool) -> None:
    assert must_end_now(seen) is now


def test_with_a_collected_invoice_or_an_unpaid_period_a_subscription_ends_now() -> None:
    """Every combination of a status, the renewal's invoice and another invoice."""
    statuses = ("active", "past_due", "unpaid", "paused", "trialing", "incomplete")
    invoices = ("draft", "open", "paid", "uncollectible", "void")
    for status, renewal, other in product(statuses, invoices, invoices):
        other_invoice: StripeInvoiceState = replace(UPDATE, id="in_3", status=other)
        seen = with_renewal(renewal, status=status)
        seen = replace(seen, invoices=(*seen.invoices, other_invoice))
        is_collected = other in {"draft", "open"}
        flag_is_safe = renewal == "paid" and not is_collected and status in {"active", "past_due", "trialing"}
        assert must_end_now(seen) is not flag_is_safe, (status, renewal, other)


@pytest.mark.parametrize(
    ("subscription", "terms", "now"),
    [
        pytest.param(RUNS, [PAID], False, id="paid"),
        pytest.param(replace(RUNS, current_period_end=LATER), [PAID], True, id="the period turned and is not paid"),
        pytest.param(replace(RUNS, status="past_due"), [PAID], True, id="past due"),
        pytest.param(replace(RUNS, status="paused"), [PAID], True, id="paused"),
        pytest.param(TRIAL, [], False, id="trial"),
        pytest.param(RUNS, [], False, id="no known term"),
    ],
)
def test_without_stripe_the_preview_uses_our_copy(subscription: Subscription, terms: list[Term], *, now: bool) -> None:
    assert probably_must_end_now(subscription, terms) is now


def test_paid_terms_survive_a_cancellation_before_the_next_payment() -> None:
    ended = replace(RUNS, status="canceled", ended_by=EndReason.NOT_RENEWED, access_ended_at=EARLY, ended_at=EARLY)
    late = replace(PAID, invoice_id="in_2", starts_at=YEAR, ends_at=LATER, refunded_as=RefundBasis.PAID_AFTER_END)

    assert PAID.outlives(ended)
    assert not late.outlives(ended), "a payment that arrives after the end opens no term"
    assert not PAID.outlives(replace(ended, ended_by=EndReason.CANCEL_NOW))


def test_a_payment_refunded_manually_in_parts_grants_nothing_afterwards() -> None:
    """A renewal that was paid between two partial refunds still grants access."""
    payment = replace(PAYMENT, invoice_id=PAID.invoice_id, amount=49_00)
    ended = replace(RUNS, status="canceled", ended_at=YEAR)
    parts = [
        replace(REFUND, id=f"rfd_{n}", basis=basis, amount=amount, created_at=at, made_at=at)
        for n, (basis, amount, at) in enumerate(
            [
                (RefundBasis.GOODWILL, 5_00, BEGAN),
                (RefundBasis.DASHBOARD, 9_00, BEGAN + DAY),
                (RefundBasis.DASHBOARD, 35_00, BEGAN + 9 * DAY),
            ]
        )
    ]

    assert ended_since(ended, [replace(PAID, refunded_as=RefundBasis.DASHBOARD)], [payment], parts) == BEGAN + 9 * DAY
    assert ended_since(ended, [PAID], [payment], parts[:2]) == YEAR


def test_payments_before_a_subscription_was_followed_are_never_refunded() -> None:
    ended = replace(SUBSCRIPTION, status="canceled", ended_at=END, followed_since=END + 90 * DAY)
    late = replace(PAYMENT, id="pi_2", invoice_id="in_2", paid_at=END + 5 * DAY)

    assert refunds_due(ended, [PAID], [PAYMENT, late], []) == [(late, RefundBasis.PAID_AFTER_END)]
    assert refunds_due(ended, [PAID], [PAYMENT, replace(late, is_history=True)], []) == []


def test_everything_is_refunded_of_what_was_paid_while_the_reader_was_erased() -> None:
    ended = replace(SUBSCRIPTION, access_ended_at=PAYMENT.paid_at + DAY, ended_by=EndReason.ERASED)
    assert refunds_due(ended, [PAID], [PAYMENT], []) == [(PAYMENT, RefundBasis.PAID_AFTER_END)]
    assert refunds_due(replace(ended, ended_by=EndReason.CANCEL_NOW), [PAID], [PAYMENT], []) == []
    ordered = replace(REFUND, basis=RefundBasis.PAID_AFTER_END, payment_id=PAYMENT.id)
    assert refunds_due(ended, [PAID], [PAYMENT], [ordered]) == []


def test_a_part_of_an_invoice_that_was_never_paid_in_full_is_refunded_at_the_end() -> None:
    ended = replace(SUBSCRIPTION, status="canceled", ended_at=END + 5 * DAY)
    part = replace(PAYMENT, id="py_2", invoice_id="in_2", paid_at=END + DAY)
    due = [(part, RefundBasis.PAID_AFTER_END)]

    assert refunds_due(ended, [PAID], [PAYMENT, part], []) == []
    assert refunds_due(ended, [PAID], [PAYMENT, part], [], written_off={"in_2"}) == due
    assert refunds_due(replace(ended, ended_at=None, status="active"), [PAID], [part], [], written_off={"in_2"}) == []


def test_later_terms_are_kept_when_an_older_one_is_refunded() -> None:
    first = replace(TERM, refunded_as=RefundBasis.DASHBOARD, paid_at=START)
    second = replace(TERM, invoice_id="in_2", starts_at=END, ends_at=LATER, paid_at=END)
    paid = [
        replace(PAYMENT, id="pi_1", invoice_id=first.invoice_id, paid_at=START),
        replace(PAYMENT, id="pi_2", invoice_id="in_2", paid_at=END),
    ]
    whole = replace(REFUND, basis=RefundBasis.DASHBOARD, amount=PAYMENT.amount, payment_id="pi_1")
    canceled = replace(SUBSCRIPTION, status="canceled", ended_at=END + 50 * DAY)

    at = END + 40 * DAY
    older = replace(whole, created_at=at, made_at=at)
    assert refunds_due(canceled, [first, second], paid, [older]) == []
    at = END - 2 * DAY
    before = replace(whole, created_at=at, made_at=at, recorded_at=END + DAY)
    assert refunds_due(canceled, [first, second], paid, [before]) == [(paid[1], RefundBasis.PAID_AFTER_END)]
    assert refunds_due(canceled, [first, second], paid, [replace(before, is_history=True)]) == []
