"""
The end of a subscription on our side, in one transaction with whatever made it end.

Several use cases end one: a reader's or an agent's cancellation, a refund, a double, a lost dispute. All go through
:func:`end`. Stripe ends one too, by itself or by a hand in its Dashboard; :func:`follow` sees to that. What is left
to do at Stripe is then due, and a worker repeats it until it is done.
"""

from datetime import datetime

from app.db import grants, ordering, payments, refunds, subscribers, subscriptions, work
from app.db.session import Session
from app.domain.endings import PAID_AFTER_END, over_since, paid_after, payable_of
from app.domain.policy import Rules
from app.domain.refunds import RefundInProgress
from app.domain.subscriptions import OVER, SeenSubscription, Subscription


async def end(session: Session, rules: Rules, subscription_id: str, *, by: str, now: datetime) -> bool:
    """
    End a subscription here: access goes with this commit, and its cancellation at Stripe becomes due.

    The caller holds the subscriber's lock. Told twice, it counts once; access is derived anew each time.

    :param by: what ended it: ``cancel_now``, or a refund's basis.
    :returns: whether it was not ordered before.
    """
    ordered = await subscriptions.order_end(session, subscription_id, by=by, now=now)
    held = await subscriptions.by_id(session, subscription_id)
    owner = await subscribers.by_id(session, held.subscriber_id) if held else None
    if held is not None and owner is not None:
        await grants.derive(session, owner, held, rules.catalogue, rules.access)
    await work.notify(session)
    return ordered


async def follow(session: Session, held: Subscription, seen: SeenSubscription, *, now: datetime) -> None:
    """
    See to what follows when Stripe was looked at and a subscription is over, there or here.

    What was paid after the end is ordered back. If Stripe ended it, or something is payable again, its end becomes due:
    until :func:`close` it is open what is left to do there. The caller holds the subscriber's lock.
    """
    settled = await _give_back(session, held, now=now)
    if held.status in OVER and (held.closed_at is None or not settled or payable_of(seen)):
        await subscriptions.order_close(session, held.id)
        await work.notify(session)


async def _give_back(session: Session, held: Subscription, *, now: datetime) -> bool:
    """Order back what was paid after the end, each payment once. False: one has to wait for another refund of it."""
    if held.ended_at is None and held.ended_here_at is None:
        return True
    paid = await payments.of_subscription(session, held.id)
    given = await refunds.of_subscriber(session, held.subscriber_id)
    since = over_since(held, await subscriptions.terms_of(session, held.id), paid, given)
    settled = True
    ordered = {
        refund.payment_id for refund in given if refund.basis == PAID_AFTER_END
    }  # one that failed is staff's matter
    for payment in paid_after(paid, since):
        if payment.id in ordered:
            continue
        try:
            await ordering.refund(
                session,
                payment,
                subscriber_id=held.subscriber_id,
                basis=PAID_AFTER_END,
                reason=f"ended:{held.ended_by or held.end_reason or held.status}",
                now=now,
            )
        except RefundInProgress:
            settled = False
    return settled


async def close(session: Session, subscription_id: str, *, now: datetime) -> bool:
    """
    Note that all is done at Stripe that an end asks for. The caller holds the subscriber's lock.

    :returns: False: something that was paid after the end waits for another refund of it, so the end stays due.
    """
    held = await subscriptions.by_id(session, subscription_id)
    settled = held is None or await _give_back(session, held, now=now)
    if settled:
        await subscriptions.close(session, subscription_id, now=now)
    return settled
