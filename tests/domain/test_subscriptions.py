"""Terms and payments derived from Stripe's state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.invoice_lines import InvoiceLine, Span
from app.domain.payments import payments_of
from app.domain.subscriptions import (
    ForeignStripeObject,
    StripeInvoicePayment,
    StripeInvoiceState,
    StripeItemState,
    StripeSubscriptionState,
)
from app.domain.terms import issues_in, terms_of, uneven_interval
from tests.domain.test_entitlements import CATALOGUE

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)
DIGITAL = StripeItemState(
    id="si_1", plan="annual", component="digital", unit_amount=49_00, period_start=START, period_end=END
)
PRINT = replace(DIGITAL, id="si_2", component="print", unit_amount=24_00, period_end=END + timedelta(days=5))
FOREIGN = replace(DIGITAL, id="si_3", plan=None, component=None)
LINE = InvoiceLine(plan="annual", component="digital", amount=49_00, span=Span(START, END))
INVOICE = StripeInvoiceState(
    id="in_1",
    status="paid",
    billing_reason="subscription_create",
    total=53_00,
    tax=4_00,
    currency="usd",
    lines=(LINE,),
    period_start=START,
    period_end=END,
    payments=(StripeInvoicePayment(id="pi_1", amount=53_00, paid_at=START),),
)
SEEN = StripeSubscriptionState(
    id="sub_1",
    customer_id="cus_1",
    status="active",
    currency="usd",
    created_at=START,
    items=(DIGITAL,),
    cancel_at=None,
    canceled_at=None,
    ended_at=None,
    end_reason=None,
    invoices=(INVOICE,),
)


@pytest.mark.parametrize(
    ("invoice", "opens"),
    [
        pytest.param(INVOICE, True, id="first invoice"),
        pytest.param(replace(INVOICE, billing_reason="subscription_cycle"), True, id="renewal"),
        pytest.param(replace(INVOICE, total=0, tax=0, payments=()), True, id="free by promotion code"),
        pytest.param(replace(INVOICE, status="open"), False, id="not paid"),
        pytest.param(replace(INVOICE, status="void"), False, id="voided"),
        pytest.param(replace(INVOICE, status="uncollectible"), False, id="uncollectible"),
    ],
)
def test_only_some_paid_invoices_open_a_term(invoice: StripeInvoiceState, *, opens: bool) -> None:
    assert bool(terms_of(replace(SEEN, invoices=(invoice,)), CATALOGUE)) is opens


def test_a_term_owes_the_plans_issues_for_the_invoices_period() -> None:
    (term,) = terms_of(
        replace(SEEN, invoices=(replace(INVOICE, lines=(LINE, replace(LINE, component="print"))),)), CATALOGUE
    )

    assert (term.starts_at, term.ends_at, term.issues_owed, term.print_edition) == (START, END, 24, True)


@given(amounts=st.lists(st.integers(1, 30_00), min_size=1, max_size=6), tax=st.integers(0, 20_00))
def test_an_invoices_tax_is_split_exactly_in_whatever_parts_it_is_paid(amounts: list[int], tax: int) -> None:
    parts = tuple(
        StripeInvoicePayment(id=f"pi_{i}", amount=amount, paid_at=START + timedelta(days=i))
        for i, amount in enumerate(amounts)
    )
    whole = replace(INVOICE, total=sum(amounts) + tax, tax=tax)
    last = StripeInvoicePayment(id="pi_last", amount=tax, paid_at=END)
    arrived = [
        payments_of(replace(SEEN, invoices=(replace(whole, payments=parts[:n]),)), CATALOGUE) for n in range(len(parts))
    ]
    paid = payments_of(replace(SEEN, invoices=(replace(whole, payments=(*parts, last)),)), CATALOGUE)

    assert sum(payment.tax for payment in paid) == tax
    assert all(payment.tax >= 0 for payment in paid)
    assert all(paid[: len(some)] == some for some in arrived), "a later part changes nothing"


@pytest.mark.parametrize(
    ("start", "end", "issues"),
    [
        pytest.param("2026-03-01", "2027-03-01", 24, id="year"),
        pytest.param("2028-02-29", "2029-02-28", 24, id="from a leap day"),
        pytest.param("2026-02-01", "2026-03-01", 2, id="shortest month"),
        pytest.param("2026-07-01", "2026-08-01", 2, id="longest month"),
        pytest.param("2026-02-01", "2026-05-01", 6, id="quarter"),
        pytest.param("2026-03-01", "2026-09-01", 12, id="half a year"),
        pytest.param("2026-03-01", "2028-03-01", 48, id="two years"),
        pytest.param("2026-03-01", "2026-03-08", 0, id="week"),
        pytest.param("2026-06-09", "2027-03-01", 17, id="rest of a year"),
    ],
)
def test_a_term_owes_issues_in_proportion_to_its_period(start: str, end: str, issues: int) -> None:
    span = Span(*(datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, end)))

    assert issues_in(CATALOGUE.plan("annual"), span) == issues


@pytest.mark.parametrize(
    ("interval", "count", "every"),
    [("year", 1, None), ("month", 1, None), ("month", 5, None), ("week", 1, "week"), ("day", 10, "10 days")],
)
def test_an_interval_that_splits_issues_is_uneven(interval: str, count: int, every: str | None) -> None:
    item = replace(DIGITAL, interval=interval, interval_count=count)

    assert uneven_interval(item, CATALOGUE.plan("annual")) == every


def test_a_subscription_has_the_period_of_its_digital_item() -> None:
    assert replace(SEEN, items=(PRINT, DIGITAL)).period == (START, END)


def test_a_subscription_without_our_products_is_foreign() -> None:
    with pytest.raises(ForeignStripeObject):
        _ = replace(SEEN, items=(FOREIGN,)).plan


def test_two_plans_in_one_subscription_are_reported() -> None:
    with pytest.raises(ForeignStripeObject):
        _ = replace(SEEN, items=(DIGITAL, replace(DIGITAL, plan="monthly"))).plan
