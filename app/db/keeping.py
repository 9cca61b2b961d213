"""
A subscription, kept as Stripe has it: our copy, its terms and payments, what they grant, and what follows from its end.

Several use cases look at Stripe and keep what they saw. All go through :func:`keep`, which saves only if nobody saved since
the look began, and else has it looked at again.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from app.db import endings, grants, inbox, payments, subscribers, subscriptions
from app.db.session import Session, Sessions
from app.db.subscriptions import Overtaken
from app.domain.events import RIVALS
from app.domain.policy import Rules
from app.domain.subscriptions import NotOurs, SeenSubscription, Subscription, payments_of, terms_of

LOOKS = 5  # how often we look again when somebody saved meanwhile


async def keep(
    sessions: Sessions,
    rules: Rules,
    stripe_id: str,
    look: Callable[[], Awaitable[SeenSubscription]],
    *,
    now: datetime,
    alone: bool = False,
    version: int | None = None,
    seen: SeenSubscription | None = None,
) -> Subscription:
    """
    Bring our copy of a subscription, its terms, payments and grants up to what ``look`` finds at Stripe.

    ``look`` is awaited outside of any transaction.

    :param alone: others of the reader's are being looked at by the caller, so that they need not be.
    :param version: the subscription's, if the caller has just read it.
    :param seen: what was found after that, if the caller has looked already.
    :raises NotOurs: it is of another product of the account, or of a customer we do not know.
    :raises UnknownPlan: it is of a plan that the catalogue no longer has.
    :raises Overtaken: others kept saving while we looked.
    """
    for _ in range(LOOKS):
        if version is None:
            async with sessions.begin() as session:
                version = await subscriptions.version(session, stripe_id)
        found = seen if seen is not None else await look()
        try:
            async with sessions.begin() as session:
                return await save(session, rules, found, if_version=version, now=now, alone=alone)
        except Overtaken:
            version = seen = None
    raise Overtaken(stripe_id)


async def save(
    session: Session, rules: Rules, seen: SeenSubscription, *, if_version: int, now: datetime, alone: bool = False
) -> Subscription:
    """
    Keep what was seen, in the caller's transaction. Takes the subscriber's lock.

    :raises Overtaken: somebody saved since ``if_version`` was read.
    """
    subscriber = await subscribers.lock_customer(session, seen.customer_id)
    if subscriber is None:
        raise NotOurs(f"the customer {seen.customer_id} is none of our subscribers")
    rules.catalogue.plan(seen.plan)  # one of ours that was taken out of the file is a fault to mend, not to ignore
    held = await subscriptions.save(session, subscriber.id, seen, if_version=if_version)
    await subscriptions.save_terms(session, held.id, terms_of(seen, rules.catalogue))
    await payments.save(session, held.id, payments_of(seen))
    await endings.follow(session, held, seen, now=now)
    theirs = await subscriptions.of_subscriber(session, subscriber.id)
    if held.is_live and not alone and sum(one.is_live for one in theirs) > 1:
        await inbox.knock(session, f"{RIVALS}:{subscriber.id}", why="double")
    await grants.derive(session, subscriber, held, rules.catalogue, rules.access, now=now, theirs=theirs)
    return held
