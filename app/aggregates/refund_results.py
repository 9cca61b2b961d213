"""
The result of a refund at Stripe, and what follows from it, recorded in one transaction.

Two use cases record results: the one that creates the refund at Stripe, and the one that syncs a payment.
"""

from datetime import datetime

import structlog

from app.aggregates import cancellations, grants
from app.db import audit, payments, refunds, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session
from app.domain.disputes import PolicyAction, policy_at
from app.domain.quotes import term_of
from app.domain.reasons import RestorationReason
from app.domain.refunds import (
    CONFIRMED,
    Refund,
    RefundBasis,
    RefundStatus,
    StripeRefundState,
    ending_basis,
)
from app.domain.rules import Rules

RESTORABLE = frozenset(
    {RefundBasis.GUARANTEE, RefundBasis.DASHBOARD, RefundBasis.UNSERVED_ISSUES}
)  # bases on which the refunded payment had bought a term

log = structlog.get_logger()


async def record(session: Session, rules: Rules, refund: Refund, state: StripeRefundState, *, now: datetime) -> Refund:
    """
    Save the state of a refund and, once, what follows from its confirmation.

    The caller has checked that the state is the newest. A webhook may have been faster; then nothing more follows.
    """
    await subscribers.lock(session, refund.subscriber_id)
    before = await refunds.by_id(session, refund.id)
    if before is not None and (before.status, before.stripe_refund_id) != (state.status, state.id):
        await refunds.set_status(
            session, refund.id, state.status, seen=(state.id, state.created_at), failure_reason=state.failure_reason
        )
        if before.status in CONFIRMED and state.status in {RefundStatus.FAILED, RefundStatus.CANCELED}:
            await _record_failure(session, rules, before, state)
    if state.status in CONFIRMED and await refunds.mark_recorded(session, refund.id, now=now):
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
        await refunds.make_due(session, refund.id)  # for the credit note, and until the status is final
        await leases.notify(session)
    recorded = await refunds.by_id(session, refund.id)
    assert recorded is not None
    return recorded


async def _end(session: Session, rules: Rules, refund: Refund, *, now: datetime) -> bool:
    """End the term and the subscription, if the refund's basis does. Return whether the subscription was ended."""
    payment = await payments.by_id(session, refund.payment_id)
    owner = await payments.owner_of(session, refund.payment_id)
    if payment is None or owner is None:
        return False
    term = term_of(payment, await subscriptions.terms_of(session, owner[1]))
    opened_term = term is None or term.invoice_id == payment.invoice_id
    all_refunds = await refunds.of_payment(session, refund.payment_id)
    basis = ending_basis(refund, payment.amount if opened_term else 0, all_refunds)
    if basis is None:
        return False
    await subscriptions.mark_term_refunded(session, term.invoice_id if term else payment.invoice_id, basis)
    return await cancellations.end(session, rules, owner[1], by=basis, now=now)


async def _record_failure(session: Session, rules: Rules, refund: Refund, state: StripeRefundState) -> None:
    """
    Record that a confirmed refund failed: the reader's bank returned the money. Staff see it and can refund again.

    Access stays ended, unless the policy restores it.
    """
    log.error("refund_failed_later", refund=refund.id, reason=state.failure_reason)
    policy = policy_at(rules.catalogue.disputes, refund.created_at).failed_refund
    restored = policy == PolicyAction.RESTORE and refund.basis in RESTORABLE
    if restored:
        await _restore(session, rules, refund)
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


async def _restore(session: Session, rules: Rules, refund: Refund) -> None:
    """Restore the term that the refund ended."""
    payment = await payments.by_id(session, refund.payment_id)
    owner = await payments.owner_of(session, refund.payment_id)
    if payment is None or owner is None:
        return
    await subscriptions.restore_term(session, payment.invoice_id, RestorationReason.REFUND_FAILED)
    subscription = await subscriptions.by_id(session, owner[1])
    subscriber = await subscribers.by_id(session, owner[0])
    if subscription is not None and subscriber is not None:
        await grants.derive(session, rules, subscriber, subscription)
