"""
The end of a subscription on our side, in one transaction with whatever made it end.

Several use cases end one: a reader's or an agent's cancellation, a refund, a double, a lost dispute. All go through
:func:`end`. Stripe ends one too, by itself or by a hand in its Dashboard; :func:`follow` sees to that. What is left
to do at Stripe is then due, and a worker repeats it until it is done.
"""

from datetime import datetime

from app.aggregates import refund_orders
from app.db import grants, payments, refunds, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session
from app.domain.cancellations import PAID_AFTER_END, payable_invoices, refunds_due
from app.domain.refunds import RefundInProgress
from app.domain.rules import Rules
from app.domain.subscriptions import OVER, StripeSubscriptionState, Subscription


async def end(session: Session, rules: Rules, subscription_id: str, *, by: str, now: datetime) -> bool:
    """
    End a subscription here: access goes with this commit, and its cancellation at Stripe becomes due.

    The caller holds the subscriber's lock. Told twice, it counts once; access is derived anew each time.

    What the end leaves paid for nothing is ordered back: all of a double's payments, and what was paid after it.

    :param by: what ended it: ``cancel_now``, or a refund's basis.
    :returns: whether it was not ordered before.
    """
    held = await subscriptions.by_id(session, subscription_id)
    if held is None:
        return False
    was_over = by == PAID_AFTER_END and held.status in OVER  # then Stripe ended it, and this is what followed
    ordered = not was_over and await subscriptions.order_end(session, held.id, by=by, now=now)
    held = await subscriptions.by_id(session, held.id) or held
    owner = await subscribers.by_id(session, held.subscriber_id)
    await _give_back(session, held, now=now)  # what has to wait for another refund is ordered when its end is closed
    if owner is not None:
        await grants.derive(session, owner, held, rules.catalogue, rules.access, now=now)
    await leases.notify(session)
    return ordered


async def follow(session: Session, held: Subscription, seen: StripeSubscriptionState, *, now: datetime) -> None:
    """
    See to what follows when Stripe was looked at and a subscription is over, there or here.

    What was paid for nothing is ordered back. If Stripe ended it, or something is payable again, its end becomes due:
    until :func:`close` it is open what is left to do there. So does that of one that we ended, if it lives there again.
    The caller holds the subscriber's lock.
    """
    settled = await _give_back(session, held, now=now)
    lives_again = held.status not in OVER and held.access_ended_at is not None and held.closed_at is not None
    if lives_again or (held.status in OVER and (held.closed_at is None or not settled or payable_invoices(seen))):
        await subscriptions.order_close(session, held.id)
        await leases.notify(session)


async def _give_back(session: Session, held: Subscription, *, now: datetime) -> bool:
    """Order back what was paid for nothing, each payment once. False: one has to wait for another refund of it."""
    if held.ended_at is None and held.access_ended_at is None:
        return True
    terms = await subscriptions.terms_of(session, held.id)
    paid = await payments.of_subscription(session, held.id)
    given = await refunds.of_subscriber(session, held.subscriber_id)
    settled = True
    for payment, basis in refunds_due(held, terms, paid, given):
        try:
            await refund_orders.refund(
                session,
                payment,
                subscriber_id=held.subscriber_id,
                basis=basis,
                reason=f"ended:{held.ended_by or held.end_reason or held.status}",
                now=now,
            )
        except RefundInProgress:
            settled = False
    return settled


async def close(session: Session, subscription_id: str, *, now: datetime) -> bool:
    """
    Note that all is done at Stripe that an end asks for. The caller holds the subscriber's lock.

    :returns: False: a payment that has to go back waits for another refund of it, so the end stays due.
    """
    held = await subscriptions.by_id(session, subscription_id)
    settled = held is None or await _give_back(session, held, now=now)
    if settled:
        await subscriptions.close(session, subscription_id, now=now)
    return settled
