"""The price of print for the rest of a term, and what dropping it returns: by issues, and never by days."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.issues import ScheduledTerm
from app.domain.money import Money, OtherCurrency
from app.domain.payments import payments_of
from app.domain.print_changes import NoPaidTerm, NoPrintEdition, PrintChangeRefused, PrintUnchanged
from app.domain.print_quotes import (
    Bill,
    PrintCase,
    accept,
    amount_due,
    quote_addition,
    quote_removal,
    remaining_issues,
    share_of_price,
    unserved_share,
)
from app.domain.progress import IssueProgress
from app.domain.quotes import RefundContext, quote_guarantee, quote_unserved
from app.domain.refunds import (
    NoCalendar,
    PaidOutsideStripe,
    PaymentDisputed,
    QuoteChanged,
    RefundBasis,
    RefundInProgress,
    RefundStatus,
)
from app.domain.subscriptions import Payment, PaymentKind, StripeInvoicePayment, Subscription
from app.domain.terms import terms_of
from tests.domain.test_copies import calendar_of
from tests.domain.test_entitlements import CATALOGUE
from tests.domain.test_plans import ANNUAL, PRICES
from tests.domain.test_quotes import CHICAGO, REFUND, SIXTY_DAYS
from tests.domain.test_subscriptions import END, INVOICE, LINE, SEEN, START

# 40 issues, one every 15 days from January 10, 2026; labels close 9 days before. The first for March 1 is number 5.
CALENDAR = calendar_of([1] * 40)
SUBSCRIPTION = Subscription(
    id="scr_1",
    stripe_id="sub_1",
    subscriber_id="rdr_1",
    version=1,
    plan="annual",
    print_edition=False,
    status="active",
    price=49_00,
    currency="usd",
    created_at=START,
    current_period_start=START,
    current_period_end=END,
    cancel_at=None,
    canceled_at=None,
    ended_at=None,
    end_reason=None,
)
(TERM,) = terms_of(SEEN, CATALOGUE)
FIRST = CALENDAR.begin(START)
RUN = ScheduledTerm(term=TERM, ranges=((FIRST, FIRST + 24),), ended_at=None, doubles=2, calendar=CALENDAR)
CASE = PrintCase(subscription=SUBSCRIPTION, plan=ANNUAL, term=TERM, run=RUN)
DIGITAL_PAYMENT = Payment(
    id="pi_1",
    invoice_id=TERM.invoice_id,
    amount=49_00,
    tax=0,
    currency="usd",
    paid_at=START,
    billing_reason="subscription_create",
)
CLOSING = [CALENDAR.ends(issue.label_cutoff) for issue in CALENDAR.issues]
DAYS = st.integers(0, 364).map(lambda day: START + timedelta(days=day))


def printed(case: PrintCase, *, since: datetime, paid: int, whole: bool = False) -> PrintCase:
    """Return a case in which print was paid for: with the term, or since then."""
    payment = replace(
        DIGITAL_PAYMENT,
        id="pi_1" if whole else "pi_print",
        invoice_id=TERM.invoice_id if whole else "in_print",
        amount=49_00 + paid if whole else paid,
        print_amount=paid,
        paid_at=since,
        print_from=None if whole else since,
        print_until=None if whole else TERM.ends_at,
        billing_reason="subscription_create" if whole else "manual",
    )
    term = replace(TERM, print_edition=True, print_from=None if whole else since)
    return replace(
        case,
        subscription=replace(SUBSCRIPTION, print_edition=True),
        term=term,
        run=replace(RUN, term=term),
        payments=[payment] if whole else [DIGITAL_PAYMENT, payment],
    )


@pytest.mark.parametrize(
    ("now", "issues", "first", "price"),
    [
        pytest.param(START, 24, 5, 24_00, id="at the start: every issue"),
        pytest.param(CLOSING[4] - timedelta(seconds=1), 24, 5, 24_00, id="the last second before a cut-off"),
        pytest.param(CLOSING[4], 23, 6, 23_00, id="the cut-off: one issue less"),
        pytest.param(datetime(2026, 8, 1, tzinfo=UTC), 13, 16, 13_00, id="month five"),
        pytest.param(datetime(2027, 2, 27, tzinfo=UTC), 0, None, 0, id="after the last cut-off: only the renewals"),
    ],
)
def test_print_costs_a_share_of_its_price_for_each_remaining_issue(
    now: datetime, issues: int, first: int | None, price: int
) -> None:
    quote = quote_addition(CASE, None, now=now)

    assert quote.refusal is None
    assert (quote.issues, quote.first_issue, quote.price) == (issues, first, price)
    assert (quote.starts_at, quote.ends_at) == (max(now, START + timedelta(seconds=1)), TERM.ends_at)


@pytest.mark.parametrize(
    ("bill", "due", "from_balance"),
    [
        pytest.param(Bill(total=12_99, tax=99, credit=0), 12_99, 0, id="no balance"),
        pytest.param(Bill(total=12_99, tax=99, credit=5_00), 7_99, 5_00, id="credit pays a part"),
        pytest.param(Bill(total=12_99, tax=99, credit=20_00), 0, 12_99, id="credit pays it whole"),
        pytest.param(Bill(total=12_99, tax=99, credit=-3_00), 15_99, -3_00, id="a debt is charged too"),
        pytest.param(Bill(total=12_99, tax=99, credit=12_60), 0, 12_99, id="a rest below the smallest charge"),
    ],
)
def test_the_amount_includes_tax_and_the_customers_balance(bill: Bill, due: int, from_balance: int) -> None:
    quote = quote_addition(CASE, bill, now=datetime(2026, 9, 1, tzinfo=UTC))

    assert (quote.amount, quote.from_balance, quote.tax, quote.total) == (due, from_balance, 99, 12_99)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        pytest.param({"plan": replace(ANNUAL, prices={"digital": PRICES["digital"]})}, NoPrintEdition, id="no print"),
        pytest.param({"term": None}, NoPaidTerm, id="no term"),
        pytest.param({"term": replace(TERM, refunded_as="guarantee")}, NoPaidTerm, id="refunded"),
        pytest.param({"term": replace(TERM, suspended_as="dispute_open")}, PaymentDisputed, id="disputed"),
        pytest.param({"run": None}, NoCalendar, id="no calendar"),
        pytest.param({"is_scheduled": True}, NoPaidTerm, id="managed by a schedule"),
        pytest.param({"subscription": replace(SUBSCRIPTION, status="past_due")}, NoPaidTerm, id="past due"),
        pytest.param({"subscription": replace(SUBSCRIPTION, status="trialing")}, NoPaidTerm, id="trial"),
        pytest.param({"subscription": replace(SUBSCRIPTION, access_ended_at=START)}, NoPaidTerm, id="ended"),
        pytest.param({"subscription": replace(SUBSCRIPTION, print_edition=True)}, PrintUnchanged, id="has print"),
    ],
)
def test_an_addition_that_is_not_possible_says_why(change: dict[str, object], refusal: type[Exception]) -> None:
    quote = quote_addition(replace(CASE, **change), None, now=START)  # type: ignore[arg-type]

    assert type(quote.refusal) is refusal
    with pytest.raises(refusal):
        accept(quote, Money(quote.amount, "usd"))


def test_nothing_is_added_just_before_the_renewal() -> None:
    refusal = quote_addition(CASE, None, now=END - timedelta(hours=1)).refusal

    assert type(refusal) is PrintChangeRefused
    assert "about to renew" in str(refusal)


def test_print_is_added_again_while_a_copy_of_the_dropped_one_is_sent() -> None:
    dropped_at, now = datetime(2026, 3, 19, 12, tzinfo=UTC), datetime(2026, 3, 20, 18, tzinfo=UTC)
    dropped = replace(TERM, print_edition=True, print_until=dropped_at)  # the labels of issue 6 have closed

    quote = quote_addition(replace(CASE, term=dropped, run=replace(RUN, term=dropped)), None, now=now)

    assert (quote.refusal, quote.first_issue) == (None, 7)


def test_an_addition_outside_the_term_is_refused() -> None:
    assert isinstance(quote_addition(CASE, None, now=END).refusal, NoPaidTerm)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        pytest.param({"unrefundable": ["pi_print"]}, PaymentDisputed, id="disputed"),
        pytest.param(
            {"refunds": [replace(REFUND, payment_id="pi_print", amount=1, status=RefundStatus.PROCESSING)]},
            RefundInProgress,
            id="another refund",
        ),
    ],
)
def test_a_removal_waits_for_whatever_blocks_its_refund(change: dict[str, object], refusal: type[Exception]) -> None:
    case = printed(CASE, since=START, paid=24_00)

    quote = quote_removal(replace(case, **change), now=START + timedelta(days=100))  # type: ignore[arg-type]

    assert isinstance(quote.refusal, refusal)


def test_print_paid_outside_stripe_is_dropped_by_staff() -> None:
    case = printed(CASE, since=START, paid=24_00)
    outside = replace(case.payments[1], kind=PaymentKind.OUT_OF_BAND)

    quote = quote_removal(replace(case, payments=[DIGITAL_PAYMENT, outside]), now=START + timedelta(days=100))

    assert isinstance(quote.refusal, PaidOutsideStripe)


def test_print_that_is_not_there_is_not_dropped() -> None:
    assert isinstance(quote_removal(CASE, now=START).refusal, PrintUnchanged)


def test_print_added_in_month_five_and_dropped_in_month_nine_returns_the_rest() -> None:
    august, december = datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    price = quote_addition(CASE, None, now=august).price
    case = printed(CASE, since=august, paid=price)

    quote = quote_removal(case, now=december)

    assert (price, quote.issues, quote.amount) == (13_00, 5, 5_00)
    assert [(part.payment.id, part.amount) for part in quote.parts] == [("pi_print", 5_00)]


def test_print_bought_with_the_term_returns_only_its_own_share() -> None:
    case = printed(CASE, since=START, paid=24_00, whole=True)

    quote = quote_removal(case, now=datetime(2026, 8, 1, tzinfo=UTC))

    assert (quote.issues, quote.amount) == (13, 13_00)


def test_what_was_paid_before_print_was_dropped_is_settled() -> None:
    dropped_at, august = START + timedelta(days=60), datetime(2026, 8, 1, tzinfo=UTC)
    with_term = replace(DIGITAL_PAYMENT, amount=73_00, print_amount=24_00)
    case = printed(replace(CASE, dropped_at=dropped_at), since=august, paid=13_00)

    quote = quote_removal(replace(case, payments=[with_term, case.payments[1]]), now=datetime(2026, 12, 1, tzinfo=UTC))

    assert [(part.payment.id, part.amount) for part in quote.parts] == [("pi_print", 5_00)]


def test_an_addition_starts_no_earlier_than_the_last_removal() -> None:
    dropped_at = START + timedelta(seconds=1)

    assert quote_addition(replace(CASE, dropped_at=dropped_at), None, now=START).starts_at == dropped_at


@given(now=DAYS, paid=st.integers(1, 99_99), seconds=st.integers(0, 86_400))
def test_adding_and_dropping_before_a_cutoff_returns_everything(now: datetime, paid: int, seconds: int) -> None:
    later = now + timedelta(seconds=seconds)
    first, issues = remaining_issues(RUN, now)
    case = printed(CASE, since=now, paid=paid)

    quote = quote_removal(case, now=later)

    if issues and remaining_issues(RUN, quote.starts_at or later) == (first, issues):
        assert quote.amount == paid


@given(bought_on=DAYS, dropped_on=DAYS, paid=st.integers(1, 99_99), whole=st.booleans())
def test_what_is_returned_is_never_negative_nor_more_than_was_paid(
    bought_on: datetime, dropped_on: datetime, paid: int, *, whole: bool
) -> None:
    case = printed(CASE, since=START if whole else bought_on, paid=paid, whole=whole)

    quote = quote_removal(case, now=max(bought_on, dropped_on))

    assert 0 <= quote.amount <= paid
    assert quote.amount == sum(part.amount for part in quote.parts)


@given(amount=st.integers(0, 10**7), issues=st.integers(0, 24), of=st.just(24))
def test_the_price_of_issues_never_exceeds_their_share(amount: int, issues: int, of: int) -> None:
    price = share_of_price(Money(amount, "usd"), issues, of=of)

    assert 0 <= price * of <= amount * issues
    assert amount * issues - price * of < of


@given(paid=st.integers(0, 10**7), bought=st.integers(0, 40), unserved=st.integers(0, 60))
def test_served_and_unserved_shares_add_up_to_the_cent(paid: int, bought: int, unserved: int) -> None:
    back = unserved_share(paid, bought=bought, unserved=unserved)

    assert 0 <= back <= paid
    if bought:
        kept = paid - back
        assert kept == paid * (bought - min(unserved, bought)) // bought


@given(total=st.integers(0, 10**6), credit=st.integers(-(10**6), 10**6))
def test_the_charge_is_never_negative_nor_too_small(total: int, credit: int) -> None:
    due = amount_due(total, credit, "usd")

    assert due == 0 or due >= 50
    assert due in {0, total - credit}


@given(now=DAYS, paid=st.integers(1, 40_00), served_later=st.integers(0, 10), whole=st.booleans())
def test_a_later_refund_of_the_term_returns_nothing_of_print_again(
    now: datetime, paid: int, served_later: int, *, whole: bool
) -> None:
    """What was returned for print, and what is returned for the rest of the term, never exceed what each of them cost."""
    case = printed(CASE, since=START, paid=paid, whole=whole)
    dropped = quote_removal(case, now=now)
    refunds = [
        replace(
            REFUND,
            id=f"rfd_{part.payment.id}",
            payment_id=part.payment.id,
            basis=RefundBasis.PRINT_DROPPED,
            amount=part.amount,
            tax=0,
        )
        for part in dropped.parts
    ]
    served = min(24, 24 - dropped.issues + served_later)
    progress = {payment.id: IssueProgress(bought=24, served=served) for payment in case.payments}
    context = RefundContext(
        payment=case.payments[0],
        payments=case.payments,
        terms=[TERM],
        refunds=refunds,
        guarantee=SIXTY_DAYS,
        progress=progress,
    )

    rest = quote_unserved(context)
    whole_term = quote_guarantee(context, now=START + timedelta(days=1), zone=CHICAGO)

    if refunds:
        assert rest.amount == unserved_share(49_00, bought=24, unserved=24 - served)
    assert whole_term.amount == 49_00 + paid - dropped.amount, "the guarantee includes print"


def test_a_changed_quote_and_another_currency_are_refused() -> None:
    quote = quote_addition(CASE, None, now=START)

    accept(quote, Money(24_00, "usd"))
    with pytest.raises(QuoteChanged):
        accept(quote, Money(23_00, "usd"))
    with pytest.raises(OtherCurrency):
        accept(quote, Money(24_00, "eur"))


def test_our_own_invoice_adds_print_from_when_it_was_priced_and_opens_no_term() -> None:
    august, paid_at = datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 8, 2, tzinfo=UTC)
    line = replace(
        LINE,
        component="print",
        amount=14_00,
        added_tax=1_00,
        span=replace(LINE.span, starts_at=august),
        of_subscription=False,
        is_print_change=True,
    )
    invoice = replace(
        INVOICE,
        id="in_print",
        billing_reason="manual",
        total=15_00,
        lines=(line,),
        paid_at=paid_at,
        print_change="pch_1",
        payments=(StripeInvoicePayment(id="pi_print", amount=15_00, paid_at=paid_at),),
    )
    seen = replace(SEEN, invoices=(INVOICE, invoice))

    (term,) = terms_of(seen, CATALOGUE)
    (added,) = (one for one in payments_of(seen, CATALOGUE) if one.invoice_id == "in_print")
    by_hand = replace(invoice, lines=(replace(line, is_print_change=False),))
    (untouched,) = terms_of(replace(seen, invoices=(INVOICE, by_hand)), CATALOGUE)

    assert (term.print_edition, term.print_from, term.print_until) == (True, august, None)
    assert (added.print_from, added.print_until, added.print_amount) == (august, END, 15_00)
    assert not untouched.print_edition, "somebody else's one-off invoice item adds nothing"


def test_print_that_we_dropped_ends_there_and_not_in_the_next_term() -> None:
    dropped_at = datetime(2026, 8, 1, tzinfo=UTC)
    line = replace(LINE, component="print", amount=24_00)
    both = replace(INVOICE, total=73_00, tax=0, lines=(LINE, line))
    later = replace(LINE.span, starts_at=END, ends_at=END + timedelta(days=365))
    renewal = replace(
        both,
        id="in_2",
        billing_reason="subscription_cycle",
        period_start=END,
        lines=(replace(LINE, span=later), replace(line, span=later)),
    )
    seen = replace(SEEN, invoices=(both, renewal), print_dropped=(dropped_at,))

    first, second = terms_of(seen, CATALOGUE)

    assert (first.print_edition, first.print_until) == (True, dropped_at)
    assert (second.print_edition, second.print_until) == (True, None)


def test_the_part_of_a_payment_for_print_follows_from_the_lines() -> None:
    line = replace(LINE, component="print", amount=24_00, discount=4_00, added_tax=1_00)
    both = replace(
        INVOICE,
        total=74_00,
        lines=(replace(LINE, added_tax=4_00), line),
        payments=(
            StripeInvoicePayment(id="pi_1", amount=37_00, paid_at=START),
            StripeInvoicePayment(id="pi_2", amount=37_00, paid_at=START + timedelta(days=1)),
        ),
    )

    parts = [payment.print_amount for payment in payments_of(replace(SEEN, invoices=(both,)), CATALOGUE)]

    assert parts == [10_50, 10_50], "21.00 of 74.00, in two equal parts"


def test_the_share_that_print_earns_is_that_of_the_prices_or_of_the_catalogue() -> None:
    printed = replace(LINE, component="print", amount=24_00)
    seen = replace(SEEN, invoices=(replace(INVOICE, total=73_00, tax=0, lines=(LINE, printed)),))
    plan = CATALOGUE.plan("annual")
    percent = replace(CATALOGUE, plans={"annual": replace(plan, print_percent=Fraction(40))})

    assert [one.print_share for one in payments_of(seen, CATALOGUE)] == [Fraction(24, 73)]
    assert [one.print_share for one in payments_of(seen, percent)] == [Fraction(2, 5)]
