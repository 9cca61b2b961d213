"""Terms and payments, out of what Stripe says."""

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
        pytest.param(INVOICE, True, id="the first, paid"),
        pytest.param(replace(INVOICE, billing_reason="subscription_cycle"), True, id="a renewal, paid"),
        pytest.param(replace(INVOICE, total=0, tax=0, payments=()), True, id="made free by a promotion"),
        pytest.param(replace(INVOICE, status="open"), False, id="not paid yet"),
        pytest.param(replace(INVOICE, status="void"), False, id="voided"),
        pytest.param(replace(INVOICE, status="uncollectible"), False, id="given up"),
        pytest.param(replace(INVOICE, billing_reason="subscription_update"), False, id="print paid for later"),
        pytest.param(replace(INVOICE, billing_reason="manual"), False, id="made by hand"),
        pytest.param(replace(INVOICE, trial=True), False, id="a trial's"),
        pytest.param(replace(INVOICE, plan=None), False, id="of something else"),
    ],
)
def test_which_invoice_opens_a_term(invoice: StripeInvoiceState, *, opens: bool) -> None:
    assert bool(terms_of(replace(SEEN, invoices=(invoice,)), CATALOGUE)) is opens


def test_a_term_owes_the_plans_issues_for_the_invoices_period() -> None:
    (term,) = terms_of(
        replace(SEEN, invoices=(replace(INVOICE, components=frozenset({"digital", "print"})),)), CATALOGUE
    )

    assert (term.starts_at, term.ends_at, term.issues_owed, term.print_edition) == (START, END, 24, True)


def test_an_invoices_tax_is_shared_among_its_payments_without_losing_a_cent() -> None:
    parts = tuple(
        StripeInvoicePayment(id=f"pi_{i}", amount=amount, paid_at=START)
        for i, amount in enumerate((17_67, 17_67, 17_66))
    )

    shared = payments_of(replace(SEEN, invoices=(replace(INVOICE, payments=parts),)))

    assert sum(payment.tax for payment in shared) == 4_00


def test_the_digital_items_period_is_the_subscriptions() -> None:
    assert replace(SEEN, items=(PRINT, DIGITAL)).period == (START, END)


def test_a_subscription_of_nothing_of_ours_is_not_ours() -> None:
    with pytest.raises(ForeignStripeObject):
        _ = replace(SEEN, items=(FOREIGN,)).plan


def test_two_plans_in_one_subscription_are_not_guessed_at() -> None:
    with pytest.raises(ForeignStripeObject):
        _ = replace(SEEN, items=(DIGITAL, replace(DIGITAL, plan="monthly"))).plan
