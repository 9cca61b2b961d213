"""
The end of a subscription on our side, in one transaction with whatever made it end.

Several use cases end one: a reader's or an agent's cancellation, a refund, a double, a lost dispute. All go through
:func:`end`; what is left to do at Stripe is then due, and a worker repeats it until it is done.
"""

from datetime import datetime

from app.db import grants, subscribers, subscriptions, work
from app.db.session import Session
from app.domain.policy import Rules


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
