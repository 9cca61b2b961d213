"""
Customers that were changed or deleted at Stripe.

The identity provider is the authority on readers, so an email address that was changed at Stripe is reported to staff and
not saved. For an imported reader who has not signed in yet, Stripe's data is saved. Deleting a customer is final: Stripe has
canceled their subscriptions, which are fetched again, and the reader's next checkout creates another customer.
"""

from dataclasses import replace

from app.context import Context
from app.db import anomalies, audit, contacts, inbox, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.anomalies import ADDRESS_MISMATCH, address_mismatch
from app.domain.contacts import Contact
from app.domain.customers import StripeCustomerState
from app.domain.events import RefetchKind
from app.domain.imports import UNCLAIMED
from app.domain.subscriptions import OVER, UnknownCustomer
from app.gateway import customers as at_stripe


async def sync(ctx: Context, customer_id: str) -> None:
    """
    Bring a subscriber up to date with their customer at Stripe.

    :raises UnknownCustomer: no subscriber has that customer.
    """
    state = await at_stripe.fetch(ctx.gateway, customer_id)
    async with ctx.sessions.begin() as session:
        owner = await subscribers.lock_customer(session, customer_id)
        if owner is None:
            raise UnknownCustomer(f"The customer {customer_id} is not one of our subscribers")
        if state.deleted:
            await _remove_customer(session, owner, customer_id)
            return
        if owner.sub.startswith(UNCLAIMED):
            known = Contact(email=owner.email, name=owner.name, email_verified=False)
            await contacts.save(
                session, owner.id, replace(known, email=state.email, name=state.name), known=known, push=False
            )
            return
        await anomalies.report(
            session, customer_id, _differences(owner, state), subscriber_id=owner.id, among=[ADDRESS_MISMATCH]
        )


async def _remove_customer(session: Session, owner: Subscriber, customer_id: str) -> None:
    """Remove a deleted customer from its subscriber, and request a refetch of the subscriptions that Stripe has canceled."""
    await subscribers.unset_customer(session, owner.id)
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


def _differences(owner: Subscriber, state: StripeCustomerState) -> dict[str, str]:
    reason = address_mismatch(owner.email, state.email)
    return {ADDRESS_MISMATCH: reason} if reason is not None else {}
