"""
Refund quotes: the amount and the effects of a refund on each basis, and why it is allowed or not.

Amounts are in minor units, tax included. A quote is a pure function of a :class:`RefundContext`. It has one part for each
payment of the term (print added later is paid separately); each part becomes a refund.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from app.domain.entitlements import OtherAccess
from app.domain.errors import DomainError
from app.domain.guarantee import Guarantee, guaranteed_until
from app.domain.money import Money, OtherCurrency, step
from app.domain.places import UNKNOWN_PLACE, Place
from app.domain.progress import IssueProgress, term_of
from app.domain.refund_effects import describe
from app.domain.refunds import (
    ENDING,
    GuaranteeExpired,
    GuaranteeUsed,
    NoCalendar,
    NothingToRefund,
    NothingUnserved,
    NotTheFirstPayment,
    NoWithdrawalRight,
    PaidByCredit,
    PaidOutsideStripe,
    PaymentDisputed,
    QuoteChanged,
    Refund,
    RefundBasis,
    RefundInProgress,
    RefundStatus,
    RefundTooLarge,
    WithdrawalPeriodOver,
    guarantee_used,
    later_terms,
    refundable_amount,
    tax_part,
)
from app.domain.subscriptions import Payment, Subscription, Term
from app.domain.unserved_values import unserved_values
from app.domain.withdrawals import Contract, WithdrawalRight, right_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundContext:
    """Everything that a quote depends on."""

    payment: Payment
    payments: Sequence[Payment]  # every payment of the same subscription
    terms: Sequence[Term]  # every term of it
    refunds: Sequence[Refund]  # every refund of the subscriber's
    guarantee: Guarantee
    progress: Mapping[str, IssueProgress] = field(default_factory=dict)  # by payment
    disputed: frozenset[str] = frozenset()  # IDs of disputed payments
    is_over: bool = False  # whether the subscription has ended, and gives no access anymore
    other_access: OtherAccess | None = None  # what stays open if the subscription ends
    contract: Contract | None = None  # what the period of withdrawal counts from
    place: Place = UNKNOWN_PLACE  # where the reader lives


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotePart:
    """The refund of one payment."""

    payment: Payment
    amount: int
    tax: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The refund on one basis, or the reason for refusal. For goodwill, the maximum amount."""

    basis: str
    currency: str
    parts: tuple[QuotePart, ...]
    refusal: DomainError | None
    until: datetime | None = None  # when the basis expires
    prints: bool = False  # whether the term includes printed copies
    is_newest: bool = True  # whether no later term was paid; otherwise the subscription continues
    progress: IssueProgress | None = None
    is_over: bool = False  # whether the subscription has ended already, and gives no access anymore
    other_access: OtherAccess | None = None  # what stays open when the refund ends the subscription

    @property
    def amount(self) -> int:
        """The sum of all parts."""
        return sum(part.amount for part in self.parts)

    @property
    def tax(self) -> int:
        """The tax included in the amount."""
        return sum(part.tax for part in self.parts)

    @property
    def money(self) -> Money:
        """The amount with its currency."""
        return Money(self.amount, self.currency)

    @property
    def allowed(self) -> bool:
        """Whether the refund is possible."""
        return self.refusal is None

    @property
    def ends_access(self) -> bool:
        """Whether the refund ends the subscription and the access that it gives."""
        return self.basis in ENDING and self.is_newest and not self.is_over

    @property
    def stops_print(self) -> bool:
        """Whether the refund stops printed copies."""
        return self.ends_access and self.prints

    @property
    def effect(self) -> str:
        """Describe the effect of the refund for people."""
        ends = self.ends_access if self.is_newest or self.basis not in ENDING else None
        return describe(is_over=self.is_over, ends=ends, prints=self.prints, other=self.other_access)


def quotes(case: RefundContext, *, now: datetime, zone: ZoneInfo) -> list[Quote]:
    """Return a quote for each basis that a person may choose."""
    return [
        quote_guarantee(case, now=now, zone=zone),
        quote_unserved(case),
        quote_goodwill(case),
        quote_withdrawal(case, now=now, zone=zone),
    ]


def quote(case: RefundContext, basis: str, *, now: datetime, zone: ZoneInfo) -> Quote:
    """Return the quote for one of these bases."""
    return next(found for found in quotes(case, now=now, zone=zone) if found.basis == basis)


def payments_of_term(payment: Payment, payments: Sequence[Payment], terms: Sequence[Term]) -> list[Payment]:
    """Return all payments above zero of the same term, starting with the given one."""
    key = _term_key(payment, terms)
    same = [p for p in payments if p.amount > 0 and _term_key(p, terms) == key]
    return sorted(same, key=lambda p: (p.id != payment.id, p.paid_at, p.id))


def _term_key(payment: Payment, terms: Sequence[Term]) -> str:
    term = term_of(payment, terms)
    return term.invoice_id if term is not None else payment.invoice_id


def quote_guarantee(case: RefundContext, *, now: datetime, zone: ZoneInfo) -> Quote:
    """
    Return the quote for the money-back guarantee: the refundable amount of every payment of the term (rules.md, rule 5).

    The guarantee starts with the first payment above zero, with the terms of that day. Mailed copies don't reduce it, nor
    does a goodwill refund that is awaiting approval, because the guarantee replaces it.
    """
    of_term = payments_of_term(case.payment, case.payments, case.terms)
    firm = [refund for refund in case.refunds if refund.status != RefundStatus.AWAITING_APPROVAL]
    parts = _parts([(p, refundable_amount(p, firm)) for p in of_term], firm)
    paid = [p for p in case.payments if p.amount > 0]
    first = min(paid, key=lambda p: (p.paid_at, p.id), default=case.payment)
    is_first = _term_key(first, case.terms) == _term_key(case.payment, case.terms)
    since = first if is_first else min(of_term, key=lambda p: (p.paid_at, p.id), default=case.payment)
    policy = case.guarantee.on(since.paid_at.astimezone(zone).date())
    until = guaranteed_until(since.paid_at, policy.days, zone)
    refusal = _blocking_error(case, of_term)
    if refusal is None and policy.once and guarantee_used(case.refunds, besides={p.id for p in of_term}):
        refusal = GuaranteeUsed()
    if refusal is None and not is_first and not policy.renewals:
        refusal = NotTheFirstPayment()
    if refusal is None and not parts:
        refusal = NothingToRefund()
    is_repeat = now >= until and _failed_in_time(case, RefundBasis.GUARANTEE, of_term, until)
    if refusal is None and now >= until and not is_repeat:
        refusal = GuaranteeExpired(f"The guarantee ended at {until.isoformat()}", until=until.isoformat())
    return _quote(case, RefundBasis.GUARANTEE, parts, refusal, until=None if is_repeat else until)


def guarantee_quote(case: RefundContext, *, now: datetime, zone: ZoneInfo) -> tuple[str, Quote]:
    """
    Return the payment and the quote of a reader's guarantee: for the newest term that it covers, else for the first term.

    The guarantee covers whole terms. The returned payment is the first of its term.
    """
    found: dict[str, tuple[Payment, Quote]] = {}
    for payment in sorted((p for p in case.payments if p.amount > 0), key=lambda p: (p.paid_at, p.id)):
        first = min(payments_of_term(payment, case.payments, case.terms), key=lambda p: (p.paid_at, p.id))
        found[first.id] = first, quote_guarantee(replace(case, payment=first), now=now, zone=zone)
    covered = [one for one in found.values() if one[1].allowed]
    payment, quote = covered[-1] if covered else next(iter(found.values()))
    return payment.id, quote


def quote_withdrawal(case: RefundContext, *, now: datetime, zone: ZoneInfo) -> Quote:
    """
    Return the quote for the right of withdrawal: the refundable amount of every payment of the contract.

    Withdrawing undoes the whole contract, whichever of its payments is asked about. Mailed copies and what was read don't
    reduce it. A refund that is awaiting approval doesn't either, because the withdrawal replaces it.
    """
    paid = sorted((p for p in case.payments if p.amount > 0), key=lambda p: (p.id != case.payment.id, p.paid_at, p.id))
    firm = [refund for refund in case.refunds if refund.status != RefundStatus.AWAITING_APPROVAL]
    parts = _parts([(p, refundable_amount(p, firm)) for p in paid], firm)
    right = withdrawal_right(case, zone=zone)
    until = right.until if right is not None else None
    is_repeat = until is not None and now >= until and _failed_in_time(case, RefundBasis.WITHDRAWAL, paid, until)
    refusal: DomainError | None = None
    if right is None:
        refusal = NoWithdrawalRight()
    elif until is not None and now >= until and not is_repeat:
        refusal = WithdrawalPeriodOver(f"The withdrawal period ended at {until.isoformat()}", until=until.isoformat())
    refusal = refusal or _blocking_error(case, paid) or (None if parts else NothingToRefund())
    quoted = _quote(case, RefundBasis.WITHDRAWAL, parts, refusal, until=None if is_repeat else until)
    return replace(quoted, is_newest=True)


def withdrawal_right(case: RefundContext, *, zone: ZoneInfo) -> WithdrawalRight | None:
    """Return the right of withdrawal that a reader has or had; None: their place gives none."""
    return right_of(case.place, case.contract, zone=zone) if case.contract is not None else None


def quote_unserved(case: RefundContext) -> Quote:
    """
    Return the quote for the unserved issues of the term (rules.md, rule 6).

    The amount is what was paid, minus the value of the served issues, minus earlier refunds. All payments of the term are
    computed together and rounded once, in the reader's favor. Each payment counts for the issues that it bought.
    """
    of_term = payments_of_term(case.payment, case.payments, case.terms)
    values = unserved_values(of_term, case.progress, case.refunds)
    parts = _parts(list(zip(of_term, values, strict=True)), case.refunds)
    bought = sum(found.bought for found in _progress_list(case, of_term))
    served = sum(found.served for found in _progress_list(case, of_term))
    refusal = _blocking_error(case, of_term)
    if refusal is None and not parts:
        unknown = not case.progress
        refusal = NoCalendar() if unknown else NothingUnserved() if served >= bought else NothingToRefund()
    own = case.progress.get(case.payment.id)
    return _quote(case, RefundBasis.UNSERVED_ISSUES, parts, refusal, progress=own)


def quote_goodwill(case: RefundContext) -> Quote:
    """Return the quote for a goodwill refund of one payment: the maximum amount."""
    parts = _parts([(case.payment, refundable_amount(case.payment, case.refunds))], case.refunds)
    refusal = _blocking_error(case, [case.payment])
    if refusal is None and not parts:
        refusal = NothingToRefund()
    return _quote(case, RefundBasis.GOODWILL, parts, refusal)


def _quote(
    case: RefundContext,
    basis: str,
    parts: tuple[QuotePart, ...],
    refusal: DomainError | None,
    *,
    until: datetime | None = None,
    progress: IssueProgress | None = None,
) -> Quote:
    term = term_of(case.payment, case.terms)
    return Quote(
        basis=basis,
        currency=case.payment.currency,
        parts=parts,
        refusal=refusal,
        until=until,
        prints=bool(term and term.print_edition)
        or any(p.print_from for p in payments_of_term(case.payment, case.payments, case.terms)),
        progress=progress,
        is_newest=term is None or not later_terms(term, case.terms),
        is_over=case.is_over,
        other_access=case.other_access,
    )


def uncharged_quote(subscription: Subscription, other_access: OtherAccess | None) -> Quote:
    """Return the guarantee's quote for a subscription for which nothing was charged."""
    return Quote(
        basis=RefundBasis.GUARANTEE,
        currency=subscription.currency,
        parts=(),
        refusal=PaidByCredit(),
        prints=subscription.print_edition,
        is_over=subscription.over_at is not None,
        other_access=other_access,
    )


def _parts(values: Sequence[tuple[Payment, int]], refunds: Sequence[Refund]) -> tuple[QuotePart, ...]:
    """Return the refund of each payment. What is left of one may not be a multiple of the currency's step."""
    payable = [(payment, amount - amount % step(payment.currency)) for payment, amount in values]
    return tuple(
        QuotePart(payment=payment, amount=amount, tax=tax_part(payment, amount, refunds))
        for payment, amount in payable
        if amount > 0
    )


def _blocking_error(case: RefundContext, of_term: Sequence[Payment]) -> DomainError | None:
    """Return the reason why none of these payments can be refunded; None if there is none."""
    if case.payment.amount <= 0:
        return PaidByCredit()
    ids = {payment.id for payment in of_term}
    if any(r.payment_id in ids and r.status == RefundStatus.PROCESSING for r in case.refunds):
        return RefundInProgress()
    if ids & case.disputed:
        return PaymentDisputed()
    if any(payment.is_outside_stripe and refundable_amount(payment, case.refunds) > 0 for payment in of_term):
        return PaidOutsideStripe()
    if any(payment.currency != case.payment.currency for payment in of_term):
        return OtherCurrency("The term was paid in several currencies. Refund each payment separately.")
    return None


def _failed_in_time(case: RefundContext, basis: str, paid: Sequence[Payment], until: datetime) -> bool:
    """Return whether a refund on a basis was requested in time but failed at the bank: it can be repeated later."""
    ids = {payment.id for payment in paid}
    return any(
        r.basis == basis
        and r.status in {RefundStatus.FAILED, RefundStatus.CANCELED}
        and r.recorded_at is not None
        and r.created_at < until
        for r in case.refunds
        if r.payment_id in ids
    )


def _progress_list(case: RefundContext, of_term: Sequence[Payment]) -> list[IssueProgress]:
    return [case.progress[payment.id] for payment in of_term if payment.id in case.progress]


def accept(
    quote: Quote, expected: Money, *, amount: Money | None = None, refunds: Sequence[Refund] = ()
) -> tuple[QuotePart, ...]:
    """
    Check that a quoted refund is possible and still has the expected amount, and return the refund of each payment.

    :param amount: the goodwill amount. ``expected`` is then that amount or the quoted maximum.
    :param refunds: earlier refunds, to compute the tax.
    :raises RefundRefused: the basis does not apply; the subclass says why.
    :raises RefundInProgress: another refund is in progress.
    :raises RefundTooLarge: the amount exceeds the refundable amount.
    :raises QuoteChanged: the refundable amount has changed.
    :raises OtherCurrency: an amount is in another currency.
    :raises InvalidAmount: the currency has no such amount.
    """
    for one in (expected, amount):
        if one is not None:
            quote.money.same_as(one)
    if quote.refusal is not None:
        raise quote.refusal
    if amount is not None:
        amount.check_step()
    if amount is not None and amount.amount > quote.amount:
        raise RefundTooLarge(
            f"Only {quote.amount} of the requested {amount.amount} can be refunded",
            asked=amount.amount,
            left=quote.amount,
        )
    worth = {quote.amount} if amount is None else {quote.amount, amount.amount}
    if expected.amount not in worth:
        raise QuoteChanged(
            f"The refundable amount is now {quote.amount}, not {expected.amount}",
            expected=expected.amount,
            amount=quote.amount,
        )
    if amount is None:
        return quote.parts
    (whole,) = quote.parts
    return _parts([(whole.payment, amount.amount)], refunds)
