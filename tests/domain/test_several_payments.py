"""Quotes of a term with several payments, because print was added later."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import OtherCurrency
from app.domain.progress import IssueProgress
from app.domain.quotes import (
    Quote,
    RefundContext,
    payments_of_term,
    quote_goodwill,
    quote_guarantee,
    quote_unserved,
)
from app.domain.refunds import (
    COUNTED,
    GuaranteeExpired,
    NothingToRefund,
    NothingUnserved,
    PaidOutsideStripe,
    PaymentDisputed,
    RefundBasis,
    RefundInProgress,
    RefundStatus,
    refundable_amount,
)
from app.domain.subscriptions import PaymentKind
from tests.domain.test_quotes import CASE, CHICAGO, NEXT_TERM, PAID_AT, PAYMENT, REFUND, RENEWAL, TERM

PRINT = replace(
    PAYMENT,
    id="pi_print",
    invoice_id="in_print",
    amount=22_03,
    tax=1_03,
    paid_at=PAID_AT + timedelta(days=50),
    billing_reason="subscription_update",
    print_from=PAID_AT + timedelta(days=50),
    print_until=TERM.ends_at,
)
BOTH = replace(
    CASE,
    payments=[PAYMENT, PRINT],
    progress={PAYMENT.id: IssueProgress(bought=24, served=11), PRINT.id: IssueProgress(bought=22, served=9)},
)
OF_PRINT = replace(BOTH, payment=PRINT)
DAY_55, DAY_61 = PAID_AT + timedelta(days=55), PAID_AT + timedelta(days=61)


def parts(quote: Quote) -> dict[str, int]:
    return {part.payment.id: part.amount for part in quote.parts}


@pytest.mark.parametrize("case", [BOTH, OF_PRINT], ids=["first payment", "later payment"])
def test_the_guarantee_quote_of_any_payment_covers_all_payments_of_the_term(
    case: RefundContext,
) -> None:
    quote = quote_guarantee(case, now=DAY_55, zone=CHICAGO)

    assert quote.allowed
    assert parts(quote) == {PAYMENT.id: 53_00, PRINT.id: 22_03}
    assert (quote.amount, quote.tax, quote.stops_print) == (75_03, 5_03, True)
    assert quote.parts[0].payment is case.payment, "the requested payment comes first"


def test_print_added_on_day_50_does_not_extend_the_guarantee() -> None:
    refused = quote_guarantee(OF_PRINT, now=DAY_61, zone=CHICAGO).refusal

    assert isinstance(refused, GuaranteeExpired)


def test_a_refund_of_one_payment_reduces_only_its_own_part() -> None:
    goodwill = replace(REFUND, payment_id=PRINT.id, basis=RefundBasis.GOODWILL, amount=20_00, tax=0)
    quote = quote_guarantee(replace(BOTH, refunds=[goodwill]), now=DAY_55, zone=CHICAGO)

    assert parts(quote) == {PAYMENT.id: 53_00, PRINT.id: 2_03}


def test_a_guarantee_refund_of_one_payment_leaves_the_other_refundable() -> None:
    first = replace(REFUND, basis=RefundBasis.GUARANTEE)
    second = replace(REFUND, id="rfd_2", payment_id=PRINT.id, basis=RefundBasis.GUARANTEE, amount=22_03, tax=1_03)

    rest = quote_guarantee(replace(BOTH, refunds=[first]), now=DAY_55, zone=CHICAGO)
    none = quote_guarantee(replace(OF_PRINT, refunds=[first, second]), now=DAY_55, zone=CHICAGO)

    assert rest.allowed, "the guarantee covers the whole term"
    assert parts(rest) == {PRINT.id: 22_03}
    assert isinstance(none.refusal, NothingToRefund)


def test_unserved_issues_of_a_term_are_rounded_once_for_all_payments() -> None:
    quote = quote_unserved(BOTH)

    # Served: 53.00 x 11/24 + 22.03 x 9/22 = 24.2916... + 9.0122... = 33.3039..., rounded down, in the reader's favor.
    assert quote.amount == 75_03 - 33_30
    assert parts(quote) == {PAYMENT.id: 53_00 - 24_29, PRINT.id: 22_03 - 9_01}
    assert quote.progress == IssueProgress(bought=24, served=11)
    assert quote_unserved(OF_PRINT).amount == quote.amount
    assert quote_unserved(OF_PRINT).progress == IssueProgress(bought=22, served=9)


def test_an_excess_refund_of_one_payment_reduces_the_other_part() -> None:
    generous = replace(REFUND, payment_id=PRINT.id, basis=RefundBasis.GOODWILL, amount=20_00, tax=0)
    quote = quote_unserved(replace(BOTH, refunds=[generous]))

    assert parts(quote) == {PAYMENT.id: 75_03 - 33_30 - 20_00}


def test_a_fully_served_term_has_no_unserved_amount() -> None:
    case = replace(BOTH, progress={PAYMENT.id: IssueProgress(24, 24), PRINT.id: IssueProgress(22, 22)})

    assert isinstance(quote_unserved(case).refusal, NothingUnserved)
    assert quote_goodwill(replace(OF_PRINT, progress=case.progress)).amount == 22_03, (
        "goodwill does not depend on issues"
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(
            {"refunds": [replace(REFUND, payment_id=PRINT.id, status=RefundStatus.PROCESSING, amount=1)]},
            RefundInProgress,
            id="refund in process",
        ),
        pytest.param({"disputed": frozenset({PRINT.id})}, PaymentDisputed, id="disputed"),
        pytest.param({"payments": [PAYMENT, replace(PRINT, currency="eur")]}, OtherCurrency, id="other currency"),
    ],
)
def test_an_obstacle_of_one_payment_blocks_the_term_but_not_goodwill(
    change: dict[str, object], error: type[Exception]
) -> None:
    case = replace(BOTH, **change)  # type: ignore[arg-type]

    assert isinstance(quote_guarantee(case, now=DAY_55, zone=CHICAGO).refusal, error)
    assert isinstance(quote_unserved(case).refusal, error)
    assert quote_goodwill(case).allowed


def test_payments_of_other_terms_are_independent() -> None:
    case = replace(BOTH, payments=[PAYMENT, PRINT, RENEWAL], terms=[TERM, NEXT_TERM])
    later = NEXT_TERM.starts_at + timedelta(days=9)
    for_next_year = replace(PRINT, id="pi_later", invoice_id="in_later", paid_at=later, print_from=later)
    by_debit = replace(PRINT, paid_at=later)

    assert payments_of_term(PRINT, case.payments, case.terms) == [PRINT, PAYMENT]
    assert payments_of_term(by_debit, [PAYMENT, RENEWAL], case.terms) == [PAYMENT], "print of the term before"
    assert payments_of_term(for_next_year, [*case.payments, for_next_year], case.terms) == [for_next_year, RENEWAL]


@given(
    served=st.integers(0, 24),
    given_back=st.lists(
        st.tuples(
            st.booleans(), st.integers(1, 60_00), st.sampled_from(sorted({*COUNTED} - {RefundStatus.PROCESSING}))
        ),
        max_size=6,
    ),
)
def test_no_quote_exceeds_the_refundable_amount_of_any_payment(
    served: int, given_back: list[tuple[bool, int, str]]
) -> None:
    case = replace(
        BOTH,
        refunds=[],
        progress={PAYMENT.id: IssueProgress(24, served), PRINT.id: IssueProgress(22, max(0, served - 2))},
    )
    for number, (of_print, amount, status) in enumerate(given_back):
        payment = PRINT if of_print else PAYMENT
        part = min(amount, refundable_amount(payment, case.refunds))
        if part > 0:
            refund = replace(
                REFUND,
                id=f"rfd_{number}",
                payment_id=payment.id,
                basis=RefundBasis.GOODWILL,
                amount=part,
                tax=0,
                status=status,
            )
            case = replace(case, refunds=[*case.refunds, refund])
    firm = [refund for refund in case.refunds if refund.status != RefundStatus.AWAITING_APPROVAL]

    for asked in (case, replace(case, payment=PRINT)):
        for quote, counted in (
            (quote_guarantee(asked, now=DAY_55, zone=CHICAGO), firm),
            (quote_unserved(asked), case.refunds),
            (quote_goodwill(asked), case.refunds),
        ):
            for part_ in quote.parts:
                assert 0 < part_.amount <= refundable_amount(part_.payment, counted)
                assert 0 <= part_.tax <= part_.amount
    assert quote_unserved(case).amount == quote_unserved(replace(case, payment=PRINT)).amount


def test_a_payment_outside_stripe_can_not_be_refunded_by_stripe() -> None:
    by_hand = replace(PRINT, kind=PaymentKind.PAYMENT_RECORD)
    case = replace(BOTH, payments=[PAYMENT, by_hand])

    assert isinstance(quote_guarantee(case, now=DAY_55, zone=CHICAGO).refusal, PaidOutsideStripe)
    assert isinstance(quote_unserved(case).refusal, PaidOutsideStripe)
    assert quote_goodwill(case).allowed, "of the payment that went through Stripe"
    assert isinstance(quote_goodwill(replace(case, payment=by_hand)).refusal, PaidOutsideStripe)
