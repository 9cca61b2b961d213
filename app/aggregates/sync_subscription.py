"""
A subscription, kept as Stripe has it: our copy, its terms and payments, what they grant, and what follows from its end.

Several use cases look at Stripe and keep what they saw. All go through :func:`keep`, which saves only if nobody saved since
the look began, and else has it looked at again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from app.aggregates import cancellations
from app.db import anomalies, grants, inbox, payments, subscribers, subscriptions
from app.db.engine.session import Session, Sessions
from app.db.subscribers import Subscriber
from app.db.subscriptions import ConcurrentUpdate
from app.domain.anomalies import UNKNOWN_CUSTOMER
from app.domain.anomalies import item_anomalies as anomalies_of_items
from app.domain.events import CUSTOMER, DUPLICATES
from app.domain.rules import Rules
from app.domain.status_table import classify
from app.domain.subscriptions import (
    OVER,
    ForeignStripeObject,
    StripeSubscriptionState,
    Subscription,
    UnknownCustomer,
    payments_of,
    terms_of,
)
from app.domain.transitions import unreachable_origin

LOOKS = 5  # how often we look again when somebody saved meanwhile


async def keep(
    sessions: Sessions,
    rules: Rules,
    stripe_id: str,
    look: Callable[[], Awaitable[StripeSubscriptionState]],
    *,
    now: datetime,
    alone: bool = False,
    version: int | None = None,
    seen: StripeSubscriptionState | None = None,
) -> Subscription:
    """
    Bring our copy of a subscription, its terms, payments and grants up to what ``look`` finds at Stripe.

    ``look`` is awaited outside of any transaction.

    :param alone: others of the reader's are being looked at by the caller, so that they need not be.
    :param version: the subscription's, if the caller has just read it.
    :param seen: what was found after that, if the caller has looked already.
    :raises NotOurs: it is of another product of the account, or of a customer we do not know.
    :raises UnknownPlan: it is of a plan that the catalogue no longer has.
    :raises ConcurrentUpdate: others kept saving while we looked.
    """
    for _ in range(LOOKS):
        if version is None:
            async with sessions.begin() as session:
                version = await subscriptions.version(session, stripe_id)
        found = seen if seen is not None else await look()
        try:
            async with sessions.begin() as session:
                return await save(session, rules, found, if_version=version, now=now, alone=alone)
        except ConcurrentUpdate:
            version = seen = None
    raise ConcurrentUpdate(stripe_id)


async def save(
    session: Session,
    rules: Rules,
    seen: StripeSubscriptionState,
    *,
    if_version: int,
    now: datetime,
    alone: bool = False,
) -> Subscription:
    """
    Keep what was seen, in the caller's transaction. Takes the subscriber's lock.

    :raises ConcurrentUpdate: somebody saved since ``if_version`` was read.
    """
    known = await subscriptions.by_stripe_id(session, seen.id) if if_version else None
    subscriber = await (subscribers.lock(session, known.subscriber_id) if known else _owner(session, seen))
    seen = replace(seen, known_as=known.plan) if known else seen
    rules.catalogue.plan(seen.plan)  # one of ours that was taken out of the file is a fault to mend, not to ignore
    before = unreachable_origin(known.status, seen.status, known.came_from) if known else None
    held = await subscriptions.save(session, subscriber.id, seen, if_version=if_version, came_from=before)
    await subscriptions.save_terms(session, held.id, terms_of(seen, rules.catalogue))
    await payments.save(session, held.id, payments_of(seen))
    await cancellations.follow(session, held, seen, now=now)
    theirs = await subscriptions.of_subscriber(session, subscriber.id)
    if held.is_live and not alone and sum(one.is_live for one in theirs) > 1:
        await inbox.request_refetch(session, f"{DUPLICATES}:{subscriber.id}", why="double")
    terms = await grants.derive(session, subscriber, held, rules.catalogue, rules.access, now=now, theirs=theirs)
    odd = dict([anomaly]) if (anomaly := classify(held, terms).anomaly) else {}
    odd |= anomalies_of_items(seen, rules.catalogue) if held.status not in OVER else {}
    await anomalies.report(session, held.stripe_id, odd, subscriber_id=subscriber.id)
    return held


async def _owner(session: Session, seen: StripeSubscriptionState) -> Subscriber:
    """
    Lock and return whose a subscription is that we did not know: its customer's, else the one's named in its metadata.

    One made by hand for a customer of its own is adopted if it names a subscriber who has no customer yet. An address is no
    proof of who somebody is, so nobody is found by it.
    """
    owner = await subscribers.lock_customer(session, seen.customer_id)
    if owner is None and seen.subscriber_id is not None:
        named = await subscribers.by_id(session, seen.subscriber_id)
        if named is not None and named.stripe_customer_id is None:
            await subscribers.set_customer(session, named.id, seen.customer_id)
            owner = await subscribers.lock_customer(session, seen.customer_id)
            await inbox.request_refetch(
                session, f"{CUSTOMER}:{seen.customer_id}", why="adopted"
            )  # it may be deleted by now
    if owner is None:
        raise UnknownCustomer(f"the customer {seen.customer_id} is none of our subscribers")
    return owner


async def report_foreign(
    session: Session, rules: Rules, seen: StripeSubscriptionState, refusal: ForeignStripeObject
) -> None:
    """Have staff look at a subscription that is of our offer, and that cannot be kept all the same."""
    if not any(item.plan is not None for item in seen.items):
        return  # another product's
    owner = await subscribers.by_customer(session, seen.customer_id)
    odd = dict(anomalies_of_items(seen, rules.catalogue))
    if isinstance(refusal, UnknownCustomer):
        odd[UNKNOWN_CUSTOMER] = f"{refusal}; nobody here may read for it"
    if seen.status not in OVER:
        await anomalies.report(session, seen.id, odd, subscriber_id=owner.id if owner else None)
    else:
        await anomalies.report(session, seen.id, {}, subscriber_id=None)
