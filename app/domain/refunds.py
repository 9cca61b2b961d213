"""
What may be given back, on which basis, and what that does to access. Amounts in minor units, tax included.

The main path knows one basis, the money-back guarantee. A quote says for each basis whether it is allowed
and, in a code and a sentence, why not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.domain.disputes import FRAUD_WARNING, SeenDispute
from app.domain.errors import DomainError
from app.domain.money import Money
from app.domain.subscriptions import Payment, split

GUARANTEE = "guarantee"
DASHBOARD = "dashboard"  # made by hand at Stripe, and told to us by a webhook

PROCESSING, PENDING, REQUIRES_ACTION = "processing", "pending", "requires_action"
SUCCEEDED, FAILED, CANCELED = "succeeded", "failed", "canceled"
# Stripe answered: the money is promised, and access ends (product.md, rule 3).
CONFIRMED = frozenset({PENDING, REQUIRES_ACTION, SUCCEEDED})
# Promised money, or money on its way: it counts against what is left of the payment.
COUNTED = CONFIRMED | {PROCESSING}


class RefundRefused(DomainError):
    """This refund is not possible."""

    code = "refund_refused"


class OutsideGuarantee(RefundRefused):
    """The guarantee's days are over."""

    code = "outside_guarantee"


class NotTheFirstPayment(RefundRefused):
    """The guarantee covers the first payment of a subscription, and this is a later one."""

    code = "not_the_first_payment"


class GuaranteeUsed(RefundRefused):
    """The guarantee is given once to each reader, and was used before."""

    code = "guarantee_used"


class NothingToRefund(RefundRefused):
    """Nothing is left of this payment: it was given back already."""

    code = "nothing_to_refund"


class PaymentDisputed(RefundRefused):
    """The reader's bank has taken this payment back for a dispute, so it cannot be refunded as well."""

    code = "payment_disputed"


class RefundInProgress(DomainError):
    """Another refund of this payment is on its way."""

    code = "refund_in_progress"


class QuoteChanged(DomainError):
    """The refund is no longer worth what was quoted."""

    code = "quote_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One action on one payment."""

    id: str
    payment_id: str
    subscriber_id: str
    basis: str
    amount: int
    tax: int
    currency: str
    reason: str
    note: str | None
    requested_by: str
    status: str
    stripe_refund_id: str | None = None
    credit_note_id: str | None = None
    failure_reason: str | None = None
    created_at: datetime
    recorded_at: datetime | None = None

    @property
    def money(self) -> Money:
        """What is given back."""
        return Money(self.amount, self.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRefund:
    """A refund as Stripe holds it now."""

    id: str  # re_…
    amount: int
    currency: str
    status: str
    ours: str | None  # our refund's id, from its metadata
    failure_reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPaymentState:
    """What Stripe says of a payment's way back, re-read just before money moves."""

    refundable: bool
    disputed: bool
    refunds: tuple[SeenRefund, ...]
    disputes: tuple[SeenDispute, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that a quote depends on."""

    payment: Payment
    payments: Sequence[Payment]  # every payment of the same subscription
    refunds: Sequence[Refund]  # every refund of the subscriber's
    guarantee_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a refund on one basis would pay, and why, or why it would not."""

    basis: str
    amount: int
    tax: int
    currency: str
    refusal: RefundRefused | None
    until: datetime | None  # until when the basis holds
    ends_access: bool

    @property
    def money(self) -> Money:
        """What would be given back."""
        return Money(self.amount, self.currency)

    @property
    def allowed(self) -> bool:
        """Whether it may be paid."""
        return self.refusal is None


def guaranteed_until(paid_at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """
    Return the end (excluded) of the guarantee: midnight after the ``days``-th day, on the publisher's calendar.

    Days are those of the wall calendar, so a change of clocks neither adds nor takes an hour from the last one.
    """
    last_day = paid_at.astimezone(zone).date() + timedelta(days=days)
    return datetime.combine(last_day + timedelta(days=1), time(), tzinfo=zone)


def left_of(payment: Payment, refunds: Sequence[Refund]) -> int:
    """Return what is left of a payment once every promised refund of it is taken off."""
    given = sum(r.amount for r in refunds if r.payment_id == payment.id and r.status in COUNTED)
    return payment.amount - given


def quote_guarantee(case: Case, *, now: datetime, zone: ZoneInfo) -> Quote:
    """
    Return what the money-back guarantee is worth for a payment: all that is left of it, tax included.

    It counts from the first payment above zero of the subscription and holds once for each subscriber
    (product.md, rule 5). Mailed copies do not lessen it.
    """
    payment = case.payment
    paid = [p for p in case.payments if p.amount > 0]
    first = min(paid, key=lambda p: (p.paid_at, p.id), default=payment)
    until = guaranteed_until(first.paid_at, case.guarantee_days, zone)
    left = left_of(payment, case.refunds)
    return Quote(
        basis=GUARANTEE,
        amount=max(left, 0),
        tax=tax_part(payment, max(left, 0)),
        currency=payment.currency,
        refusal=_refusal(case, first, left, until, now),
        until=until,
        ends_access=True,
    )


def _refusal(case: Case, first: Payment, left: int, until: datetime, now: datetime) -> RefundRefused | None:
    ours = {p.id for p in case.payments if p.invoice_id == first.invoice_id}
    used = any(
        r.basis == GUARANTEE and r.status not in {FAILED, CANCELED} and r.payment_id not in ours for r in case.refunds
    )
    if used:
        return GuaranteeUsed()
    if case.payment.invoice_id != first.invoice_id:
        return NotTheFirstPayment()
    if left <= 0:
        return NothingToRefund()
    if now >= until and not _was_promised(case, until):
        return OutsideGuarantee(f"the guarantee ended at {until.isoformat()}", until=until.isoformat())
    return None


def _was_promised(case: Case, until: datetime) -> bool:
    """Tell whether it was given in time and came to nothing at the bank: a promise is kept, however late."""
    return any(
        r.basis == GUARANTEE and r.status in {FAILED, CANCELED} and r.recorded_at is not None and r.created_at < until
        for r in case.refunds
        if r.payment_id == case.payment.id
    )


def tax_part(payment: Payment, amount: int) -> int:
    """Return the tax within ``amount``; a whole refund gives back all the tax that was charged."""
    if payment.amount <= 0:
        return 0
    return split(payment.tax, [payment.amount - amount, amount])[-1] if amount else 0


def accept(quote: Quote, expected: Money) -> None:
    """
    Let a quoted refund through, if it may be paid and is still worth what the asker was shown.

    :raises RefundRefused: the basis does not hold; the subclass says why.
    :raises QuoteChanged: it is worth something else now.
    :raises OtherCurrency: the amount shown was of another currency.
    """
    if quote.refusal is not None:
        raise quote.refusal
    if not quote.money.same_as(expected):
        raise QuoteChanged(
            f"the refund is worth {quote.amount} now, and {expected.amount} was expected",
            expected=expected.amount,
            amount=quote.amount,
        )


def ends_term(refund_basis: str, *, whole: bool) -> bool:
    """
    Tell whether a confirmed refund ends the term and the subscription (product.md, rule 4).

    One made in Stripe's Dashboard does when it is whole; in part it counts as goodwill.
    """
    return whole if refund_basis == DASHBOARD else refund_basis in {GUARANTEE, FRAUD_WARNING}
