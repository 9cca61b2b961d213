"""
Refunds: each refunds one payment, on a basis that determines its effect on access. Amounts in minor units.

:mod:`app.domain.quotes` computes the amount of each basis.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from app.domain.disputes import StripeDisputeState
from app.domain.errors import Conflict, DomainError
from app.domain.money import Money, OtherCurrency
from app.domain.plans import Plan
from app.domain.subscriptions import Payment, Term


class RefundBasis(StrEnum):
    """The rule under which money goes back. It decides the amount and what happens to access."""

    # chosen by staff; the guarantee and the withdrawal also by the reader
    GUARANTEE = "guarantee"
    WITHDRAWAL = "withdrawal"
    UNSERVED_ISSUES = "unserved_issues"
    GOODWILL = "goodwill"
    # ordered by the service
    DUPLICATE = "duplicate"
    PRINT_DROPPED = "print_dropped"
    PAID_AFTER_END = "paid_after_end"
    FRAUD_WARNING = "fraud_warning"
    UNSPENT_CREDIT = "unspent_credit"
    # made in Stripe's Dashboard
    DASHBOARD = "dashboard"


class RefundStatus(StrEnum):
    """The status of a refund. The last five are Stripe's; ``processing`` lasts until Stripe has responded."""

    AWAITING_APPROVAL = "awaiting_approval"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    PROCESSING = "processing"
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


ENDING = frozenset(  # bases that end the term, and the subscription
    {
        RefundBasis.GUARANTEE,
        RefundBasis.WITHDRAWAL,
        RefundBasis.UNSERVED_ISSUES,
        RefundBasis.DUPLICATE,
        RefundBasis.PAID_AFTER_END,
        RefundBasis.FRAUD_WARNING,
    }
)
# Stripe responded: the money is promised, and access ends (rules.md, rule 3).
CONFIRMED = frozenset({RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION, RefundStatus.SUCCEEDED})
# A refund in the Dashboard that becomes known later than this no longer undoes what was paid since.
LATEST_NEWS = timedelta(days=7)  # Stripe delivers an event for three days, and reconciliation runs every night
IN_TRANSIT = frozenset(
    {RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION}
)  # promised, but not paid yet: checked again
# Promised money, money on its way, or reserved until a second person has decided: it counts against what is left.
COUNTED = CONFIRMED | {RefundStatus.PROCESSING, RefundStatus.AWAITING_APPROVAL}
REFUSED = frozenset({RefundStatus.REJECTED, RefundStatus.WITHDRAWN})
UNSENT = REFUSED | {RefundStatus.AWAITING_APPROVAL}  # Stripe was never asked for them
UNDONE = REFUSED | {RefundStatus.FAILED, RefundStatus.CANCELED}


class RefundRefused(Conflict):
    """This refund is not possible."""

    code = "refund_refused"
    title = "Refund not possible"


class GuaranteeExpired(RefundRefused):
    """The guarantee period has ended."""

    code = "outside_guarantee"
    title = "Guarantee period ended"


class NotTheFirstPayment(RefundRefused):
    """The guarantee covers only the first payment of a subscription, and this is a later one."""

    code = "not_the_first_payment"
    title = "Guarantee covers only the first payment"


class GuaranteeUsed(RefundRefused):
    """The reader has already used the guarantee, which applies only once."""

    code = "guarantee_used"
    title = "Guarantee already used"


class NoWithdrawalRight(RefundRefused):
    """The law of the reader's place gives no right of withdrawal. The publisher's guarantee may apply."""

    code = "no_withdrawal_right"
    title = "No right of withdrawal"


class WithdrawalPeriodOver(RefundRefused):
    """The withdrawal period has ended. The publisher's guarantee may apply."""

    code = "withdrawal_period_over"
    title = "Withdrawal period ended"


class NothingToRefund(RefundRefused):
    """This payment was already refunded in full."""

    code = "nothing_to_refund"
    title = "Nothing left to refund"


class NothingUnserved(RefundRefused):
    """All issues that this payment bought have been served."""

    code = "nothing_unserved"
    title = "No unserved issues"


class NoCalendar(RefundRefused):
    """The issue calendar is empty, so unserved issues can't be counted."""

    code = "no_calendar"
    title = "Issue calendar is empty"


class PaidByCredit(RefundRefused):
    """Nothing was charged: the invoice was free or paid from the customer balance."""

    code = "paid_by_credit"
    title = "No charge to refund"


class PaidOutsideStripe(RefundRefused):
    """The payment was made outside Stripe. Return it the same way, and record that with a credit note at Stripe."""

    code = "paid_outside_stripe"
    title = "Paid outside Stripe"


class PaymentDisputed(RefundRefused):
    """The reader's bank is disputing this payment, so it can't be refunded."""

    code = "payment_disputed"
    title = "Payment is disputed"


class RefundsMissing(RefundRefused):
    """Stripe has a refund of this payment that is missing here. It is being added; request a new quote in a moment."""

    code = "refunds_missing"
    title = "Refunds at Stripe are missing here"


class RefundTooLarge(Conflict):
    """The refund is larger than the refundable amount."""

    code = "refund_too_large"
    title = "Refund exceeds the refundable amount"


class RefundInProgress(Conflict):
    """Another refund of this payment is in progress."""

    code = "refund_in_progress"
    title = "Another refund is in progress"


class QuoteChanged(Conflict):
    """The amount has changed since the quote."""

    code = "quote_changed"
    title = "Quote has changed"


# The codes with which a quote says why a refund is not possible.
_REFUSALS: tuple[type[DomainError], ...] = (*RefundRefused.__subclasses__(), RefundInProgress, OtherCurrency)
QUOTE_REFUSALS = tuple(one.code for one in _REFUSALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A refund of one payment. Refunds that were requested together have the same ``group_id``, the ID of the first."""

    id: str
    group_id: str
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
    attention: str | None = None  # what staff must check
    decided_by: str | None = None
    decided_at: datetime | None = None
    created_at: datetime
    made_at: datetime | None = None  # when Stripe created it; None: not yet, or unknown
    recorded_at: datetime | None = None
    is_history: bool = False  # made before we followed the subscription: no policy acts on it
    request_hash: str | None = None  # of the API request, if it had a key

    @property
    def made(self) -> datetime:
        """When it was made: at Stripe, or else here."""
        return self.made_at or self.created_at

    @property
    def effective_at(self) -> datetime:
        """From when on payments count as made after it. A refund that became known late counts from then on."""
        known_late = self.recorded_at is not None and self.recorded_at - self.created_at > LATEST_NEWS
        return self.recorded_at if known_late and self.recorded_at is not None else self.created_at

    @property
    def money(self) -> Money:
        """The refunded amount with its currency."""
        return Money(self.amount, self.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeRefundState:
    """The current state of a refund at Stripe."""

    id: str  # re_…
    amount: int
    currency: str
    status: str
    ours: str | None  # our refund's ID, from its metadata
    basis: str | None = None  # of our refund, from its metadata
    group: str | None = None  # the ID of its group, from its metadata
    request_hash: str | None = None  # of the API request that it was made for, from its metadata
    failure_reason: str | None
    created_at: datetime

    def is_of(self, refund: Refund) -> bool:
        """
        Return whether this is the given refund of ours.

        Metadata alone proves nothing, because anyone with access to Stripe's Dashboard can set it. So the amount must match,
        and our refund must have been sent. One that was not sent, as far as we know, or has another ID, may have been sent
        before a backup was restored: then it was made for the same request.
        """
        if refund.stripe_refund_id is not None:
            return refund.stripe_refund_id == self.id
        if (self.amount, self.currency) != (refund.amount, refund.currency):
            return False
        if self.request_hash is not None and self.request_hash == refund.request_hash:
            return refund.status not in REFUSED
        return self.ours == refund.id and refund.status not in UNSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class StripePaymentState:
    """The refunds and disputes of a payment at Stripe, fetched just before a refund."""

    refundable: bool
    disputed: bool
    refunds: tuple[StripeRefundState, ...]
    disputes: tuple[StripeDisputeState, ...] = ()


def refundable_amount(payment: Payment, refunds: Sequence[Refund]) -> int:
    """Return the amount of a payment minus its credits and its confirmed, pending and reserved refunds."""
    refunded = sum(r.amount for r in refunds if r.payment_id == payment.id and r.status in COUNTED)
    return payment.amount - payment.credited - refunded


def tax_part(payment: Payment, amount: int, refunds: Sequence[Refund]) -> int:
    """
    Return the tax included in the next refund of ``amount``.

    The share is computed from the total returned so far, credits included. So the parts never add up to more than the
    payment's tax, and to exactly the tax when everything is refunded. The last part gets the remainder of the rounding.
    """
    if payment.amount <= 0:
        return 0
    counted = [r for r in refunds if r.payment_id == payment.id and r.status in COUNTED]
    back = payment.credited + sum(r.amount for r in counted) + amount
    credited_tax = payment.tax * payment.credited // payment.amount
    tax = payment.tax * back // payment.amount - credited_tax - sum(r.tax for r in counted)
    return min(max(tax, 0), amount)


def ending_basis(refund: Refund, paid: int, refunds: Iterable[Refund]) -> str | None:
    """
    Return the basis on which a confirmed refund ends the term and the subscription; None if it doesn't (rules.md, rule 4).

    A refund made in Stripe's Dashboard does if it completes the refund of everything that was paid for the term's invoice;
    otherwise it counts as goodwill. What counts is the order in which Stripe created the refunds, not the order in which we
    received them, so this is decided again with each refund.

    :param paid: what was paid for the invoice that opened the term without its credits, in minor units; 0 for a refund of
        any other payment.
    :param refunds: all refunds of the payments of that invoice.
    """
    if refund.basis in ENDING:
        return refund.basis
    return RefundBasis.DASHBOARD if full_dashboard_refund(paid, refunds) is not None else None


def full_dashboard_refund(paid: int, refunds: Iterable[Refund]) -> Refund | None:
    """Return the first Dashboard refund that, with all earlier refunds, covers everything that was paid."""
    confirmed = sorted((one for one in refunds if one.status in CONFIRMED), key=lambda one: one.made)
    for by_hand in confirmed:
        back = sum(one.amount for one in confirmed if one.made <= by_hand.made)
        if by_hand.basis == RefundBasis.DASHBOARD and back >= paid > 0:
            return by_hand
    return None


def any_failed_since(refunds: Iterable[Refund]) -> bool:
    """Return whether a confirmed refund of one of the payments failed later, and none of that payment is confirmed since."""
    by_payment: dict[str, list[Refund]] = {}
    for refund in refunds:
        by_payment.setdefault(refund.payment_id, []).append(refund)
    return any(_has_failed(of_payment) for of_payment in by_payment.values())


def _has_failed(refunds: Sequence[Refund]) -> bool:
    """Return whether a payment's confirmed refund failed later, and none is confirmed since."""
    failed = [one for one in refunds if one.status in {RefundStatus.FAILED, RefundStatus.CANCELED} and one.recorded_at]
    if not failed:
        return False
    newest = max(failed, key=lambda one: one.made)
    return not any(one.status in CONFIRMED and one.made >= newest.made for one in refunds)


def guarantee_used(refunds: Iterable[Refund], *, besides: Collection[str] = ()) -> bool:
    """Return whether a subscriber has used the guarantee, for other payments than ``besides``."""
    return any(
        refund.basis == RefundBasis.GUARANTEE and refund.status not in UNDONE and refund.payment_id not in besides
        for refund in refunds
    )


def is_guaranteed(plan: Plan, refunds: Iterable[Refund], *, on: date) -> bool:
    """Return whether the guarantee would cover a subscription that a reader with these refunds buys on a day."""
    return not (plan.guarantee.on(on).once and guarantee_used(refunds))


def ends_subscription(refund: Refund, term: Term | None, terms: Iterable[Term]) -> bool:
    """
    Return whether a refund that ends a term ends its subscription too: if no later term was paid by then (rules.md, rule 4).

    A renewal that was paid after the refund bought nothing. History ends no subscription.
    """
    if refund.is_history:
        return False
    later = later_terms(term, terms) if term is not None else []
    return not any((other.paid_at or other.starts_at) <= refund.effective_at for other in later)


def later_terms(term: Term, terms: Iterable[Term]) -> list[Term]:
    """Return the terms after a term that are not refunded."""
    return [
        other
        for other in terms
        if (other.ends_at, other.invoice_id) > (term.ends_at, term.invoice_id) and not other.is_refunded
    ]
