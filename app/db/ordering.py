"""
Refunds that the service itself orders, by policy: of a double, of what is paid after the end, of a fraud warning.

The order is written in the transaction of whatever made it necessary; a worker pays it as it pays any other.
"""

from datetime import datetime

from app.db import audit, refunds, work
from app.db.session import Session, new_id
from app.domain.refunds import PROCESSING, Refund, RefundInProgress, left_of, tax_part
from app.domain.subscriptions import Payment

BY = "policy"


async def refund(
    session: Session, payment: Payment, *, subscriber_id: str, basis: str, reason: str, now: datetime
) -> Refund | None:
    """
    Order what is left of a payment to be given back, once. The caller holds the subscriber's lock.

    :returns: the refund that is due now; None: nothing is left.
    :raises RefundInProgress: another refund of the payment is on its way; try again when it is resolved.
    """
    given = await refunds.of_payment(session, payment.id)
    left = left_of(payment, given)
    if left <= 0:
        return None
    if await refunds.unresolved(session, payment.id) is not None:
        raise RefundInProgress
    ordered = Refund(
        id=new_id("rfd"),
        payment_id=payment.id,
        subscriber_id=subscriber_id,
        basis=basis,
        amount=left,
        tax=tax_part(payment, left),
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
    await work.notify(session)
    return ordered
