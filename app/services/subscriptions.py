"""
Subscriptions: synced with Stripe, and shown to their reader.

An event only says that a subscription may have changed: its state is fetched, and saved if our copy has not changed since.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from app.aggregates import current_subscription, print_renewals, quotes, sync_subscription
from app.context import Context
from app.db import disputes, inbox, issues, payments, price_migrations, subscribers, subscriptions
from app.db.engine.session import Session
from app.domain.access_status import AccessStatus, Notice, access_status
from app.domain.current_subscription import HeldSubscription, pending_checkout
from app.domain.current_subscription import current_subscription as choose_current
from app.domain.derivations import digital_pauses
from app.domain.dunning import AccessPolicy
from app.domain.entitlements import AccessReason, OtherAccess
from app.domain.events import RefetchInstead, RefetchKind
from app.domain.issues import schedule_terms
from app.domain.ledgers import Ledger
from app.domain.notices import is_on_hold, notice_for
from app.domain.price_migrations import PriceChange
from app.domain.quotes import Quote, guarantee_quote, uncharged_quote
from app.domain.subscriptions import NoSubscription, StripeSubscriptionState, Subscription, Term
from app.domain.term_issues import TermIssues, issues_of_term
from app.domain.withdrawal_offers import WithdrawalOffer, offer, unpaid_offer
from app.gateway import subscriptions as at_stripe
from app.gateway.refunds import invoice_of as invoice_of_payment

CHECKS = 500  # requested in one transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionDetails:
    """A subscription as its reader sees it."""

    subscription: Subscription
    term: Term | None  # the current one, or the newest
    guarantee: Quote | None
    withdrawal: WithdrawalOffer
    ledger: Ledger | None  # of the term; None while the calendar is empty
    issues: TermIssues | None  # of the term; None while the calendar is empty
    status: AccessStatus
    notice: Notice | None
    on_hold: bool  # whether access is suspended, because the payment is disputed
    other_access: OtherAccess | None  # apart from this subscription
    price_change: PriceChange | None = None  # the coming one, of which the reader was told
    print_is_later: bool = False  # whether the term is without print, and the next renewal includes it


async def sync(
    ctx: Context,
    stripe_id: str,
    *,
    now: datetime,
    version: int | None = None,
    fetched: StripeSubscriptionState | None = None,
) -> Subscription:
    """
    Bring our copy of a subscription, its terms, payments and grants up to date with Stripe's.

    :param version: of our copy, if the caller has just read it.
    :param fetched: the subscription's state, if the caller has fetched it since.
    :raises ForeignStripeObject: it is for another product, or its customer is not one of our subscribers.
    :raises Gone: Stripe has no such subscription.
    :raises UnknownPlan: the catalogue no longer has its plan.
    :raises ConcurrentUpdate: others kept saving it.
    """
    fetch = partial(at_stripe.fetch, ctx.gateway, stripe_id)
    return await sync_subscription.sync(
        ctx.sessions, ctx.rules, stripe_id, fetch, now=now, version=version, fetched=fetched
    )


async def fetch_all(ctx: Context, stripe_ids: Collection[str]) -> Mapping[str, StripeSubscriptionState]:
    """Return the states of many subscriptions by listing; see :func:`app.gateway.subscriptions.fetch_all`."""
    return await at_stripe.fetch_all(ctx.gateway, stripe_ids)


async def request_checks(ctx: Context, *, now: datetime) -> int:
    """
    Request a refetch of the subscriptions of which nothing was heard when their renewal was due; return how many.

    Stripe sends no event when nothing happens, for example when it holds an invoice back. The refetch reports that.
    """
    total = 0
    while True:
        async with ctx.sessions.begin() as session:
            taken = await subscriptions.take_checks(session, now=now, limit=CHECKS)
            for stripe_id in taken:
                await inbox.request_refetch(session, f"{RefetchKind.SUBSCRIPTION}:{stripe_id}", why="check")
        total += len(taken)
        if len(taken) < CHECKS:
            return total


async def redirect_payment(ctx: Context, payment_id: str) -> None:
    """
    Redirect an event about a payment that has not succeeded to the subscription of its invoice.

    :raises RefetchInstead: always.
    :raises ForeignStripeObject: the payment has no invoice, or the invoice no subscription.
    """
    await redirect_invoice(ctx, await invoice_of_payment(ctx.gateway, payment_id))


async def redirect_invoice(ctx: Context, invoice_id: str) -> None:
    """
    Redirect an event about an invoice to its subscription, so that the worker with that lease handles it.

    :raises RefetchInstead: always.
    :raises ForeignStripeObject: the invoice has no subscription.
    """
    raise RefetchInstead(f"{RefetchKind.SUBSCRIPTION}:{await at_stripe.of_invoice(ctx.gateway, invoice_id)}")


async def sync_credited_invoice(ctx: Context, invoice_id: str, *, now: datetime) -> None:
    """Sync the subscription of an invoice that has a new credit note, and request a refetch of the invoice's payments."""
    await sync(ctx, await at_stripe.of_invoice(ctx.gateway, invoice_id), now=now)
    async with ctx.sessions.begin() as session:
        for payment in await payments.of_invoice(session, invoice_id):
            await inbox.request_refetch(session, f"{RefetchKind.PAYMENT}:{payment.id}", why="credited")


async def current(ctx: Context, sub: str, *, now: datetime) -> SubscriptionDetails:
    """
    Return a reader's current subscription.

    :raises NoSubscription: the reader has never had one. It says which other access they have.
    """
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_sub(session, sub)
        held = await current_subscription.all_of(session, subscriber.id) if subscriber else []
        chosen = choose_current(held)
        subscription_id = chosen[0].id if chosen is not None else None
        access = (
            await quotes.access_by_source(session, ctx.rules, subscriber.id, subscription_id, now=now)
            if subscriber
            else None
        )
        if subscriber is None or chosen is None or access is None:
            raise _no_subscription(access.other if access else None)
        subscription, terms = chosen
        quotable = await quotes.of_subscription(session, ctx.rules, subscription.id, now=now)
        calendar = await issues.calendar(session, ctx.rules.zone)
        withdrawal = await _withdrawal(ctx, session, chosen, quotable, now=now)
        all_disputes = await disputes.of_subscriber(session, subscriber.id)
        renews = subscription.is_live and subscription.cancel_at is None
        price_change = await price_migrations.upcoming(session, subscription.id, now=now) if renews else None
        running = [term for term in terms if term.starts_at <= now < term.ends_at]
        term = next(reversed(running or terms), None)
        is_later = await print_renewals.starts_at_renewal(session, subscription, term)
    runs = (
        schedule_terms(subscription, terms, calendar, ctx.rules.catalogue, grace=ctx.rules.access.grace_period)
        if len(calendar)
        else []
    )
    run = next((one for one in runs if term is not None and one.term.invoice_id == term.invoice_id), None)
    return SubscriptionDetails(
        subscription=subscription,
        term=term,
        guarantee=_guarantee(quotable, chosen, access.other, zone=ctx.rules.zone, now=now),
        withdrawal=withdrawal,
        ledger=run.ledger(now) if run is not None else None,
        issues=issues_of_term(run, now=now) if run is not None else None,
        status=access_status(subscription, terms, ctx.rules.access, now=now),
        notice=notice_for(
            subscription,
            terms,
            quotable.case.payments if quotable is not None else (),
            all_disputes,
            pauses=digital_pauses(terms, calendar),
            by_status=_notice_by_status(chosen, pending_checkout(held), ctx.rules.access, now=now),
            now=now,
        ),
        on_hold=is_on_hold(terms, now=now),
        other_access=access.other,
        price_change=price_change,
        print_is_later=is_later,
    )


def _no_subscription(other: OtherAccess | None) -> NoSubscription:
    if other is None:
        return NoSubscription()
    source = "complimentary access" if other.reason == AccessReason.COMP else "access"
    until = other.until.isoformat() if other.until is not None else None
    facts = {"until": until, "reason": other.reason, "features": list(other.features)}
    return NoSubscription(f"You have {source} without a subscription", other_access=facts)


def _guarantee(
    quotable: quotes.LoadedCase | None,
    chosen: HeldSubscription,
    other: OtherAccess | None,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> Quote | None:
    if quotable is not None:
        return guarantee_quote(quotable.case, now=now, zone=zone)[1]
    return uncharged_quote(chosen[0], other) if chosen[1] or chosen[0].trial_end is not None else None


async def _withdrawal(
    ctx: Context, session: Session, chosen: HeldSubscription, quotable: quotes.LoadedCase | None, *, now: datetime
) -> WithdrawalOffer:
    subscription, terms = chosen
    if quotable is not None:
        return offer(quotable.case, subscription, now=now, zone=ctx.rules.zone)
    contract, place = await quotes.contract_and_place(session, subscription, terms, (), now=now)
    return unpaid_offer(subscription, contract, place, now=now, zone=ctx.rules.zone)


def _notice_by_status(
    chosen: HeldSubscription, pending: HeldSubscription | None, access: AccessPolicy, *, now: datetime
) -> Notice | None:
    """Return the notice of the current subscription or, if that is over, of a checkout that can still be completed."""
    told = pending if pending is not None and chosen[0].over_at is not None else chosen
    return access_status(*told, access, now=now).notice
