"""A subscriber's customer at Stripe: created when it is first needed, and removed when Stripe has deleted it."""

from datetime import datetime, timedelta

from app.aggregates import contacts
from app.aggregates.intents import send
from app.db import anomalies, audit, checkouts, erasures, inbox, intents, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session, Sessions
from app.db.intents import Intent
from app.db.subscribers import Subscriber
from app.domain.callers import Reader
from app.domain.contacts import CONTACT_REFUSED, stripe_fields
from app.domain.errors import ConcurrentUpdate, StripeRefused
from app.domain.events import RefetchKind
from app.domain.subscriptions import OVER
from app.gateway import customers as at_stripe
from app.gateway.client import Gateway
from app.gateway.translate import OUR_SUB, OUR_SUBSCRIBER

# Stripe may delete a key after 24 hours. Before an older one is used again, we check whether the request succeeded.
KEY_LIFETIME = timedelta(hours=20)


async def ensure(sessions: Sessions, gateway: Gateway, reader: Reader, *, now: datetime) -> tuple[str, Subscriber]:
    """
    Return the ID of a reader's customer, created if necessary, and the subscriber.

    If Stripe declines the email address, the customer is created without it, and staff see an anomaly.

    :raises StripeRefused: Stripe declined something else.
    """
    async with sessions.begin() as session:
        subscriber = await subscribers.ensure(session, sub=reader.sub, email=reader.email, name=reader.name)
        if await contacts.update(session, subscriber, reader):
            subscriber = await subscribers.lock(session, subscriber.id)
        if subscriber.stripe_customer_id is not None:
            return subscriber.stripe_customer_id, subscriber
        parameters: dict[str, object] = {
            "metadata": {OUR_SUBSCRIBER: subscriber.id, OUR_SUB: subscriber.sub},
            **stripe_fields(subscriber.email, subscriber.name),
        }
        if gateway.test_clock:
            parameters["test_clock"] = gateway.test_clock
        intent = await intents.record(session, subscriber.id, "customer", parameters)
    try:
        customer_id = await _create(sessions, gateway, subscriber, intent, now=now)
    except StripeRefused as refusal:
        if refusal.facts.get("param") != "email" or "email" not in intent.parameters:
            raise
        without = {name: value for name, value in intent.parameters.items() if name != "email"}
        async with sessions.begin() as session:
            await subscribers.lock(session, subscriber.id)
            intent = await intents.record(session, subscriber.id, "customer", without)
        customer_id = await _create(sessions, gateway, subscriber, intent, now=now)
    async with sessions.begin() as session:
        saved_id = await _save(session, subscriber, customer_id, intent)
        is_erased = (await subscribers.lock(session, subscriber.id)).sub != subscriber.sub
        if is_erased:  # while the customer was being created, which the erasure now deletes too
            await erasures.reopen(session, subscriber.id)
    if is_erased:
        raise ConcurrentUpdate
    return saved_id, subscriber


async def _save(session: Session, subscriber: Subscriber, customer_id: str, intent: Intent) -> str:
    """Save a new customer, and compare it with the reader's contact, which may have changed since the intent was stored."""
    current = await subscribers.lock(session, subscriber.id)
    saved_id = await subscribers.set_customer(session, subscriber.id, customer_id)
    await intents.settle(session, intent.key)
    wanted = stripe_fields(current.email, current.name)
    if current.email is not None and "email" not in intent.parameters:
        del wanted["email"]  # Stripe declined it
        reason = f"Stripe declined the email address {current.email}. The customer has none and gets no receipts."
        await anomalies.report(
            session, saved_id, {CONTACT_REFUSED: reason}, subscriber_id=subscriber.id, among=[CONTACT_REFUSED]
        )
    if any(intent.parameters.get(name) != value for name, value in wanted.items()):
        await contacts.push_again(session, subscriber.id)
    return saved_id


async def _create(
    sessions: Sessions, gateway: Gateway, subscriber: Subscriber, intent: Intent, *, now: datetime
) -> str:
    async def find() -> str | None:
        email = intent.parameters.get("email")
        return await at_stripe.find(gateway, email=str(email) if email else None, subscriber_id=subscriber.id)

    existing = await find() if now - intent.created_at > KEY_LIFETIME else None
    if existing is not None:
        return existing
    return await send(sessions, intent, at_stripe.create(gateway, intent.parameters, key=intent.key), find=find)


async def remove(session: Session, owner: Subscriber, customer_id: str) -> None:
    """
    Remove a deleted customer from its subscriber, whose next checkout creates another one.

    Stripe has canceled the customer's subscriptions, so they are fetched again. The caller holds the subscriber's lock.
    """
    await subscribers.unset_customer(session, owner.id)
    await checkouts.abandon(session, owner.id)
    await anomalies.report(session, customer_id, {}, subscriber_id=owner.id)
    all_subscriptions = await subscriptions.of_subscriber(session, owner.id)
    for one in all_subscriptions:
        if one.status not in OVER:
            await inbox.request_refetch(session, f"{RefetchKind.SUBSCRIPTION}:{one.stripe_id}", why="customer_deleted")
    await audit.record(
        session,
        actor="stripe",
        action="customer.deleted",
        object_id=customer_id,
        subscriber_id=owner.id,
        before={"subscriptions": [one.id for one in all_subscriptions if one.status not in OVER]},
    )
    await leases.notify(session)


async def remove_if_deleted(sessions: Sessions, gateway: Gateway, customer_id: str) -> bool:
    """Remove a customer from its subscriber if Stripe has deleted it, and return whether it has."""
    state = await at_stripe.fetch(gateway, customer_id)
    if not state.deleted:
        return False
    async with sessions.begin() as session:
        owner = await subscribers.lock_customer(session, customer_id)
        if owner is not None:
            await remove(session, owner, customer_id)
    return True
