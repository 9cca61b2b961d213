"""
Refunds that the service orders by policy: of a duplicate, of a payment after the end, after a fraud warning.

A refund is ordered in the transaction that makes it necessary, and a worker pays it like any other.
"""

from collections.abc import Collection
from datetime import datetime

from app.db import audit, refunds
from app.db.engine import leases
from app.db.engine.session import Session, new_id
from app.domain.money import step
from app.domain.refunds import Refund, RefundInProgress, RefundStatus, refundable_amount, tax_part
from app.domain.subscriptions import Payment

ACTOR = "policy"


async def refund(
    session: Session,
    payment: Payment,
    *,
    subscriber_id: str,
    basis: str,
    reason: str,
    now: datetime,
    amount: int | None = None,
) -> Refund | None:
    """
    Order the refund of a payment's refundable amount. The caller holds the subscriber's lock.

    A repeated call orders nothing more, because nothing is left; with ``amount`` the caller must not repeat it. A request
    that awaits approval is withdrawn if both would exceed the payment, because this refund is owed.

    :param amount: the maximum to refund; None: the refundable amount.
    :returns: the refund, which is due; None if nothing is left.
    :raises RefundInProgress: another refund of the payment is in progress; try again when it is resolved.
    """
    existing = await refunds.of_payment(session, payment.id)
    decided = [r for r in existing if r.status != RefundStatus.AWAITING_APPROVAL]
    by = step(payment.currency)
    left = refundable_amount(payment, decided) // by * by
    if amount is not None:
        left = min(left, -(-amount // by) * by)  # rounded up, in the reader's favor
    if left <= 0:
        return None
    if await refunds.unresolved(session, payment.id) is not None:
        raise RefundInProgress
    if left > refundable_amount(payment, existing):
        await withdraw_requests(session, [payment.id], by=ACTOR, reason=basis, now=now)
    refund_id = new_id("rfd")
    ordered = Refund(
        id=refund_id,
        group_id=refund_id,
        payment_id=payment.id,
        subscriber_id=subscriber_id,
        basis=basis,
        amount=left,
        tax=tax_part(payment, left, decided),
        currency=payment.currency,
        reason=reason,
        note=None,
        requested_by=ACTOR,
        status=RefundStatus.PROCESSING,
        created_at=now,
    )
    await _insert(session, ordered)
    return ordered


async def _insert(session: Session, refund: Refund) -> None:
    """Store a refund that is due."""
    await refunds.insert(session, refund, unfinished=True)
    await audit.record(
        session,
        actor=ACTOR,
        action="refund.requested",
        object_id=refund.id,
        subscriber_id=refund.subscriber_id,
        reason=refund.reason,
        after={"payment": refund.payment_id, "basis": refund.basis, "amount": refund.amount, "tax": refund.tax},
    )
    await leases.notify(session)


async def withdraw_requests(
    session: Session, payment_ids: Collection[str], *, by: str, reason: str, now: datetime
) -> None:
    """Withdraw refunds that await approval, because the payments are refunded on another basis."""
    for payment_id in payment_ids:
        for waiting in await refunds.of_payment(session, payment_id):
            if waiting.status != RefundStatus.AWAITING_APPROVAL:
                continue
            await refunds.settle_decision(session, waiting.id, RefundStatus.WITHDRAWN, by=by, now=now)
            await audit.record(
                session,
                actor=by,
                action="refund.withdrawn",
                object_id=waiting.id,
                subscriber_id=waiting.subscriber_id,
                reason=reason,
                before={"status": RefundStatus.AWAITING_APPROVAL},
                after={"status": RefundStatus.WITHDRAWN},
            )
