"""What was returned otherwise than by refunds: credit notes, proration credits, and what the customer's balance paid."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.cancellations import is_paid_at_finalization, payable_invoices, unpaid_invoices
from app.domain.credits import (
    Credit,
    CreditKind,
    credit_parts,
    credits_of,
    due_to_balance,
    funding,
    is_whole,
    reclaimable,
    unspent_refunds,
    with_credits,
)
from app.domain.invoice_lines import InvoiceLine, Span
from app.domain.progress import IssueProgress
from app.domain.quotes import QuotePart, quote_goodwill, quote_guarantee, quote_unserved
from app.domain.refunds import COUNTED, Refund, RefundBasis, RefundStatus, refundable_amount
from app.domain.renewals import Collection
from app.domain.subscriptions import Payment, StripeCreditNote, StripeInvoiceState, StripeSubscriptionState, Term
from tests.domain.test_quotes import CASE, CHICAGO, NEXT_TERM, PAID_AT, PAYMENT, REFUND, RENEWAL, TERM
from tests.domain.test_several_payments import BOTH, PRINT

A_DAY = timedelta(days=1)
DROPPED = PRINT.paid_at + 2 * A_DAY  # print was dropped
NOTE = StripeCreditNote(id="cn_1", to_balance=0, out_of_band=0, created_at=PAID_AT + A_DAY)
INVOICE = StripeInvoiceState(
    id="in_1",
    status="paid",
    billing_reason="subscription_create",
    total=53_00,
    tax=4_00,
    currency="usd",
    lines=(),
    period_start=PAID_AT,
    period_end=PAID_AT + 365 * A_DAY,
    payments=(),
    paid_at=PAID_AT,
)
UNUSED_PRINT = replace(INVOICE, id="in_unused", total=-10_00, tax=0, paid_at=DROPPED)
PRORATION = Credit(
    id="in_unused",
    kind=CreditKind.PRORATION,
    invoice_id="in_unused",
    amount=10_00,
    currency="usd",
    created_at=DROPPED,
)
TAKEN = replace(PRORATION, id="cbtxn_1", kind=CreditKind.RECLAIMED, created_at=DROPPED + A_DAY)
UNBILLED = replace(PRORATION, id="ii_1", kind=CreditKind.UNBILLED, invoice_id=None)


def subscription_with(*invoices: StripeInvoiceState) -> StripeSubscriptionState:
    return StripeSubscriptionState(
        id="sub_1",
        customer_id="cus_1",
        status="active",
        currency="usd",
        created_at=PAID_AT,
        items=(),
        cancel_at=None,
        canceled_at=None,
        ended_at=None,
        end_reason=None,
        invoices=invoices,
    )


def note_credit(amount: int, kind: str = CreditKind.OUT_OF_BAND, invoice: str = "in_1") -> Credit:
    return Credit(id="cn_1", kind=kind, invoice_id=invoice, amount=amount, currency="usd", created_at=PAID_AT + A_DAY)


def credited(
    payments: Sequence[Payment], terms: Sequence[Term], credits: Sequence[Credit], refunds: Sequence[Refund] = ()
) -> dict[str, int]:
    return {one.id: one.credited for one in with_credits(payments, terms, credits, refunds)}


def test_credit_notes_count_as_money_returned() -> None:
    noted = replace(INVOICE, credit_notes=(replace(NOTE, to_balance=5_00, out_of_band=3_00),))

    found = credits_of(subscription_with(noted))

    assert [(one.kind, one.amount) for one in found] == [(CreditKind.BALANCE, 5_00), (CreditKind.OUT_OF_BAND, 3_00)]
    assert credited([PAYMENT], [TERM], found) == {PAYMENT.id: 8_00}


@pytest.mark.parametrize(
    ("to_balance", "of_payments"),
    [
        pytest.param(20_00, 0, id="what the balance paid goes back to it"),
        pytest.param(25_00, 5_00, id="more than the balance paid: the rest is of the payments"),
        pytest.param(5_00, 0, id="less than the balance paid"),
    ],
)
def test_a_credit_to_the_balance_first_returns_what_the_balance_paid(to_balance: int, of_payments: int) -> None:
    noted = replace(INVOICE, paid_by_balance=20_00, credit_notes=(replace(NOTE, to_balance=to_balance),))

    of_note, returned = credits_of(subscription_with(noted))
    assert (of_note.kind, of_note.amount) == (CreditKind.BALANCE, of_payments)
    assert (returned.kind, returned.amount) == (CreditKind.RETURNED, to_balance - of_payments)


def test_an_invoice_with_a_negative_total_credits_the_term_that_ran() -> None:
    found = credits_of(subscription_with(INVOICE, UNUSED_PRINT))

    assert found == [PRORATION]
    assert credited(BOTH.payments, BOTH.terms, found) == {PAYMENT.id: 0, PRINT.id: 10_00}
    large = [replace(PRORATION, amount=30_00)]
    assert credited(BOTH.payments, BOTH.terms, large) == {PAYMENT.id: 7_97, PRINT.id: 22_03}, "newest first"
    later = replace(PRORATION, created_at=NEXT_TERM.starts_at + A_DAY)
    paid, terms = [PAYMENT, RENEWAL], [TERM, NEXT_TERM]
    assert credited(paid, terms, [later]) == {PAYMENT.id: 0, RENEWAL.id: 10_00}


def test_each_credit_returns_its_part_of_a_payment_on_its_own_day() -> None:
    later = replace(PRORATION, id="in_later", amount=3_00, created_at=DROPPED + 30 * A_DAY)
    parts = credit_parts(BOTH.payments, BOTH.terms, [PRORATION, later], [])
    assert [(one.amount, one.credited_at) for one in parts] == [(10_00, DROPPED), (3_00, later.created_at)]
    assert {one.payment_id for one in parts} == {PRINT.id}


def test_what_was_refunded_was_not_credited() -> None:
    back = replace(REFUND, payment_id=PRINT.id, amount=20_03)

    assert credited(BOTH.payments, BOTH.terms, [PRORATION], [back]) == {PAYMENT.id: 8_00, PRINT.id: 2_00}


def test_a_reclaimed_credit_counts_no_longer() -> None:
    taken = replace(TAKEN, amount=4_00)

    assert credited(BOTH.payments, BOTH.terms, [PRORATION, taken])[PRINT.id] == 6_00


def test_quotes_subtract_credits() -> None:
    credited = replace(PAYMENT, credited=13_00)
    case = replace(CASE, payment=credited, payments=[credited], progress={PAYMENT.id: IssueProgress(24, 12)})

    whole = quote_guarantee(case, now=PAID_AT, zone=CHICAGO)

    assert (whole.amount, whole.tax) == (40_00, 3_02), "the tax of the credit was 0.98"
    assert quote_goodwill(case).amount == 40_00
    assert quote_unserved(case).amount == 53_00 - 26_50 - 13_00


@pytest.mark.parametrize(
    ("credit", "refunds", "whole"),
    [
        pytest.param(53_00, [], True, id="all of it"),
        pytest.param(52_99, [], False, id="a part"),
        pytest.param(13_00, [replace(REFUND, amount=40_00)], True, id="the rest of a refund"),
        pytest.param(13_00, [replace(REFUND, amount=40_00, status=RefundStatus.FAILED)], False, id="refund failed"),
        pytest.param(0, [REFUND], False, id="no credit: the refund decides by itself"),
    ],
)
def test_a_payment_is_returned_whole_with_its_refunds(credit: int, refunds: list[Refund], *, whole: bool) -> None:
    assert is_whole("in_1", [PAYMENT], [note_credit(credit)], refunds) is whole


@pytest.mark.parametrize(
    ("balance", "refunds", "unrefundable", "amount"),
    [
        pytest.param(10_00, [], (), 10_00, id="unspent"),
        pytest.param(25_00, [], (), 10_00, id="other credit stays"),
        pytest.param(4_00, [], (), 4_00, id="spent in part"),
        pytest.param(0, [], (), 0, id="spent"),
        pytest.param(-5_00, [], (), 0, id="in debt"),
        pytest.param(10_00, [], (PAYMENT.id, PRINT.id), 0, id="payments disputed"),
        pytest.param(10_00, [], (PRINT.id,), 10_00, id="another payment of the term can be refunded"),
        pytest.param(
            10_00,
            [REFUND, replace(REFUND, id="rfd_2", payment_id=PRINT.id, amount=20_03)],
            (),
            0,
            id="returned twice already: staff decide",
        ),
    ],
)
def test_an_unspent_proration_credit_is_taken_out_of_the_balance(
    balance: int, refunds: list[Refund], unrefundable: tuple[str, ...], amount: int
) -> None:
    found = reclaimable(
        [PRORATION], {"usd": balance, "eur": 99_00}, BOTH.payments, BOTH.terms, refunds, unrefundable=unrefundable
    )

    assert sum(part for _, part in found) == amount


def test_a_credit_that_was_reclaimed_is_not_reclaimed_again() -> None:
    assert reclaimable([PRORATION, TAKEN], {"usd": 10_00}, BOTH.payments, BOTH.terms, [], unrefundable=()) == []


def test_a_reclaimed_credit_is_refunded_once_to_the_payment_that_funded_it() -> None:
    refund = replace(REFUND, basis=RefundBasis.UNSPENT_CREDIT, payment_id=PRINT.id, amount=10_00)

    assert unspent_refunds([PRORATION, TAKEN], BOTH.payments, BOTH.terms, []) == ([(PRINT, 10_00)], 0)
    assert unspent_refunds([PRORATION, TAKEN], BOTH.payments, BOTH.terms, [refund]) == ([], 0)
    failed = replace(refund, status=RefundStatus.FAILED)
    assert unspent_refunds([PRORATION, TAKEN], BOTH.payments, BOTH.terms, [failed]) == ([], 0), "staff handle those"
    disputed = unspent_refunds([PRORATION, TAKEN], [PRINT], [], [], unrefundable={PRINT.id})
    assert disputed == ([], 10_00), "shown to staff"


def test_pending_prorations_are_refunded_unless_the_term_was() -> None:
    debit = replace(UNBILLED, id="ii_2", amount=-4_00)
    refunded = replace(TERM, refunded_as=RefundBasis.UNSERVED_ISSUES)

    assert unspent_refunds([UNBILLED, debit], BOTH.payments, BOTH.terms, []) == ([(PRINT, 6_00)], 0)
    assert unspent_refunds([debit], BOTH.payments, BOTH.terms, []) == ([], 0)
    assert unspent_refunds([UNBILLED], BOTH.payments, [refunded], []) == ([], 0)


@pytest.mark.parametrize(
    ("basis", "refunded", "returned"),
    [
        pytest.param(RefundBasis.GUARANTEE, 33_00, 20_00, id="guarantee"),
        pytest.param(RefundBasis.GUARANTEE, 30_00, 20_00, id="guarantee after goodwill"),
        pytest.param(RefundBasis.DUPLICATE, 33_00, 20_00, id="duplicate"),
        pytest.param(RefundBasis.UNSERVED_ISSUES, 11_00, 6_67, id="a third unserved, in the reader's favor"),
        pytest.param("dispute_lost", 0, 0, id="lost dispute"),
        pytest.param(None, 5_00, 0, id="goodwill"),
    ],
)
def test_what_the_balance_paid_goes_back_with_a_refund_of_the_term(
    basis: str | None, refunded: int, returned: int
) -> None:
    paid = replace(PAYMENT, amount=33_00)
    refund = replace(REFUND, basis=basis or RefundBasis.GOODWILL, amount=refunded)
    invoice = replace(INVOICE, paid_by_balance=20_00)
    term = replace(TERM, refunded_as=basis)

    assert due_to_balance(invoice, [], [paid], [term], [refund]) == returned
    noted = replace(invoice, credit_notes=(replace(NOTE, to_balance=returned),))
    assert due_to_balance(noted, [], [paid], [term], [refund]) == 0
    ours = note_credit(returned, CreditKind.RETURNED)
    assert due_to_balance(invoice, [ours], [paid], [term], [refund]) == 0, "before the invoice is fetched again"


def test_what_the_balance_paid_for_print_goes_back_with_the_term_of_the_print() -> None:
    line = InvoiceLine(
        plan="annual",
        component="print",
        amount=20_00,
        span=Span(TERM.ends_at - 40 * A_DAY, TERM.ends_at),
        of_subscription=False,
        is_print_change=True,
    )
    paid_at = NEXT_TERM.starts_at + A_DAY  # by a debit that was ordered before
    invoice = replace(INVOICE, id="in_print", lines=(line,), paid_at=paid_at, paid_by_balance=20_00)
    first, second = (replace(one, refunded_as=RefundBasis.GUARANTEE) for one in (TERM, NEXT_TERM))

    assert due_to_balance(invoice, [], [PAYMENT, RENEWAL], [first, NEXT_TERM], [REFUND]) == 20_00
    assert due_to_balance(invoice, [], [PAYMENT, RENEWAL], [TERM, second], [REFUND]) == 0


def test_what_the_balance_paid_for_nothing_goes_back_whole() -> None:
    invoice = replace(INVOICE, paid_by_balance=53_00)

    assert due_to_balance(invoice, [], [], [], [], bought_nothing=True) == 53_00
    assert due_to_balance(invoice, [], [], [], []) == 0


@pytest.mark.parametrize(
    ("currency", "total", "credit", "paid"),
    [
        pytest.param("usd", 49_00, 0, False, id="no credit"),
        pytest.param("usd", 49_00, 49_00, True, id="covered"),
        pytest.param("usd", 49_00, 60_00, True, id="more than covered"),
        pytest.param("usd", 49_00, 48_51, True, id="0.49 is below the minimum"),
        pytest.param("usd", 49_00, 48_50, False, id="0.50 is charged"),
        pytest.param("usd", 20, -40_00, False, id="debt is charged too"),
        pytest.param("jpy", 4900, 4851, True, id="49 yen"),
        pytest.param("isk", 4900, 4899, False, id="no documented minimum"),
        pytest.param("usd", 0, 0, True, id="free"),
    ],
)
def test_a_draft_that_would_be_paid_at_its_finalization_is_predicted(
    currency: str, total: int, credit: int, *, paid: bool
) -> None:
    draft = replace(INVOICE, status="draft", total=total, currency=currency)

    assert is_paid_at_finalization(draft, credit) is paid


def test_a_draft_can_be_paid_only_if_stripe_finalizes_it() -> None:
    held, automatic = (replace(INVOICE, status="draft", collection=Collection(auto_advance=on)) for on in (False, True))
    left_open, void = replace(INVOICE, status="open"), replace(INVOICE, status="void")
    state = subscription_with(held, automatic, left_open, void, INVOICE)

    assert payable_invoices(state) == (automatic, left_open)
    assert unpaid_invoices(state) == (held, automatic, left_open)


@dataclass
class Account:
    """
    What a customer paid for two terms and got back, and their balance at Stripe.

    Actions are bounded as Stripe bounds them: a refund by the rest of its payment, a credit note by that of its invoice.
    """

    paid: list[Payment] = field(default_factory=lambda: [PAYMENT, PRINT, RENEWAL])
    credits: list[Credit] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    balance: int = 0

    @property
    def payments(self) -> list[Payment]:
        return with_credits(self.paid, self.terms, self.credits, self.refunds)

    @property
    def terms(self) -> Sequence[Term]:
        return [TERM, NEXT_TERM]

    def refund(self, payment: Payment, amount: int, basis: str) -> None:
        if amount > 0:
            refund = replace(
                REFUND, id=f"rfd_{len(self.refunds)}", payment_id=payment.id, amount=amount, tax=0, basis=basis
            )
            self.refunds.append(refund)

    def refund_quoted(self, parts: Sequence[QuotePart], basis: str) -> None:
        for part in parts:
            self.refund(part.payment, part.amount, basis)

    def credit(self, kind: str, number: int, amount: int) -> None:
        payment = self.payments[number % 3]
        credit = replace(note_credit(amount, kind, payment.invoice_id), id=f"cn_{number}")
        own = [one for one in self.payments if one.invoice_id == payment.invoice_id]
        if kind == CreditKind.PRORATION:
            name, at = f"in_unused_{number}", payment.paid_at + 3 * A_DAY
            credit = replace(credit, id=name, invoice_id=name, created_at=at)
            own = funding(credit, self.payments, self.terms)
        amount = min(amount, sum(max(0, refundable_amount(one, self.refunds)) for one in own))
        if amount > 0:
            self.credits.append(replace(credit, amount=amount))
            self.balance += amount if kind != CreditKind.OUT_OF_BAND else 0

    def end(self) -> None:
        """Complete the end of the subscription, twice, as after a kill."""
        for _ in range(2):
            due = reclaimable(
                self.credits, {"usd": self.balance}, self.payments, self.terms, self.refunds, unrefundable=()
            )
            for credit, amount in due:
                taken = replace(TAKEN, id=f"cbtxn_{len(self.credits)}", invoice_id=credit.id, amount=amount)
                self.credits.append(taken)
                self.balance -= amount
            parts, left = unspent_refunds(self.credits, self.payments, self.terms, self.refunds)
            assert left == 0, "what was taken out of the balance is always refunded"
            for payment, amount in parts:
                self.refund(payment, amount, RefundBasis.UNSPENT_CREDIT)

    @property
    def returned(self) -> int:
        """The refunds, what was returned outside Stripe, and the credit that is or was in the balance."""
        refunded = sum(one.amount for one in self.refunds if one.status in COUNTED)
        credited = sum(-one.amount if one.kind == CreditKind.RECLAIMED else one.amount for one in self.credits)
        return refunded + credited


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["guarantee", "unserved", "goodwill", "end", "spend", *(kind.value for kind in list(CreditKind)[:3])]
        ),
        st.integers(0, 2),
        st.integers(1, 60_00),
    ),
    max_size=12,
)


@given(actions=ACTIONS, served=st.integers(0, 24))
def test_no_path_returns_more_than_was_paid_credits_included(actions: list[tuple[str, int, int]], served: int) -> None:
    account = Account()
    progress = {
        PAYMENT.id: IssueProgress(24, served),
        PRINT.id: IssueProgress(22, max(0, served - 2)),
        RENEWAL.id: IssueProgress(24, 0),
    }
    for number, (action, which, amount) in enumerate(actions):
        payment = account.payments[which]
        case = replace(
            CASE,
            payment=payment,
            payments=account.payments,
            terms=account.terms,
            refunds=account.refunds,
            progress=progress,
        )
        if action == "guarantee":
            account.refund_quoted(quote_guarantee(case, now=PAID_AT, zone=CHICAGO).parts, RefundBasis.GUARANTEE)
        elif action == "unserved":
            account.refund_quoted(quote_unserved(case).parts, RefundBasis.UNSERVED_ISSUES)
        elif action == "goodwill":
            account.refund(payment, min(amount, quote_goodwill(case).amount), RefundBasis.GOODWILL)
        elif action == "end":
            account.end()
        elif action == "spend":
            account.balance = max(0, account.balance - amount)
        else:
            account.credit(action, 3 * number + which, amount)
    account.end()

    assert account.returned <= sum(payment.amount for payment in account.paid)
    for payment in account.payments:
        assert refundable_amount(payment, account.refunds) >= 0
        assert 0 <= payment.credited <= payment.amount
