"""
The end of a subscription on our side, in the transaction that ends it.

Several use cases end a subscription: a cancellation, a refund, a duplicate, a lost dispute. All of them call :func:`end`.
Stripe also ends subscriptions, by itself or in its Dashboard; :func:`follow` handles those. What is left to do at Stripe is
then due, and a worker completes it.
"""

from collections.abc import Sequence
from datetime import datetime

from app.aggregates import grants, refund_orders
from app.db import anomalies, credits, disputes, intents, outbox, payments, refunds, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session
from app.domain.anomalies import UNREFUNDED_CREDIT, unrefunded_credit
from app.domain.cancellations import invoices_that_bought_nothing, payable_invoices, refunds_due
from app.domain.credits import UNSPENT, unspent_refunds
from app.domain.imports import ended_earlier
from app.domain.money import Money
from app.domain.outbox import OutboxReader, subscription_ended
from app.domain.refunds import Refund, RefundBasis, RefundInProgress
from app.domain.rules import Rules
from app.domain.subscriptions import OVER, Payment, StripeSubscriptionState, Subscription, Term

FINALIZE_TO_VOID = "invoice.finalize"  # the intent to finalize a draft, because only then it can be voided
WRITE_OFF = (
    "invoice.write_off"  # the intent to credit the rest of an invoice that was paid in part, which can't be voided
)


async def end(session: Session, rules: Rules, subscription_id: str, *, by: str, now: datetime) -> bool:
    """
    End a subscription: access ends with this commit, and its cancellation at Stripe becomes due.

    Refunds of payments that bought nothing are ordered: all payments of a duplicate or of an erased reader, and payments
    after the end. The caller holds the subscriber's lock. A repeated call derives the grants again, and makes the completion
    at Stripe due again, because more may be due to the customer's balance.

    :param by: the cause: ``cancel_now``, or the basis of a refund.
    :returns: whether this call ended it.
    """
    subscription = await subscriptions.by_id(session, subscription_id)
    if subscription is None:
        return False
    ended_at_stripe = by == RefundBasis.PAID_AFTER_END and subscription.status in OVER
    is_new = not ended_at_stripe and await subscriptions.order_end(session, subscription.id, by=by, now=now)
    before, subscription = subscription, await subscriptions.by_id(session, subscription.id) or subscription
    subscriber = await subscribers.by_id(session, subscription.subscriber_id)
    if is_new and subscriber is not None:
        reader = OutboxReader.of(subscriber.id, subscriber.sub)
        await outbox.add(session, subscription_ended(reader, before, subscription))
    if not is_new and subscription.closed_at is not None:
        await subscriptions.order_close(session, subscription.id)
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
    subscription, if an invoice is payable again, or if a subscription that we ended is live there. If it ended before we
    followed it, its invoices are left alone. The caller holds the subscriber's lock.
    """
    for invoice_id in await useless_invoices(session, subscription, state):
        basis = RefundBasis.DUPLICATE if subscription.ended_by == RefundBasis.DUPLICATE else RefundBasis.PAID_AFTER_END
        await subscriptions.mark_term_refunded(session, invoice_id, basis, at=now)
    all_ordered = await _order_refunds(session, subscription, now=now)
    is_over, is_closed = subscription.status in OVER, subscription.closed_at is not None
    is_live_again = not is_over and subscription.access_ended_at is not None and is_closed
    is_unfinished = not all_ordered or (not ended_earlier(subscription) and (not is_closed or payable_invoices(state)))
    if is_live_again or (is_over and is_unfinished):
        await subscriptions.order_close(session, subscription.id)
        await leases.notify(session)


async def useless_invoices(
    session: Session, subscription: Subscription, state: StripeSubscriptionState
) -> frozenset[str]:
    """
    Return the IDs of the invoices that the customer's balance paid whole and that bought nothing.

    They were paid after the end, belong to a duplicate, or are drafts that we finalized in order to void them. No payment
    can be refunded for them; the amount goes back to the balance.
    """
    paid = [one for one in state.invoices if one.paid_by_balance > 0 and not one.payments]
    if not paid or (subscription.ended_at is None and subscription.access_ended_at is None):
        return frozenset()
    ours = await intents.rows_with(session, FINALIZE_TO_VOID, [one.id for one in paid])
    terms = await subscriptions.terms_of(session, subscription.id)
    own = await payments.of_subscription(session, subscription.id)
    existing = await refunds.of_subscriber(session, subscription.subscriber_id)
    return invoices_that_bought_nothing(subscription, terms, own, existing, paid) | ours


async def _order_refunds(session: Session, subscription: Subscription, *, now: datetime) -> bool:
    """
    Order refunds of payments that bought nothing, and of unspent credits, each once.

    :returns: False if one has to wait for another refund of the same payment.
    """
    if subscription.ended_at is None and subscription.access_ended_at is None:
        return True
    terms = await subscriptions.terms_of(session, subscription.id)
    paid = await payments.of_subscription(session, subscription.id)
    existing = await refunds.of_subscriber(session, subscription.subscriber_id)
    written_off = await intents.rows_with(session, WRITE_OFF, [payment.invoice_id for payment in paid])
    cause = subscription.ended_by or subscription.end_reason or subscription.status
    due: list[tuple[Payment, str, int | None]] = [
        (payment, basis, None)
        for payment, basis in refunds_due(subscription, terms, paid, existing, written_off=written_off)
    ]
    if not ended_earlier(subscription):
        due += await _unspent_refunds(session, subscription, terms, paid, existing)
    all_ordered = True
    for payment, basis, amount in due:
        if basis == RefundBasis.PAID_AFTER_END:  # it opens no term, not even until the refund is confirmed
            await subscriptions.mark_term_refunded(session, payment.invoice_id, basis, at=now)
        try:
            await refund_orders.refund(
                session,
                payment,
                subscriber_id=subscription.subscriber_id,
                basis=basis,
                reason=f"ended:{cause}",
                now=now,
                amount=amount,
            )
        except RefundInProgress:
            all_ordered = False
    return all_ordered


async def _unspent_refunds(
    session: Session,
    subscription: Subscription,
    terms: Sequence[Term],
    paid: Sequence[Payment],
    existing: Sequence[Refund],
) -> list[tuple[Payment, str, int | None]]:
    """Return the refunds of unspent credits that are due. Staff see the amount for which no payment can be refunded."""
    own = await credits.of_subscription(session, subscription.id)
    if not any(one.kind in UNSPENT for one in own):
        return []
    unrefundable = await disputes.unrefundable_payments(session, subscription.subscriber_id)
    due, left = unspent_refunds(own, paid, terms, existing, unrefundable=unrefundable)
    await anomalies.report(
        session,
        subscription.id,
        {UNREFUNDED_CREDIT: unrefunded_credit(Money(left, subscription.currency))} if left else {},
        subscriber_id=subscription.subscriber_id,
        among=[UNREFUNDED_CREDIT],
    )
    return [(payment, RefundBasis.UNSPENT_CREDIT, amount) for payment, amount in due]


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
