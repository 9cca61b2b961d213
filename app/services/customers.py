"""
Customers that were changed or deleted at Stripe.

The identity provider is the authority on readers, so an email address that was changed at Stripe is reported to staff and
not saved. For an imported reader who has not signed in yet, Stripe's data is saved. Deleting a customer is final: Stripe has
canceled their subscriptions, which are fetched again, and the reader's next checkout creates another customer.

A postal address that was added there is saved, if copies are owed to the reader and none is known.
"""

from dataclasses import replace
from datetime import datetime

from app.aggregates import addresses, customers
from app.context import Context
from app.db import anomalies, contacts, subscribers, subscriptions
from app.db.subscribers import Subscriber
from app.domain.anomalies import ADDRESS_MISMATCH, UNSPENT_CREDIT, address_mismatch, unspent_credit
from app.domain.contacts import CONTACT_REFUSED, Contact
from app.domain.customers import StripeCustomerState
from app.domain.imports import UNCLAIMED
from app.domain.subscriptions import UnknownCustomer
from app.gateway import customers as at_stripe


async def sync(ctx: Context, customer_id: str, *, now: datetime) -> None:
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
            await customers.remove(session, owner, customer_id)
            return
        if state.shipping is not None:
            owned = await subscriptions.of_subscriber(session, owner.id)
            await addresses.adopt(session, ctx.rules, owner, [one.stripe_id for one in owned], state.shipping, now=now)
        if owner.sub.startswith(UNCLAIMED):
            known = Contact(email=owner.email, name=owner.name, email_verified=False)
            await contacts.save(
                session, owner.id, replace(known, email=state.email, name=state.name), known=known, push=False
            )
            return
        live = await subscriptions.live_of(session, owner.id)
        found = _differences(owner, state, uses_credit=bool(live))
        resolved = [ADDRESS_MISMATCH, UNSPENT_CREDIT]
        if ADDRESS_MISMATCH not in found and state.email is not None:
            resolved.append(CONTACT_REFUSED)
        await anomalies.report(session, customer_id, found, subscriber_id=owner.id, among=resolved)


def _differences(owner: Subscriber, state: StripeCustomerState, *, uses_credit: bool) -> dict[str, str]:
    reasons = {
        ADDRESS_MISMATCH: address_mismatch(owner.email, state.email),
        UNSPENT_CREDIT: None if uses_credit else unspent_credit(state.credit),
    }
    return {code: reason for code, reason in reasons.items() if reason is not None}
