"""
Ends: scheduled, taken back, at once; and what is left to do at Stripe for one that is over.

Whoever ended a subscription, a worker brings its end about at Stripe in steps that can each be repeated: it is cancelled,
its invoices are voided and its pending items deleted, and what was paid all the same is ordered back.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog

from app.aggregates import cancellations, sync_subscription
from app.context import Context
from app.db import audit, intents, subscribers, subscriptions
from app.db.engine.session import Session
from app.db.subscriptions import ConcurrentUpdate
from app.domain.cancellations import DRAFT, payable_invoices
from app.domain.errors import DomainError, StripeFault, StripeRefused, StripeUnavailable
from app.domain.subscriptions import (
    OVER,
    AlreadyEnded,
    ForeignStripeObject,
    NoSubscription,
    StripeInvoiceState,
    StripeSubscriptionState,
    Subscription,
)
from app.gateway import cancellations as at_stripe
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gone

log = structlog.get_logger()


async def cancel_at_period_end(
    ctx: Context,
    sub: str,
    *,
    reason: str | None,
    comment: str | None,
    by: str | None = None,
    only: str | None = None,
    now: datetime,
) -> None:
    """
    Let a subscription end with what is paid: access stays until then, and one click undoes it.

    Told twice, it counts once. One that was to end later, by a date set in the portal, ends with what is paid now.
    Never blocked by an offer (rules.md, rule 8).

    :param by: who does it, as the audit log writes it; None: the reader.
    :param only: the subscription that is meant; None: the reader's current one.
    :raises AlreadyEnded: it is over, or another is the reader's by now.
    """
    parameters: dict[str, object] = {"cancel_at_period_end": True}
    if comment:
        parameters["cancellation_details"] = {"comment": comment}

    def change(seen: StripeSubscriptionState) -> _Change | None:
        if seen.ends_with_what_is_paid:
            return None
        period = seen.period
        return _Change("schedule_end", "subscription.cancel_at_period_end", parameters, period[1] if period else None)

    held = await _reschedule(ctx, sub, change, reason=reason, by=by, only=only, now=now)
    if held.cancel_at is None and held.is_live:
        raise StripeUnavailable("Stripe has not taken the cancellation; please try again")


async def resume(
    ctx: Context, sub: str, *, reason: str | None = None, by: str | None = None, only: str | None = None, now: datetime
) -> None:
    """
    Undo a scheduled end, in whichever form Stripe holds it. Nothing to undo is no error. As :func:`cancel_at_period_end`.

    :raises AlreadyEnded: it is over, or another is the reader's by now.
    """

    def change(seen: StripeSubscriptionState) -> _Change | None:
        if seen.cancel_at is None:
            return None
        parameters = {"cancel_at_period_end": False} if seen.ends_by_flag else {"cancel_at": ""}
        return _Change("resume", "subscription.resume", parameters, None)

    held = await _reschedule(ctx, sub, change, reason=reason, by=by, only=only, now=now)
    if held.cancel_at is not None and held.is_live:
        raise StripeUnavailable("Stripe has not taken the cancellation back; please try again")


@dataclass(frozen=True, slots=True)
class _Change:
    """What Stripe is to be told of a scheduled end, and how the audit log writes it."""

    intent: str
    action: str
    parameters: Mapping[str, object]
    ends_at: datetime | None


async def _reschedule(
    ctx: Context,
    sub: str,
    change: Callable[[StripeSubscriptionState], _Change | None],
    *,
    reason: str | None,
    by: str | None,
    only: str | None,
    now: datetime,
) -> Subscription:
    """Change when a subscription ends, if Stripe's own state asks for it; return how it stands then."""
    async with ctx.sessions.begin() as session:
        held = await _lock_live(session, sub, only)
    seen = await subscriptions_at_stripe.fetch(
        ctx.gateway, held.stripe_id
    )  # ours may be older than a click in the portal
    wanted = change(seen)
    if wanted is not None:
        async with ctx.sessions.begin() as session:
            held = await _lock_live(session, sub, held.id)
            intent = await intents.record(session, held.id, wanted.intent, wanted.parameters)
            await audit.record(
                session,
                actor=by or f"reader:{sub}",
                action=wanted.action,
                object_id=held.id,
                subscriber_id=held.subscriber_id,
                reason=reason,
                before={"ends_at": _text(seen.cancel_at)},
                after={"ends_at": _text(wanted.ends_at)},
            )
        await _tell(ctx, held, intent)
    return await _look(ctx, held.stripe_id, now=now)


async def _look(ctx: Context, stripe_id: str, *, now: datetime) -> Subscription:
    look = partial(subscriptions_at_stripe.fetch, ctx.gateway, stripe_id)
    return await sync_subscription.keep(ctx.sessions, ctx.rules, stripe_id, look, now=now)


async def _tell(ctx: Context, held: Subscription, intent: intents.Intent) -> None:
    """Tell Stripe. After a fault of Stripe's the caller looks what came of it, and asks anew under another key."""
    with suppress(StripeFault):
        await subscriptions_at_stripe.update(ctx.gateway, held.stripe_id, intent.parameters, key=intent.key)
    async with ctx.sessions.begin() as session:
        await intents.settle(session, intent.key)


async def cancel_now(
    ctx: Context, sub: str, *, reason: str | None, by: str | None = None, only: str | None = None, now: datetime
) -> None:
    """
    End a subscription and its access at once. Refunds nothing by itself (rules.md, rule 8).

    Access ends with our commit; if Stripe does not answer now, a worker goes on until it has cancelled.

    :raises AlreadyEnded: it is over.
    """
    async with ctx.sessions.begin() as session:
        held = await _lock_live(session, sub, only)
        await cancellations.end(session, ctx.rules, held.id, by="cancel_now", now=now)
        await audit.record(
            session,
            actor=by or f"reader:{sub}",
            action="subscription.cancel_now",
            object_id=held.id,
            subscriber_id=held.subscriber_id,
            reason=reason,
            before={"status": held.status},
            after={"ended_at": now.isoformat()},
        )
    # The order stands in the row: a worker repeats it.
    with suppress(StripeUnavailable, StripeRefused, ForeignStripeObject, ConcurrentUpdate):
        await finish(ctx, held.id, now=now)


async def finish(ctx: Context, subscription_id: str, *, now: datetime) -> None:
    """
    Do at Stripe what the end of a subscription asks for, from wherever it stands.

    :raises StripeUnavailable: something is left to do; to be repeated until it is done.
    """
    async with ctx.sessions.begin() as session:
        held = await subscriptions.due(session, subscription_id)
    if held is None:
        return
    ordered = held.access_ended_at is not None
    if ordered and held.status not in OVER:
        with suppress(Gone):  # Stripe has ended it already: that is what was wanted
            await subscriptions_at_stripe.cancel(ctx.gateway, held.stripe_id)
    with suppress(Gone):  # Stripe knows nothing of it any more, so nothing of it can be paid
        seen = await subscriptions_at_stripe.fetch(ctx.gateway, held.stripe_id)
        if seen.status not in OVER:
            if ordered:
                raise StripeUnavailable("Stripe has not ended the subscription yet")
            await _look(ctx, held.stripe_id, now=now)
            async with ctx.sessions.begin() as session:
                await subscriptions.rest(session, held.id)  # it was said to be over, is not, and we never ended it
            return
        for invoice in payable_invoices(seen):
            await _void(ctx, held, invoice)
        await _delete_pending(ctx, held, seen)
        await _look(ctx, held.stripe_id, now=now)
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, held.subscriber_id)
        done = await cancellations.close(session, held.id, now=now)
    if not done:
        raise StripeUnavailable("a payment waits for another refund of it")


async def _void(ctx: Context, held: Subscription, invoice: StripeInvoiceState) -> None:
    """Let nobody pay an invoice any more. One that was paid meanwhile is given back when it is seen."""
    if invoice.status == DRAFT:
        intent = await _intend(ctx, held, invoice.id, "finalize", {"amount": invoice.total})
        try:
            await _ask(ctx, intent, at_stripe.finalize(ctx.gateway, invoice.id, key=intent.key))
        except StripeRefused as refusal:
            log.warning("draft_not_finalized", invoice=invoice.id, reason=str(refusal))
            return  # nobody can pay a draft
    intent = await _intend(ctx, held, invoice.id, "void", {"amount": invoice.total})
    with suppress(StripeRefused):
        await _ask(ctx, intent, at_stripe.void(ctx.gateway, invoice.id, key=intent.key))


async def _delete_pending(ctx: Context, held: Subscription, seen: StripeSubscriptionState) -> None:
    """Let nothing of it be billed later; a credit that waits goes as well, since what is given back is a refund's matter."""
    with suppress(Gone):
        for item in await at_stripe.pending_items(ctx.gateway, seen.customer_id, held.stripe_id):
            await _intend(ctx, held, item.id, "delete", {"amount": item.amount, "currency": item.currency})
            with suppress(Gone):
                await at_stripe.delete_item(ctx.gateway, item.id)


async def _intend(
    ctx: Context, held: Subscription, object_id: str, action: str, facts: Mapping[str, object]
) -> intents.Intent:
    """Record what Stripe is about to be asked, with an audit row the first time."""
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, held.subscriber_id)
        intent = await intents.record(session, object_id, action, {})
        if intent.first:
            kind = "pending_item" if action == "delete" else "invoice"
            await audit.record(
                session,
                actor="policy",
                action=f"{kind}.{action}",
                object_id=object_id,
                subscriber_id=held.subscriber_id,
                reason=f"ended:{held.ended_by or held.end_reason or held.status}",
                before={**facts, "subscription": held.id},
            )
    return intent


async def _ask(ctx: Context, intent: intents.Intent, request: Awaitable[None]) -> None:
    """Await a POST. Its intent is settled once Stripe has answered, with whatever: asked again, it is under another key."""
    answer: DomainError | None = None
    try:
        await request
    except (StripeFault, StripeRefused) as refusal:
        answer = refusal
    async with ctx.sessions.begin() as session:
        await intents.settle(session, intent.key)
    if answer is not None:
        raise answer


async def _lock_live(session: Session, sub: str, only: str | None = None) -> Subscription:
    subscriber = await subscribers.by_sub(session, sub)
    if subscriber is None:
        raise NoSubscription
    await subscribers.lock(session, subscriber.id)
    if only is None:
        held = await subscriptions.current(session, subscriber.id)
    else:
        held = await subscriptions.by_id(session, only)
    if held is None or held.subscriber_id != subscriber.id:
        raise NoSubscription
    if not held.is_live:
        raise AlreadyEnded
    return held


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
