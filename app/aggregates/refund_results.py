"""
What follows from a refund, in one transaction with the record of it: whoever learns of it first writes it, once.

Two use cases do: the one that asks Stripe for a refund, and the one that follows what Stripe tells of a payment.
"""

from datetime import datetime

import structlog

from app.aggregates import cancellations
from app.db import audit, grants, payments, refunds, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session
from app.domain.disputes import REFUND_FAILED, RESTORE, STAYS_ENDED, policy_at
from app.domain.quotes import term_of
from app.domain.refunds import (
    CANCELED,
    CONFIRMED,
    DASHBOARD,
    FAILED,
    GUARANTEE,
    PROCESSING,
    UNSERVED,
    Refund,
    StripeRefundState,
    ending_basis,
)
from app.domain.rules import Rules

RESTORABLE = frozenset({GUARANTEE, DASHBOARD, UNSERVED})  # what had bought something before it went back

log = structlog.get_logger()


async def record(session: Session, rules: Rules, refund: Refund, seen: StripeRefundState, *, now: datetime) -> Refund:
    """
    Phase 3, in the caller's transaction: keep Stripe's answer and, once, what follows from a confirmed refund.

    The caller has fenced what was seen. A webhook may have been quicker; then the consequences are there already.
    """
    await subscribers.lock(session, refund.subscriber_id)
    held = await refunds.by_id(session, refund.id)
    if held is not None and (held.status, held.stripe_refund_id) != (seen.status, seen.id):
        await refunds.set_status(
            session, refund.id, seen.status, seen=(seen.id, seen.created_at), failure_reason=seen.failure_reason
        )
        if held.status in CONFIRMED and seen.status in {FAILED, CANCELED}:
            await _note_failure(session, rules, held, seen)
    if seen.status in CONFIRMED and await refunds.mark_recorded(session, refund.id, now=now):
        ended = await _end(session, rules, refund, now=now)
        await audit.record(
            session,
            actor=refund.requested_by,
            action="refund.confirmed",
            object_id=refund.id,
            subscriber_id=refund.subscriber_id,
            reason=refund.reason,
            before={"status": PROCESSING},
            after={"status": seen.status, "stripe_refund": seen.id, "amount": seen.amount, "ended": ended},
        )
        await refunds.make_due(session, refund.id)  # a credit note is to be written, and a promise to be looked after
        await leases.notify(session)
    recorded = await refunds.by_id(session, refund.id)
    assert recorded is not None
    return recorded


async def _end(session: Session, rules: Rules, refund: Refund, *, now: datetime) -> bool:
    """End the term and its subscription, if the basis does: with that access, and the copies that were still to come."""
    payment = await payments.by_id(session, refund.payment_id)
    owner = await payments.owner_of(session, refund.payment_id)
    if payment is None or owner is None:
        return False
    term = term_of(payment, await subscriptions.terms_of(session, owner[1]))
    opened = term is None or term.invoice_id == payment.invoice_id
    all_of_it = await refunds.of_payment(session, refund.payment_id)
    basis = ending_basis(refund, payment.amount if opened else 0, all_of_it)
    if basis is None:
        return False
    await subscriptions.mark_term_refunded(session, term.invoice_id if term else payment.invoice_id, basis)
    return await cancellations.end(session, rules, owner[1], by=basis, now=now)


async def _note_failure(session: Session, rules: Rules, refund: Refund, seen: StripeRefundState) -> None:
    """
    Note that promised money did not arrive: the reader's bank sent it back. Staff see it; a new refund is possible.

    Access stays ended, as the reader was told, unless the policy restores what the refund took.
    """
    log.error("refund_failed_later", refund=refund.id, reason=seen.failure_reason)
    policy = policy_at(rules.catalogue.disputes, refund.created_at).failed_refund
    restored = policy == RESTORE and refund.basis in RESTORABLE
    if restored:
        await _restore(session, rules, refund)
    await audit.record(
        session,
        actor="stripe",
        action="refund.failed",
        object_id=refund.id,
        subscriber_id=refund.subscriber_id,
        reason=seen.failure_reason,
        before={"status": refund.status},
        after={"status": seen.status, "access": RESTORE if restored else STAYS_ENDED},
    )


async def _restore(session: Session, rules: Rules, refund: Refund) -> None:
    payment, owner = (
        await payments.by_id(session, refund.payment_id),
        await payments.owner_of(session, refund.payment_id),
    )
    if payment is None or owner is None:
        return
    await subscriptions.restore_term(session, payment.invoice_id, REFUND_FAILED)
    held, subscriber = await subscriptions.by_id(session, owner[1]), await subscribers.by_id(session, owner[0])
    if held is not None and subscriber is not None:
        await grants.derive(session, subscriber, held, rules.catalogue, rules.access)
