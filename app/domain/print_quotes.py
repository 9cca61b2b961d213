"""
Quotes for print within a term: what adding it costs, what dropping it returns, and why it is possible or not.

Print is priced by the remaining issues, from the next one whose label cut-off has not passed (rules.md, rule 10). Adding it
costs their share of the plan's plain price. Dropping it returns the unserved share of what was paid for it, to the payments
that paid. Amounts are in minor units.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.domain.errors import DomainError
from app.domain.issues import ScheduledTerm
from app.domain.money import Money, minimum, step
from app.domain.plans import PRINT, Plan, Price
from app.domain.print_changes import (
    PAYABLE_FOR,
    NoPaidTerm,
    NoPrintEdition,
    PrintChange,
    PrintChangeKind,
    PrintChangeRefused,
    PrintUnchanged,
)
from app.domain.refunds import (
    NoCalendar,
    PaidOutsideStripe,
    PaymentDisputed,
    QuoteChanged,
    Refund,
    RefundInProgress,
    RefundStatus,
    refundable_amount,
    tax_part,
)
from app.domain.subscriptions import (
    Payment,
    StripeSubscriptionState,
    Subscription,
    SubscriptionStatus,
    Term,
)

SECOND = timedelta(seconds=1)

# Otherwise the renewal could be billed without print while the reader confirms the payment for the rest of the term.
CLOSED_BEFORE_RENEWAL = 2 * PAYABLE_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedPart:
    """The refund of one payment that had paid for print."""

    payment: Payment
    amount: int
    tax: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintQuote:
    """What a change would cost or return, or why it is not possible."""

    kind: PrintChangeKind
    currency: str
    issues: int = 0
    first_issue: int | None = None
    price: int = 0  # of an addition, before tax
    tax: int = 0
    total: int = 0
    due: int = 0  # what is charged now
    parts: tuple[DroppedPart, ...] = ()  # of a removal
    to_balance: Mapping[str, int] = field(default_factory=dict)  # of a removal, by invoice
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    refusal: DomainError | None = None

    @property
    def amount(self) -> int:
        """The amount charged or refunded."""
        return self.due if self.kind == PrintChangeKind.ADD else self.total

    @property
    def from_balance(self) -> int:
        """What the customer's balance pays; negative: a debt that is charged too. A small rest is paid by debt."""
        return self.total - self.due if self.kind == PrintChangeKind.ADD else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintCase:
    """Everything that a quote depends on."""

    subscription: Subscription
    plan: Plan
    term: Term | None  # the running one
    run: ScheduledTerm | None  # its place in the calendar
    payments: Sequence[Payment] = ()  # of that term
    refunds: Sequence[Refund] = ()  # of the subscriber
    paid_by_balance: Sequence["BalancePayment"] = ()
    unrefundable: Collection[str] = ()  # IDs of disputed payments
    dropped_at: datetime | None = None  # when print was last dropped
    is_scheduled: bool = False  # whether a schedule at Stripe manages it
    is_unbilled: bool = False  # whether print joined after the running term had been billed without it


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What Stripe would bill for an addition. Amounts in minor units."""

    total: int
    tax: int
    credit: int  # the customer's; negative is debt


def remaining_issues(run: ScheduledTerm, at: datetime, *, until: datetime | None = None) -> tuple[int, int]:
    """
    Return where the printed copies begin that a term owes from a time on, and how many there are.

    They begin with the next issue whose label cut-off has not passed. A double issue counts as the plan says.

    :param until: when print ends within the term; None: with it.
    """
    if run.ended_at is not None and run.ended_at <= at:
        return run.ranges[-1][1], 0
    low = run.calendar.begin(at, doubles=run.doubles, print_edition=True)
    high = run.ranges[-1][1]
    if until is not None and until < run.term.ends_at:
        high = min(high, run.calendar.begin(until, doubles=run.doubles, print_edition=True))
    owed = [(max(start, low), min(end, high)) for start, end in run.ranges]
    return max(low, run.ranges[0][0]), sum(max(0, end - start) for start, end in owed)


def share_of_price(price: Money, issues: int, *, of: int) -> int:
    """Return the price of some of a plan's issues, rounded once, in the reader's favor."""
    by = step(price.currency)
    return price.amount * issues // of // by * by


def unserved_share(paid: int, *, bought: int, unserved: int) -> int:
    """Return what is returned of an amount that paid for issues, rounded once, in the reader's favor."""
    if bought <= 0:
        return 0
    return paid - paid * (bought - min(unserved, bought)) // bought


def amount_due(total: int, credit: int, currency: str) -> int:
    """Return what is charged for an invoice now. What is below the smallest charge is carried over by the balance."""
    due = total - credit
    return due if total > 0 and due >= minimum(currency) else 0


def kind_of(*, enabled: bool) -> PrintChangeKind:
    """Return the change that a request is about."""
    return PrintChangeKind.ADD if enabled else PrintChangeKind.DROP


def has_print(case: PrintCase) -> bool:
    """
    Return whether print is included, in the rest of the running term or from the next one on.

    Print that joined after the running term had been billed without it can still be added to that term.
    """
    runs = case.term is not None and case.term.print_edition and case.term.print_until is None
    return runs or (case.subscription.print_edition and not case.is_unbilled)


def joined_late(latest: PrintChange | None, term: Term) -> bool:
    """Return whether print, of which a term was billed without, was added for a term before it, and paid too late."""
    return latest is not None and latest.kind == PrintChangeKind.ADD and latest.ends_at <= term.starts_at


def quote_addition(case: PrintCase, bill: Bill | None, *, now: datetime) -> PrintQuote:
    """
    Return the quote for print in the rest of the running term.

    :param bill: what Stripe would bill for :func:`price_of_addition`; None: it has not been asked.
    """
    currency = case.subscription.currency
    refusal = _refusal_of_addition(case, now=now)
    if refusal is not None or case.term is None or case.run is None:
        return PrintQuote(kind=PrintChangeKind.ADD, currency=currency, refusal=refusal or NoPaidTerm())
    starts_at = addition_starts_at(case, now=now)
    first, issues = remaining_issues(case.run, starts_at)
    price = price_of_addition(case, now=now)
    bill = bill or Bill(total=price, tax=0, credit=0)
    return PrintQuote(
        kind=PrintChangeKind.ADD,
        currency=currency,
        issues=issues,
        first_issue=_number(case.run, first) if issues else None,
        price=price,
        tax=bill.tax,
        total=bill.total,
        due=amount_due(bill.total, bill.credit, currency),
        starts_at=starts_at,
        ends_at=case.term.ends_at,
    )


def price_of_addition(case: PrintCase, *, now: datetime) -> int:
    """Return the price of the remaining issues, before tax."""
    assert case.run is not None
    _, issues = remaining_issues(case.run, addition_starts_at(case, now=now))
    return share_of_price(_price(case.plan).price, issues, of=case.plan.issues)


def addition_starts_at(case: PrintCase, *, now: datetime) -> datetime:
    """
    Return from when on an addition counts: now, in whole seconds as at Stripe, after the start of the term, and not before
    print was dropped.
    """
    begun = [case.term.starts_at.replace(microsecond=0) + SECOND] if case.term is not None else []
    dropped = [case.dropped_at] if case.dropped_at is not None else []
    return max(now.replace(microsecond=0), *begun, *dropped)


def quote_removal(case: PrintCase, *, now: datetime) -> PrintQuote:
    """Return the quote for dropping print: the unserved share of what was paid for it in the running term."""
    currency = case.subscription.currency
    refusal = _refusal(case, now=now)
    if refusal is None and not (case.subscription.print_edition or has_print(case)):
        refusal = PrintUnchanged("The subscription doesn't include the print edition")
    if refusal is not None or case.term is None or case.run is None:
        return PrintQuote(kind=PrintChangeKind.DROP, currency=currency, refusal=refusal or NoPaidTerm())
    begun = case.term.print_from or case.term.starts_at
    starts_at = max(now.replace(microsecond=0), begun.replace(microsecond=0) + SECOND)
    first, issues = remaining_issues(case.run, starts_at, until=case.term.print_until)
    parts = dropped_parts(case, starts_at)
    return PrintQuote(
        kind=PrintChangeKind.DROP,
        currency=currency,
        issues=issues,
        first_issue=_number(case.run, first) if issues else None,
        tax=sum(part.tax for part in parts),
        total=sum(part.amount for part in parts),
        parts=parts,
        to_balance=balance_parts(case, starts_at),
        starts_at=starts_at,
        ends_at=case.term.ends_at,
        refusal=refund_refusal(case, parts),
    )


def accept(quote: PrintQuote, expected: Money) -> None:
    """
    Check that a quoted change is possible and still has the expected amount.

    :raises PrintChangeRefused: it is not possible; the subclass says why. Raises other refusals of a refund, too.
    :raises QuoteChanged: the amount has changed.
    :raises OtherCurrency: the expected amount is in another currency.
    """
    Money(quote.amount, quote.currency).same_as(expected)
    if quote.refusal is not None:
        raise quote.refusal
    if expected.amount != quote.amount:
        raise QuoteChanged(
            f"The amount is now {quote.amount}, not {expected.amount}", expected=expected.amount, amount=quote.amount
        )


def _refusal_of_addition(case: PrintCase, *, now: datetime) -> DomainError | None:
    if PRINT not in case.plan.prices:
        return NoPrintEdition(f"The plan {case.plan.code!r} has no print edition", plan=case.plan.code)
    if (refusal := _refusal(case, now=now)) is not None:
        return refusal
    if has_print(case):
        return PrintUnchanged("The subscription already includes the print edition")
    if case.term is not None and case.term.ends_at - now <= CLOSED_BEFORE_RENEWAL:
        return PrintChangeRefused("The subscription is about to renew. Add the print edition after that")
    currency = case.subscription.currency
    if _price(case.plan).price.currency != currency:
        return PrintChangeRefused(f"The plan has no print edition in {currency.upper()}")
    return None


def _refusal(case: PrintCase, *, now: datetime) -> DomainError | None:
    """Return why no change is possible; None if there is no reason."""
    held, term = case.subscription, case.term
    is_paid = term is not None and term.starts_at <= now < term.ends_at and not term.is_refunded
    is_active = held.is_live and held.status == SubscriptionStatus.ACTIVE and held.pause is None
    if case.is_scheduled:
        return NoPaidTerm("A schedule at Stripe manages the subscription, so its print edition can't be changed here")
    if not is_paid or not is_active:
        return NoPaidTerm()
    if term is not None and term.suspended_as is not None:
        return PaymentDisputed()
    return NoCalendar() if case.run is None else None


def refund_refusal(case: PrintCase, parts: Sequence[DroppedPart]) -> DomainError | None:
    """Return why the payments can't be refunded; None if there is no reason."""
    ids = {part.payment.id for part in parts}
    if any(one.payment_id in ids and one.status == RefundStatus.PROCESSING for one in case.refunds):
        return RefundInProgress()
    if ids & set(case.unrefundable):
        return PaymentDisputed()
    if any(part.payment.is_outside_stripe for part in parts):
        return PaidOutsideStripe()
    return None


def dropped_parts(case: PrintCase, at: datetime) -> tuple[DroppedPart, ...]:
    """Return the refund of each payment for print."""
    found = []
    for payment in case.payments:
        bought = _Bought(
            invoice_id=payment.invoice_id,
            amount=payment.print_amount,
            since=payment.print_from,
            until=payment.print_until,
            paid_at=payment.paid_at,
        )
        value = min(_unserved(case, bought, at), refundable_amount(payment, case.refunds))
        value -= value % step(payment.currency)
        if value > 0:
            found.append(DroppedPart(payment=payment, amount=value, tax=tax_part(payment, value, case.refunds)))
    return tuple(found)


def balance_parts(case: PrintCase, at: datetime) -> dict[str, int]:
    """Return what goes back to the customer's balance, which had paid for print, by invoice."""
    found = {}
    for paid in case.paid_by_balance:
        value = min(_unserved(case, paid.bought, at), paid.left)
        if value > 0:
            found[paid.bought.invoice_id] = value
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bought:
    """What was paid for print in the running term, and for which time."""

    invoice_id: str
    amount: int
    since: datetime | None  # None: the whole term
    until: datetime | None
    paid_at: datetime


def _unserved(case: PrintCase, bought: _Bought, at: datetime) -> int:
    """Return the unserved share. What was paid before print was dropped earlier is settled."""
    assert case.run is not None
    is_settled = case.dropped_at is not None and (bought.since or bought.paid_at) < case.dropped_at
    if bought.amount <= 0 or is_settled:
        return 0
    since = bought.since or case.run.term.starts_at
    if bought.invoice_id == case.run.term.invoice_id:
        issues = case.run.ledger(at).sold
    else:
        _, issues = remaining_issues(case.run, since, until=bought.until)
    _, unserved = remaining_issues(case.run, max(at, since), until=bought.until)
    return unserved_share(bought.amount, bought=issues, unserved=unserved)


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancePayment:
    """What the customer's balance paid for print on an invoice, and what of the whole can still go back to it."""

    bought: _Bought
    left: int


def payments_by_balance(seen: StripeSubscriptionState, term: Term) -> list[BalancePayment]:
    """Return what the customer's balance paid for print in a term."""
    found = []
    for invoice in seen.invoices:
        effect = invoice.effect
        printed = effect.print_added[0] if effect.span is None and effect.print_added else None
        is_within = printed is not None and term.starts_at <= printed.starts_at < term.ends_at
        if invoice.paid_by_balance <= 0 or invoice.paid_at is None or invoice.total <= 0:
            continue
        if invoice.id != term.invoice_id and not is_within:
            continue
        part = min(max(effect.print_total, 0), invoice.total)
        bought = _Bought(
            invoice_id=invoice.id,
            amount=invoice.paid_by_balance * part // invoice.total,
            since=printed.starts_at if printed is not None else None,
            until=printed.ends_at if printed is not None else None,
            paid_at=invoice.paid_at,
        )
        found.append(BalancePayment(bought=bought, left=invoice.paid_by_balance - invoice.returned_to_balance))
    return found


def _price(plan: Plan) -> Price:
    return plan.prices[PRINT]


def _number(run: ScheduledTerm, position: int) -> int | None:
    index = run.calendar.index_of_copy(position + 1, doubles=run.doubles)
    return run.calendar.issues[index].number if index is not None else None
