"""What support sees of a reader: found by a few letters, shown on one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.context import Context
from app.db import (
    anomalies,
    audit,
    comps,
    disputes,
    entitlements,
    grants,
    inbox,
    issues,
    payments,
    refunds,
    subscribers,
    subscriptions,
)
from app.db.engine.fast_reads import Reading
from app.db.subscribers import Subscriber
from app.domain import events
from app.domain.anomalies import Anomaly
from app.domain.comps import Comp
from app.domain.disputes import Dispute
from app.domain.entitlements import Decision, Grant, decide
from app.domain.errors import NotFound
from app.domain.history import HistoryEntry, ReaderRecords, history_of
from app.domain.issues import Ledger, ledgers_of
from app.domain.refunds import Refund
from app.domain.subscriptions import Payment, Subscription, Term


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of a list, and where it goes on."""

    found: list[Subscriber]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything about one reader. Every feature is answered for, with the reason why or why not."""

    subscriber: Subscriber
    subscriptions: list[tuple[Subscription, list[Term]]]
    ledgers: dict[str, Ledger]  # by the term's invoice
    payments: list[Payment]
    refunds: list[Refund]
    disputes: list[Dispute]
    comps: list[Comp]
    grants: list[Grant]
    access: dict[str, Decision]
    timeline: list[HistoryEntry]
    anomalies: list[Anomaly]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentOf:
    """A payment, with whose it is."""

    payment: Payment
    subscriber: Subscriber


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOf:
    """A refund, with whose it is."""

    refund: Refund
    subscriber: Subscriber


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOf:
    """A subscription, with whose it is."""

    subscription: Subscription
    subscriber: Subscriber


async def reader(ctx: Context, subscriber_id: str) -> Subscriber:
    """
    Return a reader.

    :raises NotFound: there is no such reader.
    """
    async with ctx.sessions.begin() as session:
        found = await subscribers.by_id(session, subscriber_id)
    if found is None:
        raise NotFound("there is no such reader")
    return found


async def subscription(ctx: Context, subscription_id: str) -> SubscriptionOf:
    """
    Return a subscription, and whose it is.

    :raises NotFound: there is no such subscription.
    """
    async with ctx.sessions.begin() as session:
        found = await subscriptions.by_id(session, subscription_id)
        subscriber = await subscribers.by_id(session, found.subscriber_id) if found else None
    if found is None or subscriber is None:
        raise NotFound("there is no such subscription")
    return SubscriptionOf(subscription=found, subscriber=subscriber)


async def payment(ctx: Context, payment_id: str) -> PaymentOf:
    """
    Return a payment, and whose it is.

    :raises NotFound: there is no such payment.
    """
    async with ctx.sessions.begin() as session:
        found = await payments.by_id(session, payment_id)
        owner = await payments.owner_of(session, payment_id)
        subscriber = await subscribers.by_id(session, owner[0]) if owner else None
    if found is None or subscriber is None:
        raise NotFound("there is no such payment")
    return PaymentOf(payment=found, subscriber=subscriber)


async def refund(ctx: Context, refund_id: str) -> RefundOf:
    """
    Return a refund, and whose it is.

    :raises NotFound: there is no such refund.
    """
    async with ctx.sessions.begin() as session:
        found = await refunds.by_id(session, refund_id)
        subscriber = await subscribers.by_id(session, found.subscriber_id) if found else None
    if found is None or subscriber is None:
        raise NotFound("there is no such refund")
    return RefundOf(refund=found, subscriber=subscriber)


async def names(ctx: Context, subscriber_ids: Sequence[str]) -> dict[str, Subscriber]:
    """Return readers by their ids, in one question."""
    async with ctx.sessions.begin() as session:
        return await subscribers.by_ids(session, subscriber_ids)


async def search(ctx: Context, words: str, *, after: str | None, limit: int) -> Page:
    """Find readers by the beginning of an address or a name, or by any whole id. No words find nobody."""
    words = words.strip()
    if not words:
        return Page(found=[], next=None)
    found = await subscribers.search(Reading(ctx.pool), words, after=after, limit=limit + 1)
    return Page(found=found[:limit], next=found[limit - 1].id if len(found) > limit else None)


async def overview(ctx: Context, subscriber_id: str, *, now: datetime) -> Overview:
    """
    Return all there is about one reader.

    :raises NotFound: there is no such reader.
    """
    read = Reading(ctx.pool)
    subscriber = await subscribers.by_id(read, subscriber_id)
    if subscriber is None:
        raise NotFound("there is no such reader")
    terms = await subscriptions.terms_by_subscription(read, subscriber.id)
    held = [(one, terms.get(one.id, [])) for one in await subscriptions.of_subscriber(read, subscriber.id)]
    paid = await payments.of_subscriber(read, subscriber.id)
    given = await refunds.of_subscriber(read, subscriber.id)
    disputed = await disputes.of_subscriber(read, subscriber.id)
    calendar = await issues.calendar_now(read, ctx.rules.zone)
    free = await comps.of_subscriber(read, subscriber.id)
    granted = await grants.of_subscriber(read, subscriber.id)
    notes = await audit.story_of(read, subscriber.id)
    told_of = await inbox.told_of(read, _keys(subscriber, held, paid))
    odd = await anomalies.of_subscriber(read, subscriber.id)
    access, _ = await entitlements.read(ctx.pool, subscriber.sub)
    return Overview(
        subscriber=subscriber,
        subscriptions=held,
        ledgers={
            ledger.invoice_id: ledger
            for one, terms in held
            for ledger in ledgers_of(one, terms, calendar, ctx.rules.catalogue, now=now)
        },
        payments=paid,
        refunds=given,
        disputes=disputed,
        comps=free,
        grants=granted,
        anomalies=odd,
        access={name: decide(access, name, ctx.rules.catalogue, now=now) for name in ctx.rules.catalogue.features},
        timeline=history_of(
            ReaderRecords(
                subscriptions=held,
                payments=paid,
                refunds=given,
                disputes=disputed,
                comps=free,
                actions=notes,
                stripe_events=told_of,
            ),
            ctx.rules.zone,
        ),
    )


def _keys(reader: Subscriber, held: list[tuple[Subscription, list[Term]]], paid: list[Payment]) -> list[str]:
    """Return by which keys the inbox knows what is told of a reader."""
    invoices = {payment.invoice_id for payment in paid} | {term.invoice_id for _, terms in held for term in terms}
    return [
        f"{events.DUPLICATES}:{reader.id}",
        f"{events.CUSTOMER}:{reader.stripe_customer_id}",
        *(f"{events.SUBSCRIPTION}:{one.stripe_id}" for one, _ in held),
        *(f"{kind}:{invoice}" for kind in (events.INVOICE, events.CREDITED) for invoice in sorted(invoices)),
        *(f"{events.PAYMENT}:{payment.id}" for payment in paid),
    ]
