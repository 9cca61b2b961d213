"""
The end of a subscription: which invoices to void and which payments to refund (rules.md, rules 4 and 8).

After a cancellation, Stripe's open invoices can still be paid by their link, and pending items are billed later; see
docs.stripe.com/billing/subscriptions/cancel. Payments that arrive after the end are refunded. The reasons for a cancellation
are in :mod:`app.domain.reasons`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.refunds import CONFIRMED, Refund, RefundBasis, full_dashboard_refund
from app.domain.subscriptions import Payment, StripeInvoiceState, StripeSubscriptionState, Subscription, Term


@dataclass(frozen=True, slots=True)
class EndPreview:
    """When a subscription would end (None: unknown), and until when the reader would have access (None: no access)."""

    at: datetime | None
    access_until: datetime | None


def preview_period_end(subscription: Subscription, terms: Sequence[Term]) -> EndPreview:
    """
    Return what would happen if a subscription were canceled now, to end at the end of the paid period.

    If it is already scheduled to end earlier, that date stays. Refunded terms don't count, nor do terms that are suspended
    because of a dispute. A trial counts until it ends.
    """
    at = _earliest(subscription.current_period_end, subscription.cancel_at)
    paid = [term.ends_at for term in terms if not term.is_refunded and term.suspended_as is None]
    tried = [subscription.trial_end] if subscription.trial_end is not None else []
    readable = max(paid + tried, default=None)
    return EndPreview(at, _earliest(at, readable) if readable is not None else None)


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((at for at in moments if at is not None), default=None)


class InvoiceStatus(StrEnum):
    """Stripe's status of an invoice."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


# An invoice that was written off can still be paid by its link.
PAYABLE = frozenset({InvoiceStatus.DRAFT, InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE})


def payable_invoices(seen: StripeSubscriptionState) -> tuple[StripeInvoiceState, ...]:
    """Return the invoices of a subscription that can still be paid."""
    return tuple(invoice for invoice in seen.invoices if invoice.status in PAYABLE)


def ended_since(
    subscription: Subscription, terms: Sequence[Term], payments: Sequence[Payment], refunds: Sequence[Refund]
) -> datetime | None:
    """
    Return since when payments of a subscription buy nothing; None if it has not ended.

    This is the earliest of the end at Stripe, our cancellation, and the refund that ended it. A Dashboard refund may become
    known late, and a renewal paid in between buys nothing either.
    """
    ends = [at for at in (subscription.ended_at, subscription.access_ended_at) if at is not None]
    if not ends:
        return None
    bases = {term.invoice_id: term.refunded_as for term in terms if term.is_refunded}
    for payment in payments:
        basis = bases.get(payment.invoice_id)
        of_payment = [r for r in refunds if r.payment_id == payment.id]
        if basis == RefundBasis.DASHBOARD:  # earlier partial refunds didn't end the subscription
            whole = full_dashboard_refund(payment.amount, of_payment)
            ends += [whole.created_at] if whole is not None else []
        else:
            ends += [r.created_at for r in of_payment if r.status in CONFIRMED and r.basis == basis]
    return min(ends)


def refunds_due(
    subscription: Subscription, terms: Sequence[Term], payments: Sequence[Payment], refunds: Sequence[Refund]
) -> list[tuple[Payment, str]]:
    """
    Return the payments of an ended subscription that must be refunded, each with the basis.

    For a duplicate, these are all payments; otherwise those after the end (a payment in the same second still counts). A
    payment that was already refunded on such a basis is left out, even if that refund failed: staff handle those.
    """
    since = ended_since(subscription, terms, payments, refunds)
    if since is None:
        return []
    is_duplicate = subscription.ended_by == RefundBasis.DUPLICATE
    basis = RefundBasis.DUPLICATE if is_duplicate else RefundBasis.PAID_AFTER_END
    ordered = {
        refund.payment_id for refund in refunds if refund.basis in {RefundBasis.DUPLICATE, RefundBasis.PAID_AFTER_END}
    }
    return [
        (payment, basis)
        for payment in payments
        if payment.amount > 0 and payment.id not in ordered and (is_duplicate or payment.paid_at > since)
    ]
