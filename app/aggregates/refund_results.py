"""
The result of a refund at Stripe, and what follows from it, recorded in one transaction.

Two use cases record results: the one that creates the refund at Stripe, and the one that syncs a payment.
"""

from datetime import datetime

import structlog

from app.aggregates import cancellations, credits, grants, notifications, print_returns
from app.db import audit, outbox, payments, refunds, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session
from app.domain.disputes import PolicyAction, policy_at
from app.domain.notifications import NotificationKind, money
from app.domain.outbox import OutboxReader, refund_result
from app.domain.print_returns import ENDS_PRINT
from app.domain.progress import term_of
from app.domain.quotes import payments_of_term
from app.domain.reasons import RestorationReason
from app.domain.refunds import (
    CONFIRMED,
    Refund,
    RefundBasis,
    RefundStatus,
    StripeRefundState,
    any_failed_since,
    ending_basis,
    ends_subscription,
    full_dashboard_refund,
)
from app.domain.rules import Rules

RESTORABLE = frozenset(
    {RefundBasis.GUARANTEE, RefundBasis.WITHDRAWAL, RefundBasis.DASHBOARD, RefundBasis.UNSERVED_ISSUES}
)  # bases on which the refunded payment had bought a term

# These concern the subscription as a whole, whichever of its payments they return.
ENDS_SUBSCRIPTION = frozenset({RefundBasis.DUPLICATE, RefundBasis.PAID_AFTER_END, RefundBasis.FRAUD_WARNING})

log = structlog.get_logger()


async def record(session: Session, rules: Rules, refund: Refund, state: StripeRefundState, *, now: datetime) -> Refund:
    """
    Save the state of a refund and, once, what follows from its confirmation.

    The caller has checked that the state is the newest. A webhook may have been faster; then nothing more follows.
    """
    await subscribers.lock(session, refund.subscriber_id)
    before = await refunds.by_id(session, refund.id)
    is_decided = before is not None and before.status != state.status
    if before is not None and (before.status, before.stripe_refund_id) != (state.status, state.id):
        await refunds.set_status(
            session, refund.id, state.status, seen=(state.id, state.created_at), failure_reason=state.failure_reason
        )
        if owner := await payments.owner_of(session, refund.payment_id):
            await credits.allocate(session, owner[1])
        if before.status in CONFIRMED and state.status in {RefundStatus.FAILED, RefundStatus.CANCELED}:
            await _record_failure(session, rules, before, state)
    if state.status in CONFIRMED and await refunds.mark_recorded(session, refund.id, now=now):
        is_decided = True  # one that was made in the Dashboard is stored with its status
        ended = await _end(session, rules, refund, now=now)
        await audit.record(
            session,
            actor=refund.requested_by,
            action="refund.confirmed",
            object_id=refund.id,
            subscriber_id=refund.subscriber_id,
            reason=refund.reason,
            before={"status": RefundStatus.PROCESSING},
            after={"status": state.status, "stripe_refund": state.id, "amount": state.amount, "ended": ended},
        )
        if not refund.is_history:
            await _tell(session, rules, refund, ended=ended, now=now)
        if not refund.is_history or state.ours == refund.id:  # ours, perhaps restored
            await refunds.make_due(session, refund.id)  # for the credit note, and until the status is final
        await leases.notify(session)
    recorded = await refunds.by_id(session, refund.id)
    assert recorded is not None
    if is_decided:
        await announce(session, recorded)
    return recorded


async def _tell(session: Session, rules: Rules, refund: Refund, *, ended: bool, now: datetime) -> None:
    """Tell the reader of a confirmed refund."""
    owner = await payments.owner_of(session, refund.payment_id)
    subscription = await subscriptions.by_id(session, owner[1]) if owner is not None else None
    if subscription is not None and subscription.plan in rules.catalogue.plans:
        data = {"amount": money(refund.amount, refund.currency), "ended": ended or subscription.over_at is not None}
        await notifications.tell(session, rules, NotificationKind.REFUNDED, subscription, refund.id, data=data, now=now)


async def announce(session: Session, refund: Refund) -> None:
    """Record in the outbox what a refund's new status decides. The caller holds the subscriber's lock."""
    subscriber = await subscribers.by_id(session, refund.subscriber_id)
    if subscriber is not None:
        await outbox.add(session, refund_result(OutboxReader.of(subscriber.id, subscriber.sub), refund))


async def _end(session: Session, rules: Rules, refund: Refund, *, now: datetime) -> bool:
    """
    End the term that the refund's payment bought, and the subscription if it is the newest. Return whether that ended.

    Of a payment that added print, only print ends.
    """
    payment = await payments.by_id(session, refund.payment_id)
    owner = await payments.owner_of(session, refund.payment_id)
    if payment is None or owner is None:
        return False
    terms = await subscriptions.terms_of(session, owner[1])
    term = term_of(payment, terms)
    opened_term = term is None or term.invoice_id == payment.invoice_id
    paid = await payments.of_subscription(session, owner[1])
    parts = [one for one in paid if one.invoice_id == payment.invoice_id]  # an invoice can be paid in several parts
    all_refunds = [one for part in parts for one in await refunds.of_payment(session, part.id)]
    kept = sum(part.amount - part.credited for part in parts)
    has_added_print = not opened_term and payment.print_from is not None
    basis = ending_basis(refund, kept if opened_term or has_added_print else 0, all_refunds)
    if basis is None or (basis == RefundBasis.PAID_AFTER_END and not opened_term):
        return False  # such as print whose payment succeeded after the end: it belongs to no term
    whole = full_dashboard_refund(kept, all_refunds) if basis == RefundBasis.DASHBOARD else None
    ending = whole or next(one for one in all_refunds if one.id == refund.id)
    if has_added_print and basis in ENDS_PRINT:
        if not ending.is_history:
            made = min(ending.made, now) if whole is not None else now
            await print_returns.end(session, rules, owner[1], payment, basis=basis, at=made, now=now)
        return False
    invoice_id, at = term.invoice_id if term else payment.invoice_id, ending.made if ending.is_history else now
    await subscriptions.mark_term_refunded(session, invoice_id, basis, at=at)
    if term is not None and term.refund_failed:
        of_term = payments_of_term(payment, paid, terms)
        its_refunds = [one for part in of_term for one in await refunds.of_payment(session, part.id)]
        await subscriptions.mark_refund_failed(session, invoice_id, failed=any_failed_since(its_refunds))
    if not ending.is_history and (basis in ENDS_SUBSCRIPTION or ends_subscription(ending, term, terms)):
        return await cancellations.end(session, rules, owner[1], by=basis, now=now)
    subscription = await subscriptions.by_id(session, owner[1])
    subscriber = await subscribers.by_id(session, owner[0])
    if subscription is not None and subscriber is not None:
        await grants.derive(session, rules, subscriber, subscription, now=now)
    return False


async def _record_failure(session: Session, rules: Rules, refund: Refund, state: StripeRefundState) -> None:
    """
    Record that a confirmed refund failed: the reader's bank returned the money. Reader and staff see it, and it can be
    repeated.

    Access stays ended, unless the policy restores it.
    """
    log.error("refund_failed_later", refund=refund.id, reason=state.failure_reason)
    policy = policy_at(rules.catalogue.disputes, refund.created_at).failed_refund
    restored = policy == PolicyAction.RESTORE and refund.basis in RESTORABLE
    await _mark_failure(session, rules, refund, restored=restored)
    await audit.record(
        session,
        actor="stripe",
        action="refund.failed",
        object_id=refund.id,
        subscriber_id=refund.subscriber_id,
        reason=state.failure_reason,
        before={"status": refund.status},
        after={"status": state.status, "access": PolicyAction.RESTORE if restored else PolicyAction.STAYS_ENDED},
    )


async def _mark_failure(session: Session, rules: Rules, refund: Refund, *, restored: bool) -> None:
    """Mark the term of a failed refund, so that it isn't shown as refunded, and restore it if the policy does."""
    payment = await payments.by_id(session, refund.payment_id)
    owner = await payments.owner_of(session, refund.payment_id)
    if payment is None or owner is None:
        return
    terms = await subscriptions.terms_of(session, owner[1])
    term = term_of(payment, terms)
    if term is None or not term.is_refunded:
        return  # it ended nothing
    await subscriptions.mark_refund_failed(session, term.invoice_id, failed=True)
    if restored:
        await subscriptions.restore_term(session, term.invoice_id, RestorationReason.REFUND_FAILED)
    subscription = await subscriptions.by_id(session, owner[1])
    subscriber = await subscribers.by_id(session, owner[0])
    if subscription is not None and subscriber is not None:
        await grants.derive(session, rules, subscriber, subscription)
