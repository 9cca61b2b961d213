"""
What follows from the end of a subscription, whoever ended it: nothing stays payable that buys nothing (rules.md, rule 8).

Stripe leaves open invoices payable by their link after a cancellation, and bills what is pending later; see
docs.stripe.com/billing/subscriptions/cancel. What is paid all the same is given back (rules.md, rule 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.refunds import CONFIRMED, Refund, RefundBasis, full_dashboard_refund
from app.domain.subscriptions import Payment, StripeInvoiceState, StripeSubscriptionState, Subscription, Term


@dataclass(frozen=True, slots=True)
class EndPreview:
    """When a subscription would end (None: nobody knows yet), and until when it would be read (None: it is not)."""

    at: datetime | None
    access_until: datetime | None


def preview_period_end(held: Subscription, terms: Sequence[Term]) -> EndPreview:
    """
    Return what would follow if a subscription were cancelled now, to end with what is paid.

    One that was to end earlier still does. What was given back is read no longer, and a trial to its own end at most.
    """
    at = _earliest(held.current_period_end, held.cancel_at)
    paid = [term.ends_at for term in terms if not term.is_refunded]
    tried = [held.trial_end] if held.trial_end is not None else []
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
    """Return the invoices of a subscription that somebody could still be asked to pay."""
    return tuple(invoice for invoice in seen.invoices if invoice.status in PAYABLE)


def ended_since(
    held: Subscription, terms: Sequence[Term], payments: Sequence[Payment], refunds: Sequence[Refund]
) -> datetime | None:
    """
    Return since when a subscription has bought nothing; None while it runs.

    That is the earliest of its end at Stripe, of our order, and of the refund that ended it: a Dashboard refund is told of
    late, and a renewal that was paid in between buys nothing either.
    """
    ends = [at for at in (held.ended_at, held.access_ended_at) if at is not None]
    if not ends:
        return None
    bases = {term.invoice_id: term.refunded_as for term in terms if term.is_refunded}
    for payment in payments:
        basis = bases.get(payment.invoice_id)
        given = [r for r in refunds if r.payment_id == payment.id]
        if basis == RefundBasis.DASHBOARD:  # parts came before it, and those ended nothing
            whole = full_dashboard_refund(payment.amount, given)
            ends += [whole.created_at] if whole is not None else []
        else:
            ends += [r.created_at for r in given if r.status in CONFIRMED and r.basis == basis]
    return min(ends)


def refunds_due(
    held: Subscription, terms: Sequence[Term], payments: Sequence[Payment], refunds: Sequence[Refund]
) -> list[tuple[Payment, str]]:
    """
    Return the payments of a subscription that is over which have to go back, each with the basis.

    All of a double's; else what was paid after the end (what was paid in its very second bought something). One that was
    ordered back on that basis is not again, whatever came of it: a refund that fails is for people to look at.
    """
    since = ended_since(held, terms, payments, refunds)
    if since is None:
        return []
    double = held.ended_by == RefundBasis.DUPLICATE
    basis = RefundBasis.DUPLICATE if double else RefundBasis.PAID_AFTER_END
    ordered = {
        refund.payment_id for refund in refunds if refund.basis in {RefundBasis.DUPLICATE, RefundBasis.PAID_AFTER_END}
    }
    return [
        (payment, basis)
        for payment in payments
        if payment.amount > 0 and payment.id not in ordered and (double or payment.paid_at > since)
    ]
