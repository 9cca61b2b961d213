"""
The end of a subscription: which invoices to void and which payments to refund (rules.md, rules 4 and 8).

After a cancellation, Stripe's open invoices can still be paid by their link, and pending items are billed later; see
docs.stripe.com/billing/subscriptions/cancel. Payments that arrive after the end are refunded. The reasons for a cancellation
are in :mod:`app.domain.reasons`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.errors import Conflict
from app.domain.invoice_lines import billed_period
from app.domain.invoices import InvoiceStatus
from app.domain.money import Money, minimum
from app.domain.reasons import EndReason
from app.domain.refunds import CONFIRMED, Refund, RefundBasis, ends_subscription, full_dashboard_refund
from app.domain.renewals import Pause
from app.domain.subscriptions import (
    Payment,
    StripeInvoiceState,
    StripeSubscriptionState,
    Subscription,
    SubscriptionStatus,
    Term,
)

# Nothing renews in these statuses, but a payment may be collected later: see docs.stripe.com/billing/subscriptions/pause.
COLLECTS_LATER = frozenset({SubscriptionStatus.INCOMPLETE, SubscriptionStatus.PAUSED, SubscriptionStatus.UNPAID})


# Subscriptions that ended so never bought anything, so all their payments are refunded.
BOUGHT_NOTHING = frozenset({RefundBasis.DUPLICATE, EndReason.ERASED})
# An invoice that was written off can still be paid by its link.
PAYABLE = frozenset({InvoiceStatus.DRAFT, InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE})


def must_end_now(seen: StripeSubscriptionState) -> bool:
    """
    Return whether a subscription that is canceled "at the end of the paid period" must end at Stripe now.

    Stripe's flag ends it with its current period and goes on collecting until then. That is right only if the current period
    is paid and no invoice is being collected. Otherwise the flag would mean the end of an unpaid period, and the reader
    would be charged after canceling: while a renewal is a draft, failed or processing. Stripe starts a period before it is
    paid.
    """
    if seen.status in COLLECTS_LATER or any(is_collected(invoice) for invoice in seen.invoices):
        return True
    period = seen.period
    bills = [i for i in seen.invoices if period is not None and _billed_until(i, seen.created_at) >= period[1]]
    return bool(bills) and all(invoice.status != InvoiceStatus.PAID for invoice in bills)


def is_collected(invoice: StripeInvoiceState) -> bool:
    """
    Return whether an invoice is open, or a draft that Stripe finalizes and charges by itself.

    One for a change of the print edition is not: nobody owes it, and it is voided unless the reader confirms it now.
    """
    if invoice.print_change is not None:
        return False
    is_draft = invoice.status == InvoiceStatus.DRAFT and invoice.collection.auto_advance
    return is_draft or invoice.status == InvoiceStatus.OPEN


def end_of_unrenewed(pause: Pause | None) -> EndReason:
    """
    Return how a subscription ends if it must end at Stripe now: what was paid is kept.

    After a pause with credit for the unused time, nothing is left of it. The credit is refunded instead, so access does not
    return.

    :param pause: of the subscription; None: it is not paused.
    """
    return EndReason.CANCEL_NOW if pause is not None and pause.credited else EndReason.NOT_RENEWED


def _billed_until(invoice: StripeInvoiceState, otherwise: datetime) -> datetime:
    billed = billed_period(invoice.lines)
    return billed.ends_at if billed is not None else otherwise


def probably_must_end_now(subscription: Subscription, terms: Sequence[Term]) -> bool:
    """Do as :func:`must_end_now` with our copy, which may be out of date: for a preview while Stripe is unavailable."""
    known = [term.ends_at for term in terms] + ([subscription.trial_end] if subscription.trial_end is not None else [])
    period_end = subscription.current_period_end
    is_unpaid = bool(known) and period_end is not None and period_end > max(known)
    return subscription.status in COLLECTS_LATER or subscription.status == SubscriptionStatus.PAST_DUE or is_unpaid


class SubscriptionPaused(Conflict):
    """
    The subscription has no scheduled end to undo, but it is paused at Stripe. The publisher can resume it, or a payment.

    :param awaits_payment: whether it is paused because a payment failed, and resumes when its open invoice is paid.
    """

    code = "subscription_paused"
    title = "Subscription paused"

    def __init__(self, *, awaits_payment: bool = False) -> None:
        how = "It resumes when its open invoice is paid" if awaits_payment else "Only the publisher can resume it"
        super().__init__(f"The subscription is paused and has no scheduled end. {how}")
        self.awaits_payment = awaits_payment


def is_paused(subscription: Subscription) -> bool:
    """Return whether nothing is billed for now: the subscription, or the collection of its payments, is paused."""
    return subscription.status == SubscriptionStatus.PAUSED or subscription.collection_paused is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPreview:
    """The effect of canceling at the end of the paid period."""

    at: datetime | None  # when the subscription ends; None: unknown
    access_until: datetime | None  # None: no access
    is_final: bool = False  # it ends at Stripe now, so it can't be resumed


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenInvoice:
    """An unpaid invoice of a subscription. It is voided when the subscription ends."""

    number: str | None  # None: it is a draft
    money: Money
    processing: bool  # a payment is on its way and can't be stopped: it is refunded when it arrives


def preview_period_end(
    subscription: Subscription, terms: Sequence[Term], *, ends_now: bool, now: datetime
) -> EndPreview:
    """
    Return what would happen if a subscription were canceled now, to end at the end of the paid period.

    If it is already scheduled to end earlier, that date stays. Refunded terms don't count, nor do terms that are suspended
    because of a dispute. A trial counts until it ends. Nothing counts after a pause with credit for the unused time.

    :param ends_now: the result of :func:`must_end_now`.
    """
    paid = [term.ends_at for term in terms if not term.is_refunded and term.suspended_as is None]
    tried = [subscription.trial_end] if subscription.trial_end is not None else []
    is_kept = end_of_unrenewed(subscription.pause) == EndReason.NOT_RENEWED
    readable = max(paid + tried, default=None) if is_kept else None
    if ends_now:
        return EndPreview(at=now, access_until=max(readable, now) if readable is not None else None, is_final=True)
    at = _earliest(subscription.current_period_end, subscription.cancel_at)
    return EndPreview(at=at, access_until=_earliest(at, readable) if readable is not None else None)


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((at for at in moments if at is not None), default=None)


def unpaid_invoices(seen: StripeSubscriptionState) -> tuple[StripeInvoiceState, ...]:
    """Return the invoices of a subscription that are not paid, and not void."""
    return tuple(invoice for invoice in seen.invoices if invoice.status in PAYABLE)


def payable_invoices(seen: StripeSubscriptionState) -> tuple[StripeInvoiceState, ...]:
    """Return the invoices that can still be paid. A draft can be only if Stripe finalizes it."""
    return tuple(
        invoice
        for invoice in unpaid_invoices(seen)
        if invoice.status != InvoiceStatus.DRAFT or invoice.collection.auto_advance
    )


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
    refunded = {term.invoice_id: term for term in terms if term.is_refunded}
    for payment in payments:
        term = refunded.get(payment.invoice_id)
        if term is None:
            continue
        if term.refunded_as == RefundBasis.DASHBOARD:  # earlier partial refunds didn't end the subscription
            parts = {one.id: one for one in payments if one.invoice_id == term.invoice_id}
            kept = sum(one.amount - one.credited for one in parts.values())
            whole = full_dashboard_refund(kept, [r for r in refunds if r.payment_id in parts])
            ending = [whole] if whole is not None else []
        else:
            of_payment = [r for r in refunds if r.payment_id == payment.id]
            ending = [r for r in of_payment if r.status in CONFIRMED and r.basis == term.refunded_as]
        ends += [r.effective_at for r in ending if ends_subscription(r, term, terms)]
    return min(ends)


def is_paid_at_finalization(draft: StripeInvoiceState, credit: int) -> bool:
    """
    Return whether a draft would be paid as soon as it is finalized, so that it could not be voided anymore.

    That is so if the customer's balance covers it, or if the rest is below the minimum charge, which is carried over.

    :param credit: the customer's credit in the currency of the draft, in minor units; negative for debt.
    """
    return draft.total - credit < minimum(draft.currency)


def invoices_that_bought_nothing(
    held: Subscription,
    terms: Sequence[Term],
    payments: Sequence[Payment],
    refunds: Sequence[Refund],
    invoices: Sequence[StripeInvoiceState],
) -> frozenset[str]:
    """Return the IDs of an ended subscription's invoices that were paid and bought nothing, as in :func:`refunds_due`."""
    since = ended_since(held, terms, payments, refunds)
    if since is None:
        return frozenset()
    all_of_them = held.ended_by in BOUGHT_NOTHING
    return frozenset(
        invoice.id for invoice in invoices if invoice.paid_at is not None and (all_of_them or invoice.paid_at > since)
    )


def refunds_due(
    subscription: Subscription,
    terms: Sequence[Term],
    payments: Sequence[Payment],
    refunds: Sequence[Refund],
    *,
    written_off: Collection[str] = (),
) -> list[tuple[Payment, str]]:
    """
    Return the payments of an ended subscription that must be refunded, each with the basis.

    For a duplicate, and for one that was paid while its reader was being erased, these are all payments; otherwise those
    after the end (a payment in the same second still counts), and parts of an invoice that was never paid in full. A payment
    that was already refunded on such a basis is left out, even if that refund failed: staff handle those. So are payments
    that were made before we followed the subscription.

    :param written_off: the invoices of which only a part was paid when the subscription ended.
    """
    since = ended_since(subscription, terms, payments, refunds)
    if since is None:
        return []
    all_of_them = subscription.ended_by in BOUGHT_NOTHING
    basis = RefundBasis.DUPLICATE if subscription.ended_by == RefundBasis.DUPLICATE else RefundBasis.PAID_AFTER_END
    ordered = {
        refund.payment_id for refund in refunds if refund.basis in {RefundBasis.DUPLICATE, RefundBasis.PAID_AFTER_END}
    }
    return [
        (payment, basis)
        for payment in payments
        if payment.amount > 0
        and payment.id not in ordered
        and not payment.is_history
        and (all_of_them or payment.paid_at > since or payment.invoice_id in written_off)
    ]
