"""
The end of a subscription on our side, in the transaction that ends it.

Several use cases end a subscription: a cancellation, a refund, a duplicate, a lost dispute. All of them call :func:`end`.
Stripe also ends subscriptions, by itself or in its Dashboard; :func:`follow` handles those. What is left to do at Stripe is
then due, and a worker completes it.
"""

from datetime import datetime

from app.aggregates import grants, refund_orders
from app.db import payments, refunds, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session
from app.domain.cancellations import payable_invoices, refunds_due
from app.domain.refunds import RefundBasis, RefundInProgress
from app.domain.rules import Rules
from app.domain.subscriptions import OVER, StripeSubscriptionState, Subscription


async def end(session: Session, rules: Rules, subscription_id: str, *, by: str, now: datetime) -> bool:
    """
    End a subscription: access ends with this commit, and its cancellation at Stripe becomes due.

    Refunds of payments that bought nothing are ordered: all payments of a duplicate, and payments after the end. The caller
    holds the subscriber's lock. A repeated call only derives the grants again.

    :param by: the cause: ``cancel_now``, or the basis of a refund.
    :returns: whether this call ended it.
    """
    subscription = await subscriptions.by_id(session, subscription_id)
    if subscription is None:
        return False
    ended_at_stripe = by == RefundBasis.PAID_AFTER_END and subscription.status in OVER
    is_new = not ended_at_stripe and await subscriptions.order_end(session, subscription.id, by=by, now=now)
    subscription = await subscriptions.by_id(session, subscription.id) or subscription
    subscriber = await subscribers.by_id(session, subscription.subscriber_id)
    await _order_refunds(session, subscription, now=now)  # those that must wait are ordered when the end is closed
    if subscriber is not None:
        await grants.derive(session, rules, subscriber, subscription, now=now)
    await leases.notify(session)
    return is_new


async def follow(
    session: Session, subscription: Subscription, state: StripeSubscriptionState, *, now: datetime
) -> None:
    """
    Handle the end of a subscription that was just synced, whether Stripe or we ended it.

    Refunds of payments that bought nothing are ordered. The completion at Stripe becomes due if Stripe ended the
    subscription, if an invoice is payable again, or if a subscription that we ended is live there. The caller holds the
    subscriber's lock.
    """
    all_ordered = await _order_refunds(session, subscription, now=now)
    is_over, is_closed = subscription.status in OVER, subscription.closed_at is not None
    is_live_again = not is_over and subscription.access_ended_at is not None and is_closed
    if is_live_again or (is_over and (not is_closed or not all_ordered or payable_invoices(state))):
        await subscriptions.order_close(session, subscription.id)
        await leases.notify(session)


async def _order_refunds(session: Session, subscription: Subscription, *, now: datetime) -> bool:
    """
    Order refunds of payments that bought nothing, each once.

    :returns: False if one has to wait for another refund of the same payment.
    """
    if subscription.ended_at is None and subscription.access_ended_at is None:
        return True
    terms = await subscriptions.terms_of(session, subscription.id)
    paid = await payments.of_subscription(session, subscription.id)
    existing = await refunds.of_subscriber(session, subscription.subscriber_id)
    cause = subscription.ended_by or subscription.end_reason or subscription.status
    all_ordered = True
    for payment, basis in refunds_due(subscription, terms, paid, existing):
        if basis == RefundBasis.PAID_AFTER_END:  # it opens no term, not even until the refund is confirmed
            await subscriptions.mark_term_refunded(session, payment.invoice_id, basis)
        try:
            await refund_orders.refund(
                session,
                payment,
                subscriber_id=subscription.subscriber_id,
                basis=basis,
                reason=f"ended:{cause}",
                now=now,
            )
        except RefundInProgress:
            all_ordered = False
    return all_ordered


async def close(session: Session, subscription_id: str, *, now: datetime) -> bool:
    """
    Record that an end is complete at Stripe. The caller holds the subscriber's lock.

    :returns: False if a refund has to wait for another one of the same payment; then the end stays due.
    """
    subscription = await subscriptions.by_id(session, subscription_id)
    all_ordered = subscription is None or await _order_refunds(session, subscription, now=now)
    if all_ordered:
        await subscriptions.close(session, subscription_id, now=now)
    return all_ordered
