"""
Load everything that a refund quote depends on.

Callers that pay a refund hold the subscriber's lock; callers that only show a quote do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.aggregates import current_subscription, places
from app.db import disputes, grants, issues, payments, refunds, sent_copies, subscribers, subscriptions
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Session
from app.domain.entitlements import OtherAccess, other_access_of
from app.domain.issues import schedule_terms
from app.domain.places import UNKNOWN_PLACE, Place
from app.domain.print_returns import without_lost_print
from app.domain.progress import progress_of, with_labels_closed
from app.domain.quotes import Quote, RefundContext, guarantee_quote, uncharged_quote
from app.domain.rules import Rules
from app.domain.sent_copies import first_received
from app.domain.subscriptions import NoSubscription, Payment, Subscription, Term
from app.domain.withdrawals import Contract, contract_of


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


async def guarantee_of(session: Session, rules: Rules, sub: str, *, now: datetime) -> tuple[str | None, Quote]:
    """
    Return the payment that the guarantee covers for a reader, and its quote.

    The payment is None if nothing was charged for the reader's subscription: a promotion made it free, or it is a trial.

    :raises NoSubscription: the reader has no subscription, or has not paid for it yet.
    """
    subscriber = await subscribers.by_sub(session, sub)
    current = await current_subscription.find(session, subscriber.id) if subscriber else None
    if current is None:
        raise NoSubscription
    subscription, terms = current
    found = await of_subscription(session, rules, subscription.id, now=now)
    if found is not None:
        return guarantee_quote(found.case, now=now, zone=rules.zone)
    if not terms and subscription.trial_end is None:
        raise NoSubscription
    access = await access_by_source(session, rules, subscription.subscriber_id, subscription.id, now=now)
    return None, uncharged_quote(subscription, access.other)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessBySource:
    """The access that a subscription gives a reader, and what they have apart from it."""

    is_open: bool  # whether the subscription gives any, now or later
    other: OtherAccess | None


async def access_by_source(
    session: Reads, rules: Rules, subscriber_id: str, subscription_id: str | None, *, now: datetime
) -> AccessBySource:
    """Return a subscriber's access from a subscription, and from other sources."""
    found = await grants.by_subscription(session, subscriber_id)
    own = found.pop(subscription_id, []) if subscription_id is not None else []
    others = [grant for others in found.values() for grant in others]
    return AccessBySource(
        is_open=any(spell.until > now for grant in own for spells in grant.features.values() for spell in spells),
        other=other_access_of(others, rules.catalogue, now=now),
    )


async def _load(
    session: Reads, rules: Rules, subscription: Subscription, payment_id: str | None, *, now: datetime
) -> LoadedCase | None:
    paid = await payments.of_subscription(session, subscription.id)
    if any(one.print_from is not None for one in paid):
        known = await disputes.of_subscriber(session, subscription.subscriber_id)
        paid = without_lost_print(paid, known, besides=payment_id)
    payment = next((p for p in paid if (p.amount > 0 if payment_id is None else p.id == payment_id)), None)
    if payment is None:
        return None
    terms = await subscriptions.terms_of(session, subscription.id)
    calendar = with_labels_closed(await issues.calendar(session, rules.zone), now)
    runs = (
        schedule_terms(subscription, terms, calendar, rules.catalogue, grace=rules.access.grace_period)
        if len(calendar)
        else []
    )
    access = await access_by_source(session, rules, subscription.subscriber_id, subscription.id, now=now)
    contract, place = await contract_and_place(session, subscription, terms, paid, now=now)
    case = RefundContext(
        payment=payment,
        payments=paid,
        terms=terms,
        refunds=await refunds.of_subscriber(session, subscription.subscriber_id),
        guarantee=rules.catalogue.plan(subscription.plan).guarantee,
        progress=progress_of(paid, terms, runs, now=now),
        is_over=subscription.over_at is not None and not access.is_open,
        other_access=access.other,
        disputed=await disputes.unrefundable_payments(session, subscription.subscriber_id),
        contract=contract,
        place=place,
    )
    return LoadedCase(case=case, subscriber_id=subscription.subscriber_id, subscription_id=subscription.id)


async def contract_and_place(
    session: Reads, subscription: Subscription, terms: Sequence[Term], paid: Sequence[Payment], *, now: datetime
) -> tuple[Contract, Place]:
    """Return what the period of withdrawal counts from, and where the reader lives: unknown if no period may be open."""
    contract = contract_of(subscription, terms, paid, first_copy=None)
    if not contract.may_be_open(now):
        return contract, UNKNOWN_PLACE
    if contract.print_edition:
        copies = await sent_copies.of_subscriptions(session, [subscription.id])
        contract = replace(contract, first_copy_mailed=first_received(copies))
    return contract, await places.of_reader(session, subscription.subscriber_id, subscription)
