"""
Customers, followed: whom Stripe's hands changed or deleted.

Who a reader is, the identity provider says: an address that was changed at Stripe is shown to staff, and not followed. Of a
reader who was imported and not met yet, Stripe is all we know, and is believed. A deleted customer never comes back: Stripe
has cancelled what they had, which is looked at, and the reader's next checkout makes another.
"""

from app.context import Context
from app.db import anomalies, audit, inbox, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.anomalies import ADDRESS_MISMATCH, address_mismatch
from app.domain.customers import StripeCustomerState
from app.domain.events import SUBSCRIPTION
from app.domain.imports import UNCLAIMED
from app.domain.subscriptions import OVER, UnknownCustomer
from app.gateway import customers as at_stripe


async def follow(ctx: Context, customer_id: str) -> None:
    """
    Look at a customer, and keep what follows.

    :raises UnknownCustomer: they are none of our subscribers, or no longer.
    """
    seen = await at_stripe.fetch(ctx.gateway, customer_id)
    async with ctx.sessions.begin() as session:
        owner = await subscribers.lock_customer(session, customer_id)
        if owner is None:
            raise UnknownCustomer(f"the customer {customer_id} is none of our subscribers")
        if seen.deleted:
            await _part(session, owner, customer_id)
            return
        if owner.sub.startswith(UNCLAIMED):
            await subscribers.call(session, owner.id, email=seen.email, name=seen.name)
            return
        await anomalies.report(
            session, customer_id, _differences(owner, seen), subscriber_id=owner.id, among=[ADDRESS_MISMATCH]
        )


async def _part(session: Session, owner: Subscriber, customer_id: str) -> None:
    """Let a reader go on without a customer that was deleted. What they had is looked at, since Stripe has cancelled it."""
    await subscribers.unset_customer(session, owner.id)
    await anomalies.report(session, customer_id, {}, subscriber_id=owner.id)
    held = await subscriptions.of_subscriber(session, owner.id)
    for one in held:
        if one.status not in OVER:
            await inbox.request_refetch(session, f"{SUBSCRIPTION}:{one.stripe_id}", why="customer_deleted")
    await audit.record(
        session,
        actor="stripe",
        action="customer.deleted",
        object_id=customer_id,
        subscriber_id=owner.id,
        before={"subscriptions": [one.id for one in held if one.status not in OVER]},
    )
    await leases.notify(session)


def _differences(owner: Subscriber, seen: StripeCustomerState) -> dict[str, str]:
    reason = address_mismatch(owner.email, seen.email)
    return {ADDRESS_MISMATCH: reason} if reason is not None else {}
