"""
Subscriptions: kept as Stripe has them, shown to their reader, ended and taken back.

An event is only a knock on the door: the state is fetched afresh, and saved only if nobody saved since we looked.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from app.db import audit, endings, grants, inbox, intents, payments, refunds, subscribers, subscriptions
from app.db.session import Session, Sessions
from app.db.subscriptions import Overtaken
from app.domain.errors import StripeFault, StripeRefused, StripeUnavailable
from app.domain.policy import Rules
from app.domain.refunds import Case, Quote, quote_guarantee
from app.domain.subscriptions import (
    OVER,
    AlreadyEnded,
    NoSubscription,
    NotOurs,
    SeenSubscription,
    Subscription,
    Term,
    payments_of,
    terms_of,
)
from app.gateway import subscriptions as at_stripe
from app.gateway.client import Gateway, Gone

LOOKS = 5  # how often we look again when somebody saved meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    """A subscription as its reader sees it."""

    subscription: Subscription
    term: Term | None
    guarantee: Quote | None


async def refresh(sessions: Sessions, gateway: Gateway, rules: Rules, stripe_id: str, *, now: datetime) -> Subscription:
    """
    Bring our copy of a subscription, its terms, payments and grants up to Stripe's state.

    :raises NotOurs: it is of another product of the account, or of a customer we do not know.
    :raises Gone: Stripe has none of that id.
    :raises UnknownPlan: it is of a plan that the catalogue no longer has.
    :raises Overtaken: others kept saving while we looked.
    """
    for _ in range(LOOKS):
        async with sessions.begin() as session:
            version = await subscriptions.version(session, stripe_id)
        seen = await at_stripe.fetch(gateway, stripe_id)
        try:
            async with sessions.begin() as session:
                return await _save(session, rules, seen, version)
        except Overtaken:
            continue
    raise Overtaken(stripe_id)


async def _save(session: Session, rules: Rules, seen: SeenSubscription, version: int) -> Subscription:
    owner = await subscribers.by_customer(session, seen.customer_id)
    if owner is None:
        raise NotOurs(f"the customer {seen.customer_id} is none of our subscribers")
    rules.catalogue.plan(seen.plan)  # one of ours that was taken out of the file is a fault to mend, not to ignore
    subscriber = await subscribers.lock(session, owner.id)
    held = await subscriptions.save(session, subscriber.id, seen, if_version=version)
    await subscriptions.save_terms(session, held.id, terms_of(seen, rules.catalogue))
    await payments.save(session, held.id, payments_of(seen))
    if held.status in OVER:
        await subscriptions.end_is_done(session, held.stripe_id)
    await grants.derive(session, subscriber, held, rules.catalogue, rules.access)
    return held


async def refresh_invoice(
    sessions: Sessions, gateway: Gateway, rules: Rules, invoice_id: str, *, now: datetime
) -> None:
    """Look at the subscription that an invoice is of."""
    await refresh(sessions, gateway, rules, await at_stripe.of_invoice(gateway, invoice_id), now=now)


async def refresh_credited(
    sessions: Sessions, gateway: Gateway, rules: Rules, invoice_id: str, *, now: datetime
) -> None:
    """Look at the subscription of an invoice that was credited, and have its payments' refunds looked at."""
    await refresh_invoice(sessions, gateway, rules, invoice_id, now=now)
    async with sessions.begin() as session:
        for payment in await payments.of_invoice(session, invoice_id):
            await inbox.knock(session, f"payment:{payment.id}", why="credited")


async def mine(sessions: Sessions, rules: Rules, sub: str, *, now: datetime) -> Mine:
    """
    Return a reader's subscription with its running (else newest) term and what the guarantee would pay.

    :raises NoSubscription: if they never had one.
    """
    async with sessions.begin() as session:
        held = await _current(session, sub)
        terms = await subscriptions.terms_of(session, held.id)
        paid = await payments.of_subscription(session, held.id)
        given = await refunds.of_subscriber(session, held.subscriber_id)
    running = [term for term in terms if term.starts_at <= now < term.ends_at]
    first = next((payment for payment in paid if payment.amount > 0), None)
    days = rules.catalogue.plan(held.plan).guarantee.days
    quote = (
        quote_guarantee(
            Case(payment=first, payments=paid, refunds=given, guarantee_days=days), now=now, zone=rules.zone
        )
        if first
        else None
    )
    latest = running or terms
    return Mine(subscription=held, term=latest[-1] if latest else None, guarantee=quote)


async def _current(session: Session, sub: str) -> Subscription:
    subscriber = await subscribers.by_sub(session, sub)
    held = await subscriptions.current(session, subscriber.id) if subscriber else None
    if held is None:
        raise NoSubscription
    return held


async def cancel_at_period_end(
    sessions: Sessions,
    gateway: Gateway,
    rules: Rules,
    sub: str,
    *,
    reason: str | None,
    comment: str | None,
    now: datetime,
) -> None:
    """
    Let a subscription end with what is paid: access stays until then, and one click undoes it.

    Told twice, it counts once. Never blocked by an offer (product.md, rule 8).

    :raises AlreadyEnded: it is over.
    """
    parameters: dict[str, object] = {"cancel_at_period_end": True}
    if comment:
        parameters["cancellation_details"] = {"comment": comment}
    async with sessions.begin() as session:
        held = await _lock_live(session, sub)
    seen = await at_stripe.fetch(gateway, held.stripe_id)  # our own copy may be older than a click in the portal
    if seen.cancel_at is None:
        async with sessions.begin() as session:
            held = await _lock_live(session, sub)
            intent = await intents.record(session, held.id, "schedule_end", parameters)
            await audit.record(
                session,
                actor=f"reader:{sub}",
                action="subscription.cancel_at_period_end",
                object_id=held.id,
                subscriber_id=held.subscriber_id,
                reason=reason,
                before={"ends_at": None},
                after={"ends_at": _text(held.current_period_end)},
            )
        await _tell(sessions, gateway, held, intent)
    held = await refresh(sessions, gateway, rules, held.stripe_id, now=now)
    if held.cancel_at is None and held.is_live:
        raise StripeUnavailable("Stripe has not taken the cancellation; please try again")


async def resume(sessions: Sessions, gateway: Gateway, rules: Rules, sub: str, *, now: datetime) -> None:
    """
    Undo a scheduled end, in whichever form Stripe holds it. Nothing to undo is no error.

    :raises AlreadyEnded: it is over.
    """
    async with sessions.begin() as session:
        held = await _lock_live(session, sub)
    seen = await at_stripe.fetch(gateway, held.stripe_id)
    if seen.cancel_at is not None:
        parameters = {"cancel_at_period_end": False} if seen.ends_by_flag else {"cancel_at": ""}
        async with sessions.begin() as session:
            held = await _lock_live(session, sub)
            intent = await intents.record(session, held.id, "resume", parameters)
            await audit.record(
                session,
                actor=f"reader:{sub}",
                action="subscription.resume",
                object_id=held.id,
                subscriber_id=held.subscriber_id,
                before={"ends_at": _text(seen.cancel_at)},
                after={"ends_at": None},
            )
        await _tell(sessions, gateway, held, intent)
    held = await refresh(sessions, gateway, rules, held.stripe_id, now=now)
    if held.cancel_at is not None and held.is_live:
        raise StripeUnavailable("Stripe has not taken the cancellation back; please try again")


async def _tell(sessions: Sessions, gateway: Gateway, held: Subscription, intent: intents.Intent) -> None:
    """Tell Stripe. After a fault of Stripe's the caller looks what came of it, and asks anew under another key."""
    with suppress(StripeFault):
        await at_stripe.update(gateway, held.stripe_id, intent.parameters, key=intent.key)
    async with sessions.begin() as session:
        await intents.settle(session, intent.key)


async def cancel_now(
    sessions: Sessions, gateway: Gateway, rules: Rules, sub: str, *, reason: str | None, now: datetime
) -> None:
    """
    End a subscription and its access at once. Refunds nothing by itself (product.md, rule 8).

    Access ends with our commit; if Stripe does not answer now, a worker goes on until it has cancelled.

    :raises AlreadyEnded: it is over.
    """
    async with sessions.begin() as session:
        held = await _lock_live(session, sub)
        await endings.end(session, rules, held.id, by="cancel_now", now=now)
        await audit.record(
            session,
            actor=f"reader:{sub}",
            action="subscription.cancel_now",
            object_id=held.id,
            subscriber_id=held.subscriber_id,
            reason=reason,
            before={"status": held.status},
            after={"ended_at": now.isoformat()},
        )
    with suppress(
        StripeUnavailable, StripeRefused, NotOurs, Overtaken
    ):  # the order stands in the row: a worker repeats it
        await finish_end(sessions, gateway, rules, held.id, now=now)


async def finish_end(
    sessions: Sessions, gateway: Gateway, rules: Rules, subscription_id: str, *, now: datetime
) -> None:
    """
    Cancel at Stripe what is over here.

    :raises StripeUnavailable: Stripe has not ended it; to be repeated until it has.
    """
    async with sessions.begin() as session:
        stripe_id = await subscriptions.to_cancel(session, subscription_id)
    if stripe_id is None:
        return
    with suppress(Gone):  # Stripe has ended it already: that is what was wanted
        await at_stripe.cancel(gateway, stripe_id)
    try:
        seen = await refresh(sessions, gateway, rules, stripe_id, now=now)
    except Gone:
        async with sessions.begin() as session:
            await subscriptions.end_is_done(session, stripe_id)
        return
    if seen.status not in OVER:
        raise StripeUnavailable("Stripe has not ended the subscription yet")


async def _lock_live(session: Session, sub: str) -> Subscription:
    subscriber = await subscribers.by_sub(session, sub)
    if subscriber is None:
        raise NoSubscription
    await subscribers.lock(session, subscriber.id)
    held = await _current(session, sub)
    if not held.is_live:
        raise AlreadyEnded
    return held


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
