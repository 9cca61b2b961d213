"""
Load everything that a refund quote depends on.

Callers that pay a refund hold the subscriber's lock; callers that only show a quote do not.
"""

from dataclasses import dataclass
from datetime import datetime

from app.db import disputes, issues, payments, refunds, subscribers, subscriptions
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Session
from app.domain.issues import schedule_terms
from app.domain.quotes import RefundContext, progress_of
from app.domain.rules import Rules
from app.domain.subscriptions import NoSubscription, Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedCase:
    """A case, and the IDs of its subscriber and subscription."""

    case: RefundContext
    subscriber_id: str
    subscription_id: str


async def of_payment(session: Reads, rules: Rules, payment_id: str, *, now: datetime) -> LoadedCase | None:
    """Return the case of a payment, or None if the payment is unknown."""
    subscription = await subscriptions.of_payment(session, payment_id)
    return await _load(session, rules, subscription, payment_id, now=now) if subscription is not None else None


async def of_subscription(session: Session, rules: Rules, subscription_id: str, *, now: datetime) -> LoadedCase | None:
    """Return the case of a subscription's first payment above zero, or None if nothing was paid."""
    subscription = await subscriptions.by_id(session, subscription_id)
    return await _load(session, rules, subscription, None, now=now) if subscription is not None else None


async def of_reader(session: Session, rules: Rules, sub: str, *, now: datetime) -> LoadedCase:
    """
    Return the case of a reader's current subscription.

    :raises NoSubscription: the reader has no paid subscription.
    """
    subscriber = await subscribers.by_sub(session, sub)
    subscription = await subscriptions.current(session, subscriber.id) if subscriber else None
    found = await of_subscription(session, rules, subscription.id, now=now) if subscription else None
    if found is None:
        raise NoSubscription
    return found


async def _load(
    session: Reads, rules: Rules, subscription: Subscription, payment_id: str | None, *, now: datetime
) -> LoadedCase | None:
    paid = await payments.of_subscription(session, subscription.id)
    payment = next((p for p in paid if (p.amount > 0 if payment_id is None else p.id == payment_id)), None)
    if payment is None:
        return None
    terms = await subscriptions.terms_of(session, subscription.id)
    calendar = await issues.calendar_now(session, rules.zone)
    runs = schedule_terms(subscription, terms, calendar, rules.catalogue) if len(calendar) else []
    case = RefundContext(
        payment=payment,
        payments=paid,
        terms=terms,
        refunds=await refunds.of_subscriber(session, subscription.subscriber_id),
        guarantee=rules.catalogue.plan(subscription.plan).guarantee,
        progress=progress_of(paid, terms, runs, now=now),
        disputed=await disputes.unrefundable_payments(session, subscription.subscriber_id),
    )
    return LoadedCase(case=case, subscriber_id=subscription.subscriber_id, subscription_id=subscription.id)
