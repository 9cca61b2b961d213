"""
Readers as support sees them: everything about one reader. The search is in :mod:`app.services.reader_search`.

Whoever sees a reader is recorded, so each function takes the viewer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from app.aggregates import print_renewals, reader_views
from app.context import Context
from app.db import (
    addresses,
    anomalies,
    audit,
    comps,
    contacts,
    declarations,
    disputes,
    entitlements,
    grants,
    inbox,
    issues,
    payments,
    price_migrations,
    refunds,
    sent_copies,
    subscribers,
    subscriptions,
)
from app.db.engine.fast_reads import FastReads
from app.db.subscribers import Subscriber
from app.domain import events
from app.domain.access_status import AccessStatus, access_status
from app.domain.addresses import SavedAddress
from app.domain.anomalies import Anomaly
from app.domain.comps import Comp
from app.domain.current_subscription import HeldSubscription, current_subscription
from app.domain.declarations import Declaration
from app.domain.disputes import Dispute
from app.domain.entitlements import Decision, EntitlementSet, Grant, decide
from app.domain.errors import NotFound
from app.domain.history import HistoryEntry, LoggedAction, ReaderRecords, StripeEvent, history_of
from app.domain.issues import Calendar
from app.domain.ledgers import Ledger
from app.domain.price_migrations import PriceChange
from app.domain.print_renewals import lacks_print
from app.domain.reader_views import Place, Viewer
from app.domain.refunds import Refund
from app.domain.sent_copies import SentCopy
from app.domain.subscriptions import Payment, Subscription, Term
from app.domain.term_issues import ledgers_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything about one reader. ``access`` has a decision for every feature."""

    subscriber: Subscriber
    subscriptions: list[tuple[Subscription, list[Term]]]
    current: HeldSubscription | None  # one of the subscriptions
    access_statuses: dict[str, AccessStatus]  # by subscription
    ledgers: dict[str, Ledger]  # by the term's invoice; in brief: without those of ended subscriptions
    payments: list[Payment]
    refunds: Sequence[Refund]
    disputes: Sequence[Dispute]
    comps: Sequence[Comp]
    grants: list[Grant]
    access: dict[str, Decision]
    timeline: list[HistoryEntry]
    anomalies: list[Anomaly]
    print_is_later: frozenset[str] = (
        frozenset()
    )  # subscriptions without print until the next renewal, which includes it
    price_changes: Mapping[str, PriceChange] = field(default_factory=dict)  # coming ones, by subscription
    declarations: Sequence[Declaration] = ()  # cancellations and withdrawals, the newest first
    addresses: Sequence[SavedAddress] = ()  # the permanent one first, then those that are not over
    copies: Sequence[SentCopy] = ()  # printed on labels, the last issue first
    same_address: Sequence[Subscriber] = ()  # other readers with the same email address


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentWithSubscriber:
    """A payment and its subscriber."""

    payment: Payment
    subscriber: Subscriber


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundWithSubscriber:
    """A refund and its subscriber."""

    refund: Refund
    subscriber: Subscriber


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionWithSubscriber:
    """A subscription and its subscriber."""

    subscription: Subscription
    subscriber: Subscriber


async def reader(ctx: Context, subscriber_id: str, *, viewer: Viewer) -> Subscriber:
    """
    Return a reader.

    :raises NotFound: the reader does not exist.
    """
    async with ctx.sessions.begin() as session:
        found = await subscribers.by_id(session, subscriber_id)
    if found is None:
        raise NotFound("No such reader")
    await reader_views.record(ctx.reads, [found.id], viewer)
    return found


async def reader_by_sub(ctx: Context, sub: str, *, viewer: Viewer) -> Subscriber | None:
    """Return the reader with an ID of the identity provider; None if nobody with it has a record."""
    async with ctx.sessions.begin() as session:
        found = await subscribers.by_sub(session, sub)
    if found is not None:
        await reader_views.record(ctx.reads, [found.id], viewer)
    return found


async def subscription(ctx: Context, subscription_id: str, *, viewer: Viewer) -> SubscriptionWithSubscriber:
    """
    Return a subscription and its subscriber.

    :raises NotFound: the subscription does not exist.
    """
    async with ctx.sessions.begin() as session:
        found = await subscriptions.by_id(session, subscription_id)
        subscriber = await subscribers.by_id(session, found.subscriber_id) if found else None
    if found is None or subscriber is None:
        raise NotFound("No such subscription")
    await reader_views.record(ctx.reads, [subscriber.id], viewer)
    return SubscriptionWithSubscriber(subscription=found, subscriber=subscriber)


async def payment(ctx: Context, payment_id: str, *, viewer: Viewer) -> PaymentWithSubscriber:
    """
    Return a payment and its subscriber.

    :raises NotFound: the payment does not exist.
    """
    async with ctx.sessions.begin() as session:
        found = await payments.by_id(session, payment_id)
        owner = await payments.owner_of(session, payment_id)
        subscriber = await subscribers.by_id(session, owner[0]) if owner else None
    if found is None or subscriber is None:
        raise NotFound("No such payment")
    await reader_views.record(ctx.reads, [subscriber.id], viewer)
    return PaymentWithSubscriber(payment=found, subscriber=subscriber)


async def refund(ctx: Context, refund_id: str, *, viewer: Viewer) -> RefundWithSubscriber:
    """
    Return a refund and its subscriber.

    :raises NotFound: the refund does not exist.
    """
    async with ctx.sessions.begin() as session:
        found = await refunds.by_id(session, refund_id)
        subscriber = await subscribers.by_id(session, found.subscriber_id) if found else None
    if found is None or subscriber is None:
        raise NotFound("No such refund")
    await reader_views.record(ctx.reads, [subscriber.id], viewer)
    return RefundWithSubscriber(refund=found, subscriber=subscriber)


async def subscribers_by_id(ctx: Context, subscriber_ids: Sequence[str], *, viewer: Viewer) -> dict[str, Subscriber]:
    """Return subscribers by their IDs, for a list that shows their names."""
    async with ctx.sessions.begin() as session:
        found = await subscribers.by_ids(session, subscriber_ids)
    await reader_views.record(ctx.reads, list(found), replace(viewer, place=Place.SEARCH))
    return found


async def overview(
    ctx: Context,
    subscriber_id: str,
    *,
    viewer: Viewer,
    staff_names: Mapping[str, str] = MappingProxyType({}),
    history_days: int | None = None,
    now: datetime,
) -> Overview:
    """
    Return everything about one reader.

    :param staff_names: the names of staff by their ``sub``, for the history.
    :param history_days: the number of newest days of the history, and then without the access and the issues of ended
        subscriptions; None: everything.

    :raises NotFound: the reader does not exist.
    """
    found, more = await asyncio.gather(_purchases(ctx, subscriber_id, viewer, now), _case_file(ctx, subscriber_id, now))
    if found is None:
        raise NotFound("No such reader")
    subscriber, own, own_payments = found.subscriber, found.subscriptions, found.payments
    others = [one for one in found.same_address if one.id != subscriber.id]
    await reader_views.record(ctx.reads, [one.id for one in others], replace(viewer, place=Place.SEARCH))
    records = ReaderRecords(
        subscriptions=own,
        payments=own_payments,
        refunds=more.refunds,
        disputes=more.disputes,
        comps=more.comps,
        actions=more.actions,
        stripe_events=found.stripe_events,
    )
    current = current_subscription(own)
    derived = [one for one in own if history_days is None or one == current or one[0].can_be_canceled]
    return Overview(
        subscriber=subscriber,
        subscriptions=own,
        current=current,
        access_statuses={
            one.id: access_status(one, its_terms, ctx.rules.access, now=now) for one, its_terms in derived
        },
        ledgers={
            ledger.invoice_id: ledger
            for one, its_terms in derived
            for ledger in ledgers_of(
                one, its_terms, more.calendar, ctx.rules.catalogue, grace=ctx.rules.access.grace_period, now=now
            )
        },
        payments=own_payments,
        refunds=more.refunds,
        disputes=more.disputes,
        comps=more.comps,
        grants=more.grants,
        anomalies=more.anomalies,
        print_is_later=await _print_is_later(ctx, own),
        price_changes={
            one.id: change
            for one, change in found.priced
            if change is not None and one.is_live and one.cancel_at is None
        },
        declarations=more.declarations,
        access={
            name: decide(found.access, name, ctx.rules.catalogue, now=now) for name in ctx.rules.catalogue.features
        },
        timeline=history_of(records, ctx.localization, names=staff_names, days=history_days),
        addresses=more.addresses,
        copies=found.copies,
        same_address=others,
    )


class _Purchases(NamedTuple):
    """A reader, and what follows from what they bought."""

    subscriber: Subscriber
    same_address: list[Subscriber]
    access: EntitlementSet
    priced: list[tuple[Subscription, PriceChange | None]]
    subscriptions: list[tuple[Subscription, list[Term]]]
    payments: list[Payment]
    stripe_events: list[StripeEvent]
    copies: list[SentCopy]


async def _print_is_later(ctx: Context, held: Sequence[HeldSubscription]) -> frozenset[str]:
    """Return the IDs of the subscriptions without print until the next renewal, which includes it."""
    newest = [(one, terms[-1]) for one, terms in held if terms and lacks_print(one, terms[-1])]
    if not newest:
        return frozenset()
    async with ctx.sessions.begin() as session:
        later = [one.id for one, term in newest if await print_renewals.starts_at_renewal(session, one, term)]
    return frozenset(later)


async def _purchases(ctx: Context, subscriber_id: str, viewer: Viewer, now: datetime) -> _Purchases | None:
    """Return a reader and their purchases; None if there is no such reader."""
    async with FastReads.on_one_connection(ctx.pool) as read:
        subscriber = await contacts.reader(read, subscriber_id)
        if subscriber is None:
            return None
        await reader_views.record(read, [subscriber.id], viewer)
        access, _ = await entitlements.read(read, subscriber.sub)
        same_address = await subscribers.with_email(read, subscriber.email) if subscriber.email else []
        terms = await subscriptions.terms_by_subscription(read, subscriber.id)
        priced = await price_migrations.with_subscriptions(read, subscriber.id, now=now)
        own = [(one, terms.get(one.id, [])) for one, _ in priced]
        own_payments = await payments.of_subscriber(read, subscriber.id)
        return _Purchases(
            subscriber=subscriber,
            same_address=same_address,
            access=access,
            priced=priced,
            subscriptions=own,
            payments=own_payments,
            stripe_events=await inbox.list_by_keys(read, _keys(subscriber, own, own_payments)),
            copies=await sent_copies.of_subscriptions(read, [one.id for one, _ in own]),
        )


class _CaseFile(NamedTuple):
    """What else is recorded about a reader."""

    refunds: list[Refund]
    disputes: list[Dispute]
    comps: list[Comp]
    actions: list[LoggedAction]
    grants: list[Grant]
    declarations: list[Declaration]
    anomalies: list[Anomaly]
    addresses: list[SavedAddress]
    calendar: Calendar


async def _case_file(ctx: Context, subscriber_id: str, now: datetime) -> _CaseFile:
    """Return what else is recorded. Its queries run while the purchases are processed: half of them take no time."""
    async with FastReads.on_one_connection(ctx.pool) as read:
        return _CaseFile(
            refunds=await refunds.of_subscriber(read, subscriber_id),
            disputes=await disputes.of_subscriber(read, subscriber_id),
            comps=await comps.of_subscriber(read, subscriber_id),
            actions=await audit.list_for_subscriber(read, subscriber_id),
            grants=await grants.of_subscriber(read, subscriber_id),
            declarations=await declarations.of_subscriber(read, subscriber_id),
            anomalies=await anomalies.of_subscriber(read, subscriber_id),
            addresses=await addresses.of_subscriber(
                read, subscriber_id, today=now.astimezone(ctx.settings.zone).date()
            ),
            calendar=await issues.calendar(read, ctx.rules.zone),
        )


def _keys(reader: Subscriber, own: list[tuple[Subscription, list[Term]]], own_payments: list[Payment]) -> list[str]:
    """Return the keys of the inbox that are about a reader."""
    invoices = {payment.invoice_id for payment in own_payments} | {
        term.invoice_id for _, terms in own for term in terms
    }
    return [
        f"{events.RefetchKind.DUPLICATES}:{reader.id}",
        f"{events.RefetchKind.CUSTOMER}:{reader.stripe_customer_id}",
        *(f"{events.RefetchKind.SUBSCRIPTION}:{one.stripe_id}" for one, _ in own),
        *(
            f"{kind}:{invoice}"
            for kind in (events.RefetchKind.INVOICE, events.RefetchKind.CREDITED_INVOICE)
            for invoice in sorted(invoices)
        ),
        *(f"{events.RefetchKind.PAYMENT}:{payment.id}" for payment in own_payments),
    ]
