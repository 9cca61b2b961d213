"""Imported customers: Stripe customers become subscribers, and an imported subscriber becomes a known reader."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from app.aggregates import grants
from app.db import anomalies, audit, disputes, imports, payments, refunds, subscribers, subscriptions
from app.db.engine.session import Session, is_id
from app.db.subscribers import Subscriber
from app.domain.customers import StripeCustomerState
from app.domain.disputes import AccessEffect, effect_of
from app.domain.imports import (
    DISPUTE_LOST_EARLIER,
    HISTORY_CODES,
    REFUNDED_EARLIER,
    UNCLAIMED,
    NotClaimable,
    history_anomalies,
    sub_of,
)
from app.domain.reconciliation import Difference
from app.domain.refunds import CONFIRMED
from app.domain.rules import Rules
from app.domain.subscriptions import Subscription
from app.gateway.translate import OUR_SUBSCRIBER


async def import_customers(
    session: Session,
    customers: Iterable[StripeCustomerState],
    *,
    subs: Mapping[str, str],
    metadata_key: str,
    by: str,
    dry_run: bool,
) -> tuple[int, list[Difference]]:
    """
    Create subscribers for Stripe customers, and assign those with a placeholder to their readers where these are known now.

    :param subs: the reader's ``sub`` of each customer, as the publisher's file says.
    :param metadata_key: the customer's metadata that has the ``sub`` otherwise.
    :returns: the number of subscribers that are created or assigned, and the conflicts of others.
    """
    imported, conflicts = 0, []
    for customer in customers:
        sub = sub_of(customer, subs=subs, metadata_key=metadata_key)
        existing = await subscribers.by_customer(session, customer.id)
        if existing is not None and (existing.sub == sub or sub.startswith(UNCLAIMED)):
            continue
        other = await subscribers.by_sub(session, sub)
        conflict = _conflict(sub, existing, other)
        if conflict is not None:
            conflicts.append(Difference(object_id=customer.id, words=f"customer {customer.id}: {conflict}", key=None))
            continue
        imported += 1
        if dry_run:
            continue
        if existing is not None:
            await claim(session, existing, sub=sub, by=by, reason="import")
        elif other is not None:
            await subscribers.set_customer(session, other.id, customer.id)
        else:
            await imports.add_subscriber(session, customer, sub=sub, subscriber_id=await _former_id(session, customer))
    if imported and not dry_run:
        await audit.record(
            session, actor=by, action="subscribers.imported", object_id="subscribers", after={"subscribers": imported}
        )
    return imported, conflicts


async def _former_id(session: Session, customer: StripeCustomerState) -> str | None:
    """Return the ID of the subscriber for whom a customer was created before a backup was restored, if it is free."""
    named = customer.metadata.get(OUR_SUBSCRIBER, "")
    is_free = is_id(named, "rdr") and await subscribers.by_id(session, named) is None
    return named if is_free else None


def _conflict(sub: str, existing: Subscriber | None, other: Subscriber | None) -> str | None:
    """
    Return why a customer cannot be imported for a reader.

    :param existing: the subscriber with that customer.
    :param other: the subscriber with that ``sub``.
    """
    if existing is not None and not existing.sub.startswith(UNCLAIMED):
        return f"is {sub} as the file or the metadata says, and belongs to {existing.sub} here"
    if other is not None and other.stripe_customer_id is not None:
        return f"is {sub} as the file or the metadata says, who has the customer {other.stripe_customer_id} already"
    if other is not None and existing is not None:
        return f"is {sub} as the file or the metadata says, who is a subscriber by themselves already"
    return None


async def claim(session: Session, subscriber: Subscriber, *, sub: str, by: str, reason: str) -> Subscriber:
    """
    Assign a subscriber with a placeholder, and everything they have, to their reader.

    :raises NotClaimable: the subscriber is already a known reader, or the reader is already a subscriber.
    """
    locked = await subscribers.lock(session, subscriber.id)
    if not locked.sub.startswith(UNCLAIMED):
        raise NotClaimable("The customer belongs to another reader", subscriber=locked.sub)
    if await subscribers.by_sub(session, sub) is not None:
        raise NotClaimable("The reader is already a subscriber", subscriber=sub)
    await imports.assign(session, subscriber.id, sub=sub)
    claimed = await subscribers.lock(session, subscriber.id)
    await grants.rebuild(session, claimed, is_claim=True)
    await audit.record(
        session,
        actor=by,
        action="subscriber.claimed",
        object_id=subscriber.id,
        subscriber_id=subscriber.id,
        reason=reason,
        before={"placeholder": locked.sub},
    )
    return claimed


async def report_history(session: Session, rules: Rules, subscription: Subscription) -> None:
    """Show staff what is unusual in the history of a subscription, as of now."""
    paid = await payments.of_subscription(session, subscription.id)
    all_refunds = await refunds.of_subscriber(session, subscription.subscriber_id)
    all_disputes = await disputes.of_subscriber(session, subscription.subscriber_id)
    returned: dict[str, tuple[str, datetime]] = {}
    for invoice_id in {one.invoice_id for one in paid}:
        parts = {one.id: one.amount for one in paid if one.invoice_id == invoice_id}
        given = [one for one in all_refunds if one.payment_id in parts and one.status in CONFIRMED]
        if given and sum(one.amount for one in given) >= sum(parts.values()):
            code = REFUNDED_EARLIER if any(one.is_history for one in given) else ""
            returned[invoice_id] = code, max(one.made for one in given)
        for dispute in all_disputes:
            if dispute.payment_id in parts and effect_of(dispute.status).access == AccessEffect.ENDED:
                returned[invoice_id] = DISPUTE_LOST_EARLIER, dispute.opened_at
    terms = await subscriptions.terms_of(session, subscription.id)
    status = subscription.effective_status
    found = history_anomalies(status, subscription.ended_at, terms, paid, returned, zone=rules.zone)
    await anomalies.report(
        session, subscription.stripe_id, found, subscriber_id=subscription.subscriber_id, among=HISTORY_CODES
    )
