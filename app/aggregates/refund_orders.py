"""
Refunds that the service itself orders, by policy: of a double, of what is paid after the end, of a fraud warning, of print
that was dropped.

The order is written in the transaction of whatever made it necessary; a worker pays it as it pays any other.
"""

from collections.abc import Collection
from datetime import datetime

from app.db import audit, refunds
from app.db.engine import leases
from app.db.engine.session import Session, new_id
from app.domain.refunds import AWAITING, PROCESSING, WITHDRAWN, Refund, RefundInProgress, refundable_amount, tax_part
from app.domain.subscriptions import Payment

BY = "policy"


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
    Order what is left of a payment to be given back, once. The caller holds the subscriber's lock.

    Told again it orders nothing more, since nothing is left; with an amount the caller sees to it that it is told once.
    A request of the desk that still waits for a second person gives way where both do not fit: what is ordered is owed.

    :param amount: only so much of it, or what is left if that is less.
    :returns: the refund that is due now; None: nothing is left.
    :raises RefundInProgress: another refund of the payment is on its way; try again when it is resolved.
    """
    known = await refunds.of_payment(session, payment.id)
    given = [r for r in known if r.status != AWAITING]
    left = refundable_amount(payment, given) if amount is None else min(refundable_amount(payment, given), amount)
    if left <= 0:
        return None
    if await refunds.unresolved(session, payment.id) is not None:
        raise RefundInProgress
    if left > refundable_amount(payment, known):
        await withdraw_waiting(session, [payment.id], by=BY, why=basis, now=now)
    refund_id = new_id("rfd")
    ordered = Refund(
        id=refund_id,
        act_id=refund_id,
        payment_id=payment.id,
        subscriber_id=subscriber_id,
        basis=basis,
        amount=left,
        tax=tax_part(payment, left, given),
        currency=payment.currency,
        reason=reason,
        note=None,
        requested_by=BY,
        status=PROCESSING,
        created_at=now,
    )
    await refunds.insert(session, ordered, unfinished=True)
    await audit.record(
        session,
        actor=BY,
        action="refund.requested",
        object_id=ordered.id,
        subscriber_id=subscriber_id,
        reason=reason,
        after={"payment": payment.id, "basis": basis, "amount": left, "tax": ordered.tax},
    )
    await leases.notify(session)
    return ordered


async def withdraw_waiting(session: Session, payment_ids: Collection[str], *, by: str, why: str, now: datetime) -> None:
    """Take back requests that wait for a second person, because their money goes back on another basis."""
    for payment_id in payment_ids:
        for waiting in await refunds.of_payment(session, payment_id):
            if waiting.status != AWAITING:
                continue
            await refunds.settle_decision(session, waiting.id, WITHDRAWN, by=by, now=now)
            await audit.record(
                session,
                actor=by,
                action="refund.withdrawn",
                object_id=waiting.id,
                subscriber_id=waiting.subscriber_id,
                reason=why,
                before={"status": AWAITING},
                after={"status": WITHDRAWN},
            )
