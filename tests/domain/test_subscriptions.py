"""Terms and payments derived from Stripe's state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.subscriptions import (
    ForeignStripeObject,
    StripeInvoicePayment,
    StripeInvoiceState,
    StripeItemState,
    StripeSubscriptionState,
    payments_of,
    terms_of,
)
from tests.domain.test_entitlements import CATALOGUE

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)
DIGITAL = StripeItemState(
    id="si_1", plan="annual", component="digital", unit_amount=49_00, period_start=START, period_end=END
)
PRINT = replace(DIGITAL, id="si_2", component="print", unit_amount=24_00, period_end=END + timedelta(days=5))
FOREIGN = replace(DIGITAL, id="si_3", plan=None, component=None)
INVOICE = StripeInvoiceState(
    id="in_1",
    status="paid",
    billing_reason="subscription_create",
    total=53_00,
    tax=4_00,
    currency="usd",
    components=frozenset({"digital"}),
    plan="annual",
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
        pytest.param(replace(INVOICE, billing_reason="subscription_update"), False, id="print added later"),
        pytest.param(replace(INVOICE, billing_reason="manual"), False, id="manual invoice"),
        pytest.param(replace(INVOICE, trial=True), False, id="trial"),
        pytest.param(replace(INVOICE, plan=None), False, id="other products"),
    ],
)
def test_only_some_paid_invoices_open_a_term(invoice: StripeInvoiceState, *, opens: bool) -> None:
    assert bool(terms_of(replace(SEEN, invoices=(invoice,)), CATALOGUE)) is opens


def test_a_term_owes_the_plans_issues_for_the_invoices_period() -> None:
    (term,) = terms_of(
        replace(SEEN, invoices=(replace(INVOICE, components=frozenset({"digital", "print"})),)), CATALOGUE
    )

    assert (term.starts_at, term.ends_at, term.issues_owed, term.print_edition) == (START, END, 24, True)


def test_an_invoices_tax_is_split_among_its_payments_exactly() -> None:
    parts = tuple(
        StripeInvoicePayment(id=f"pi_{i}", amount=amount, paid_at=START)
        for i, amount in enumerate((17_67, 17_67, 17_66))
    )

    shared = payments_of(replace(SEEN, invoices=(replace(INVOICE, payments=parts),)))

    assert sum(payment.tax for payment in shared) == 4_00


def test_a_subscription_has_the_period_of_its_digital_item() -> None:
    assert replace(SEEN, items=(PRINT, DIGITAL)).period == (START, END)


def test_a_subscription_without_our_products_is_foreign() -> None:
    with pytest.raises(ForeignStripeObject):
        _ = replace(SEEN, items=(FOREIGN,)).plan


def test_two_plans_in_one_subscription_are_reported() -> None:
    with pytest.raises(ForeignStripeObject):
        _ = replace(SEEN, items=(DIGITAL, replace(DIGITAL, plan="monthly"))).plan
