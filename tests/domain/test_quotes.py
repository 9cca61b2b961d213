"""Refund quotes on each basis."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.guarantee import Guarantee, GuaranteeTerms, guaranteed_until
from app.domain.money import InvalidAmount, Money, OtherCurrency, step
from app.domain.progress import IssueProgress
from app.domain.quotes import RefundContext, accept, quote_guarantee, quote_unserved, quotes
from app.domain.refunds import (
    GuaranteeExpired,
    GuaranteeUsed,
    NothingToRefund,
    NotTheFirstPayment,
    QuoteChanged,
    Refund,
    RefundBasis,
    RefundInProgress,
    RefundStatus,
    refundable_amount,
)
from app.domain.subscriptions import Payment, Term
from app.domain.withdrawals import Contract

CHICAGO = ZoneInfo("America/Chicago")
PAID_AT = datetime(2026, 3, 1, 17, 30, tzinfo=UTC)  # 11:30 in Chicago
PAYMENT = Payment(
    id="pi_1",
    invoice_id="in_1",
    amount=53_00,
    tax=4_00,
    currency="usd",
    paid_at=PAID_AT,
    billing_reason="subscription_create",
)
RENEWAL = replace(
    PAYMENT, id="pi_2", invoice_id="in_2", paid_at=PAID_AT + timedelta(days=365), billing_reason="subscription_cycle"
)
REFUND = Refund(
    id="rfd_1",
    group_id="rfd_1",
    payment_id="pi_1",
    subscriber_id="rdr_1",
    basis=RefundBasis.GUARANTEE,
    amount=53_00,
    tax=4_00,
    currency="usd",
    reason="requested_by_reader",
    note=None,
    requested_by="staff:agent",
    status=RefundStatus.SUCCEEDED,
    created_at=PAID_AT,
)
TERM = Term(
    invoice_id="in_1",
    plan="annual",
    print_edition=False,
    starts_at=PAID_AT,
    ends_at=PAID_AT + timedelta(days=365),
    issues_owed=24,
)
NEXT_TERM = replace(TERM, invoice_id="in_2", starts_at=TERM.ends_at, ends_at=TERM.ends_at + timedelta(days=365))
SIXTY_DAYS = Guarantee(title="Sixty days", terms=GuaranteeTerms(days=60))
CASE = RefundContext(payment=PAYMENT, payments=[PAYMENT], terms=[TERM], refunds=[], guarantee=SIXTY_DAYS)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("now", "allowed"),
    [
        pytest.param(at("2026-03-01T17:30:00+00:00"), True, id="time of the payment"),
        pytest.param(at("2026-04-30T12:00:00-05:00"), True, id="noon of day 60"),
        pytest.param(at("2026-04-30T23:59:59-05:00"), True, id="last second of day 60 in Chicago"),
        pytest.param(at("2026-05-01T00:00:00-05:00"), False, id="first moment of day 61 in Chicago"),
        pytest.param(at("2026-05-01T05:00:00+00:00"), False, id="the same moment in UTC"),
    ],
)
def test_the_guarantee_ends_with_day_60_in_the_publishers_time_zone(now: datetime, *, allowed: bool) -> None:
    quote = quote_guarantee(CASE, now=now, zone=CHICAGO)

    assert quote.allowed is allowed
    if not allowed:
        assert isinstance(quote.refusal, GuaranteeExpired)


@pytest.mark.parametrize(
    ("paid_at", "until"),
    [
        pytest.param("2026-02-01T12:00:00-06:00", "2026-04-03T00:00:00-05:00", id="start of daylight saving time"),
        pytest.param("2026-10-01T12:00:00-05:00", "2026-12-01T00:00:00-06:00", id="end of daylight saving time"),
        pytest.param("2028-01-31T12:00:00-06:00", "2028-04-01T00:00:00-05:00", id="leap year"),
        pytest.param("2027-01-31T12:00:00-06:00", "2027-04-02T00:00:00-05:00", id="common year"),
        pytest.param(
            "2026-03-02T05:30:00+00:00", "2026-05-01T00:00:00-05:00", id="the day in Chicago rather than in UTC"
        ),
    ],
)
def test_days_are_calendar_days(paid_at: str, until: str) -> None:
    assert guaranteed_until(at(paid_at), 60, CHICAGO) == at(until)


def test_the_full_price_is_refunded_with_its_tax() -> None:
    quote = quote_guarantee(CASE, now=PAID_AT, zone=CHICAGO)

    assert (quote.money, quote.tax, quote.ends_access) == (Money(53_00, "usd"), 4_00, True)


def test_earlier_refunds_are_deducted() -> None:
    goodwill = replace(REFUND, basis=RefundBasis.DASHBOARD, amount=13_00)
    quote = quote_guarantee(replace(CASE, refunds=[goodwill]), now=PAID_AT, zone=CHICAGO)

    assert quote.amount == 40_00


@pytest.mark.parametrize("status", [RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION, RefundStatus.SUCCEEDED])
def test_pending_refunds_count_as_refunded(status: str) -> None:
    case = replace(CASE, refunds=[replace(REFUND, status=status)])

    assert isinstance(quote_guarantee(case, now=PAID_AT, zone=CHICAGO).refusal, NothingToRefund)


def test_no_refund_is_offered_while_one_is_processing() -> None:
    contract = Contract(concluded_at=PAID_AT)
    case = replace(CASE, refunds=[replace(REFUND, status=RefundStatus.PROCESSING, amount=1)], contract=contract)

    assert {type(quote.refusal) for quote in quotes(case, now=PAID_AT, zone=CHICAGO)} == {RefundInProgress}


@pytest.mark.parametrize("status", [RefundStatus.FAILED, RefundStatus.CANCELED])
def test_a_failed_refund_does_not_use_up_the_guarantee(status: str) -> None:
    case = replace(CASE, refunds=[replace(REFUND, status=status)])

    assert quote_guarantee(case, now=PAID_AT, zone=CHICAGO).allowed


def test_a_guarantee_refund_that_failed_at_the_bank_can_be_repeated_late() -> None:
    promised = replace(
        REFUND,
        status=RefundStatus.FAILED,
        recorded_at=PAID_AT + timedelta(days=59),
        created_at=PAID_AT + timedelta(days=59),
    )
    too_late = replace(promised, created_at=PAID_AT + timedelta(days=80))
    never_confirmed = replace(promised, recorded_at=None)
    late = PAID_AT + timedelta(days=90)

    assert quote_guarantee(replace(CASE, refunds=[promised]), now=late, zone=CHICAGO).allowed
    for refund in (too_late, never_confirmed):
        refused = quote_guarantee(replace(CASE, refunds=[refund]), now=late, zone=CHICAGO).refusal
        assert isinstance(refused, GuaranteeExpired)


def test_a_renewal_is_not_covered() -> None:
    case = replace(CASE, payment=RENEWAL, payments=[PAYMENT, RENEWAL], terms=[TERM, NEXT_TERM])

    assert isinstance(quote_guarantee(case, now=RENEWAL.paid_at, zone=CHICAGO).refusal, NotTheFirstPayment)


def test_the_guarantee_counts_from_the_first_payment_above_zero() -> None:
    free = replace(PAYMENT, id="pi_0", invoice_id="in_0", amount=0, tax=0, paid_at=PAID_AT - timedelta(days=100))
    case = replace(CASE, payments=[free, PAYMENT])

    assert quote_guarantee(case, now=PAID_AT, zone=CHICAGO).allowed


def test_the_guarantee_is_limited_to_one_per_reader() -> None:
    before = replace(REFUND, payment_id="pi_of_an_earlier_subscription")
    case = replace(CASE, refunds=[before])

    assert isinstance(quote_guarantee(case, now=PAID_AT, zone=CHICAGO).refusal, GuaranteeUsed)


def test_an_outdated_quote_is_not_paid() -> None:
    quote = quote_guarantee(CASE, now=PAID_AT, zone=CHICAGO)

    accept(quote, Money(53_00, "usd"))
    with pytest.raises(QuoteChanged):
        accept(quote, Money(49_00, "usd"))
    with pytest.raises(OtherCurrency):
        accept(quote, Money(53_00, "eur"))


@given(
    amount=st.integers(1, 10**9),
    tax=st.integers(0, 10**8),
    given_back=st.lists(st.integers(1, 10**8), max_size=6),
)
def test_a_quote_never_exceeds_the_refundable_amount_and_tax(amount: int, tax: int, given_back: list[int]) -> None:
    payment = replace(PAYMENT, amount=amount + tax, tax=tax)
    refunds = [
        replace(REFUND, id=f"rfd_{i}", basis=RefundBasis.DASHBOARD, amount=part) for i, part in enumerate(given_back)
    ]
    case = replace(CASE, payment=payment, payments=[payment], refunds=refunds)
    quote = quote_guarantee(case, now=PAID_AT, zone=CHICAGO)

    assert quote.amount == max(refundable_amount(payment, refunds), 0)
    assert 0 <= quote.tax <= min(tax, quote.amount) or quote.amount == 0
    if not given_back:
        assert (quote.amount, quote.tax) == (payment.amount, tax)


@given(
    currency=st.sampled_from(["usd", "jpy", "isk", "ugx", "kwd"]),
    units=st.integers(min_value=1, max_value=10_000),
    served=st.integers(min_value=0, max_value=24),
    refunded_units=st.integers(min_value=0, max_value=10_000),
)
def test_quotes_respect_the_step_of_the_currency_in_the_readers_favor(
    currency: str, units: int, served: int, refunded_units: int
) -> None:
    by = step(currency)
    paid, refunded = units * by, min(refunded_units, units) * by
    payment = replace(PAYMENT, amount=paid, tax=0, currency=currency)
    earlier = [replace(REFUND, basis=RefundBasis.GOODWILL, amount=refunded, currency=currency)] if refunded else []
    case = replace(
        CASE,
        payment=payment,
        payments=[payment],
        refunds=earlier,
        progress={payment.id: IssueProgress(bought=24, served=served)},
    )

    for found in quotes(case, now=PAID_AT, zone=CHICAGO):
        assert found.amount % by == 0
        assert found.amount <= paid - refunded
    unserved = quote_unserved(case).amount
    exact = Fraction(paid * (24 - served), 24) - refunded
    assert unserved >= exact, "rounded in the reader's favor"
    assert unserved - exact < by or unserved == 0, "by less than one step"


def test_a_goodwill_amount_must_be_one_that_the_currency_has() -> None:
    payment = replace(PAYMENT, amount=500_00, tax=0, currency="ugx")
    goodwill = quotes(replace(CASE, payment=payment, payments=[payment]), now=PAID_AT, zone=CHICAGO)[2]

    with pytest.raises(InvalidAmount, match="UGX must be a multiple of 100"):
        accept(goodwill, Money(1_50, "ugx"), amount=Money(1_50, "ugx"))
    (part,) = accept(goodwill, Money(1_00, "ugx"), amount=Money(1_00, "ugx"))
    assert part.amount == 1_00


def test_a_quote_leaves_out_what_the_currency_has_no_amount_for() -> None:
    payment = replace(PAYMENT, amount=500_50, tax=0, currency="isk")  # paid outside of Stripe, for example
    assert (
        quote_guarantee(replace(CASE, payment=payment, payments=[payment]), now=PAID_AT, zone=CHICAGO).amount == 500_00
    )
