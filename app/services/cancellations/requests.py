"""Requested cancellations: scheduled, resumed, and immediate."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime

from app.aggregates import cancellations, current_subscription, places, sync_subscription
from app.aggregates.intents import RecordedAction, send
from app.context import Context
from app.db import audit, intents, subscribers, subscriptions
from app.db import declarations as declarations_db
from app.db.engine.session import Session
from app.domain.cancellations import SubscriptionPaused, end_of_unrenewed, must_end_now
from app.domain.declarations import NOTICE_RUNS, DeclarationStatus
from app.domain.early_exits import NoEarlyExit, early_exit
from app.domain.errors import ConcurrentUpdate, StripeFault, StripeRefused, StripeUnavailable
from app.domain.reasons import EndReason
from app.domain.renewals import PAYMENT_FAILURES
from app.domain.subscriptions import (
    AlreadyEnded,
    ForeignStripeObject,
    NoSubscription,
    StripeSubscriptionState,
    Subscription,
    SubscriptionStatus,
)
from app.gateway import cancellations as at_stripe
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gone
from app.services.cancellations import declarations
from app.services.cancellations.closing import finish

RESUME = "resume"  # the intent to undo a scheduled end


async def cancel_at_period_end(
    ctx: Context,
    sub: str,
    *,
    reason: str | None,
    comment: str | None,
    by: str | None = None,
    only: str | None = None,
    is_declared: bool = False,
    declaration_id: str | None = None,
    now: datetime,
) -> None:
    """
    Cancel a subscription at the end of the paid period. The reader has access until then and can resume it.

    If the current period is not paid, or an invoice is open, the subscription ends at Stripe now, so that nothing is charged
    afterwards. Paid terms keep their access and their issues (rules.md, rules 8 and 13), unless their unused time was
    credited: the credit is refunded.

    A repeated call has no further effect. A later end that was scheduled in the portal is replaced. No offer comes between.

    :param by: the actor, as in the audit log; None: the reader.
    :param only: the ID of the subscription; None: the reader's current one.
    :param is_declared: whether the declaration that asks for it is stored already; otherwise one is, with its
        acknowledgment.
    :param declaration_id: a declaration that the reader may revoke meanwhile.
    :raises Revoked: they did.
    :raises AlreadyEnded: it has ended, or the reader has another one by now.
    :raises StripeRefused: Stripe declined. A new attempt uses a new key.
    """
    async with ctx.sessions.begin() as session:
        subscription = await _lock_open(session, sub, only)
    try:
        state = await subscriptions_at_stripe.fetch(ctx.gateway, subscription.stripe_id)
    except Gone:  # nothing can be charged; it has yet to end here
        state = None

    parameters: dict[str, object] = {"cancel_at_period_end": True}
    if comment:
        parameters["cancellation_details"] = {"comment": comment}

    def change(state: StripeSubscriptionState) -> _Change | None:
        if state.ends_by_period_end:
            return None
        period = state.period
        ends_at = period[1] if period else None
        action = "subscription.cancel_at_period_end"
        return _Change(
            "schedule_end", action, parameters, ends_at, declares=not is_declared, declaration_id=declaration_id
        )

    if state is not None and not must_end_now(state):
        saved, state = await _reschedule(ctx, sub, state, change, reason=reason, by=by, only=subscription.id, now=now)
        # If the paid period ended before Stripe heard of it, Stripe's flag is that of the next period.
        if not must_end_now(state):
            if saved.cancel_at is None and saved.is_live:
                raise StripeUnavailable("Stripe did not accept the cancellation; try again")
            await declarations.confirm(ctx, saved)
            return
    cause = end_of_unrenewed(state.pause if state is not None else subscription.pause)
    ended = _End(
        cause,
        "subscription.cancel_at_period_end",
        note=comment,
        is_declared=is_declared,
        declaration_id=declaration_id,
    )
    await _end(ctx, sub, ended, reason=reason, by=by, only=subscription.id, now=now)


async def resume(
    ctx: Context, sub: str, *, reason: str | None = None, by: str | None = None, only: str | None = None, now: datetime
) -> None:
    """
    Cancel the scheduled end of a subscription, so that it renews. Without a scheduled end there is no effect.

    The parameters are those of :func:`cancel_at_period_end`.

    :raises AlreadyEnded: it has ended, or the reader has another one by now.
    :raises SubscriptionPaused: it has no scheduled end, but it is paused at Stripe.
    """

    def change(state: StripeSubscriptionState) -> _Change | None:
        if state.cancel_at is None:
            return None
        parameters = {"cancel_at_period_end": False} if state.ends_by_flag else {"cancel_at": ""}
        return _Change(RESUME, "subscription.resume", parameters, None)

    async with ctx.sessions.begin() as session:
        subscription = await _lock_open(session, sub, only)
    # Our copy may be older than a change in the portal.
    state = await subscriptions_at_stripe.fetch(ctx.gateway, subscription.stripe_id)
    if state.cancel_at is None:  # perhaps Stripe hasn't heard of a notice yet
        async with ctx.sessions.begin() as session:
            subscription = await _lock_open(session, sub, subscription.id)
            was_to_end = await declarations_db.revoke_notice(session, subscription.id)
        if not was_to_end and state.status == SubscriptionStatus.PAUSED:
            failed = state.pause is not None and state.pause.reason in PAYMENT_FAILURES
            raise SubscriptionPaused(awaits_payment=failed and state.pay_url is not None)
    subscription, _ = await _reschedule(ctx, sub, state, change, reason=reason, by=by, only=subscription.id, now=now)
    if subscription.cancel_at is not None and subscription.is_live:
        raise StripeUnavailable("Stripe did not resume the subscription; try again")


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a scheduled end: the request to Stripe and the entry of the audit log."""

    intent: str
    action: str
    parameters: Mapping[str, object]
    ends_at: datetime | None
    declares: bool = False
    declaration_id: str | None = None  # that may have been revoked meanwhile


async def _reschedule(
    ctx: Context,
    sub: str,
    state: StripeSubscriptionState,
    change: Callable[[StripeSubscriptionState], _Change | None],
    *,
    reason: str | None,
    by: str | None,
    only: str,
    now: datetime,
) -> tuple[Subscription, StripeSubscriptionState]:
    """
    Change the scheduled end of a subscription, if its state at Stripe requires it.

    :returns: the synced subscription, and its state at Stripe.
    """
    wanted = change(state)
    if wanted is not None:
        if state.schedule_id is not None:  # Stripe declines any other change of the end while a schedule is attached
            await _release(ctx, sub, only, state.schedule_id)
        async with ctx.sessions.begin() as session:
            subscription = await _lock_open(session, sub, only)
            await declarations.check_stands(session, wanted.declaration_id)
            intent = await intents.record(session, subscription.id, wanted.intent, wanted.parameters)
            action = RecordedAction(
                actor=by or f"reader:{sub}",
                name=wanted.action,
                object_id=subscription.id,
                subscriber_id=subscription.subscriber_id,
                before={"ends_at": _isoformat(state.cancel_at)},
                after={"ends_at": _isoformat(wanted.ends_at)},
            )
            await action.record(session, reason=reason)
            if wanted.declares and await declarations.pending(session, subscription.id) is None:
                await declarations.record(
                    ctx,
                    session,
                    subscription,
                    by=action.actor,
                    ends_at=wanted.ends_at,
                    now=now,
                    status=DeclarationStatus.PENDING,
                    due_in=ctx.settings.lease,  # until then this call does it
                )
            if wanted.intent == RESUME:
                await declarations_db.revoke_notice(session, subscription.id)
        await _update(ctx, subscription, intent, action)
    return await _sync(ctx, state.id, now=now)


async def _sync(ctx: Context, stripe_id: str, *, now: datetime) -> tuple[Subscription, StripeSubscriptionState]:
    fetched: list[StripeSubscriptionState] = []

    async def fetch() -> StripeSubscriptionState:
        fetched.append(await subscriptions_at_stripe.fetch(ctx.gateway, stripe_id))
        return fetched[-1]

    saved = await sync_subscription.fetch_and_save(ctx.sessions, ctx.rules, stripe_id, fetch, now=now)
    return saved, fetched[-1]


async def _release(ctx: Context, sub: str, only: str, schedule_id: str) -> None:
    """Release a subscription from its schedule. If that has happened already, there is nothing to do."""
    async with ctx.sessions.begin() as session:
        await _lock_open(session, sub, only)
        intent = await intents.record(session, schedule_id, "release", {})
    released = at_stripe.release_schedule(ctx.gateway, schedule_id, key=intent.key)
    with suppress(StripeRefused, StripeFault, Gone):  # then Stripe declines the update that follows
        await send(ctx.sessions, intent, released)
    async with ctx.sessions.begin() as session:
        await intents.settle(session, intent.key)


async def _update(ctx: Context, subscription: Subscription, intent: intents.Intent, action: RecordedAction) -> None:
    """
    Send an intent. After a fault the caller syncs the subscription, and a new attempt uses another key.

    :raises StripeRefused: Stripe declined; the audit log says so.
    """
    request = subscriptions_at_stripe.update(ctx.gateway, subscription.stripe_id, intent.parameters, key=intent.key)
    with suppress(StripeFault, Gone):
        await send(ctx.sessions, intent, request, on_refusal=action.record_refusal)
    async with ctx.sessions.begin() as session:
        await intents.settle(session, intent.key)


async def cancel_now(
    ctx: Context, sub: str, *, reason: str | None, by: str | None = None, only: str | None = None, now: datetime
) -> None:
    """
    End a subscription and its access immediately. Nothing is refunded (rules.md, rule 8).

    Access ends with our commit. If Stripe does not respond, a worker cancels the subscription there.

    :raises AlreadyEnded: it has ended.
    """
    ended = _End(EndReason.CANCEL_NOW, "subscription.cancel_now")
    await _end(ctx, sub, ended, reason=reason, by=by, only=only, now=now)


@dataclass(frozen=True, slots=True)
class _End:
    """How a subscription ends, and the entry of the audit log."""

    by: EndReason
    action: str
    note: str | None = None
    is_declared: bool = False
    declaration_id: str | None = None  # that may have been revoked meanwhile


async def _end(
    ctx: Context, sub: str, ended: _End, *, reason: str | None, by: str | None, only: str | None, now: datetime
) -> None:
    """End a subscription with a commit, and at Stripe if it responds; otherwise a worker does that."""
    async with ctx.sessions.begin() as session:
        subscription = await _lock_open(session, sub, only)
        await declarations.check_stands(session, ended.declaration_id)
        await cancellations.end(session, ctx.rules, subscription.id, by=ended.by, now=now)
        await audit.record(
            session,
            actor=by or f"reader:{sub}",
            action=ended.action,
            object_id=subscription.id,
            subscriber_id=subscription.subscriber_id,
            reason=reason,
            note=ended.note,
            before={"status": subscription.status},
            after={"ended_at": now.isoformat()},
        )
        pending = await declarations.pending(session, subscription.id)
        if pending is not None:
            await declarations_db.set_outcome(session, replace(pending, status=DeclarationStatus.DONE))
        if not ended.is_declared and (pending is None or ended.by == EndReason.CANCEL_NOW):
            await declarations.record(ctx, session, subscription, by=by or f"reader:{sub}", ends_at=now, now=now)
    with suppress(
        StripeUnavailable, StripeRefused, ForeignStripeObject, ConcurrentUpdate
    ):  # the row is due, so a worker repeats it
        await finish(ctx, subscription.id, now=now)


async def cancel_with_notice(ctx: Context, sub: str, *, reason: str | None, now: datetime) -> None:
    """
    Cancel a reader's renewed subscription at a month's notice: its unserved issues are refunded when it ends.

    The declaration is stored first, so the contract ends then whatever happens to the rest of this call. It doesn't renew
    either: its end at the period's end is scheduled at Stripe, by a worker if this call doesn't complete it. A repeated call
    has no further effect.

    :raises NoSubscription: the reader has none.
    :raises AlreadyEnded: it has ended.
    :raises NoEarlyExit: there is no such right, or the paid period ends earlier.
    """
    async with ctx.sessions.begin() as session:
        subscription = await _lock_open(session, sub)
        earlier = await declarations_db.newest_cancellation(session, subscription.id)
        if earlier is not None and earlier.status in NOTICE_RUNS:
            declared = earlier
        else:
            ends_at = await exit_of(ctx, session, subscription, now=now)
            if ends_at is None:
                raise NoEarlyExit
            declared = await declarations.record(
                ctx,
                session,
                subscription,
                by=f"reader:{sub}",
                ends_at=ends_at,
                now=now,
                status=DeclarationStatus.RECEIVED,
                due_in=ctx.settings.lease,  # until then this call does it
            )
    await cancel_at_period_end(ctx, sub, reason=reason, comment=None, only=subscription.id, is_declared=True, now=now)
    await declarations.record_notice(ctx, declared, now=now)


async def exit_of(
    ctx: Context, session: Session, subscription: Subscription, *, now: datetime, wanted: date | None = None
) -> datetime | None:
    """Return when a subscription ends if it is canceled now at a month's notice; None: it can't be."""
    terms = await subscriptions.terms_of(session, subscription.id)
    place = await places.of_reader(session, subscription.subscriber_id, subscription)
    return early_exit(place, subscription, terms, now=now, zone=ctx.rules.zone, wanted=wanted)


async def _lock_open(session: Session, sub: str, only: str | None = None) -> Subscription:
    """
    Lock a reader, and return their subscription if it has not ended. It may be paused or unpaid.

    :param only: the ID of the subscription; None: the current one.
    :raises NoSubscription: the reader has no such subscription.
    :raises AlreadyEnded: it has ended.
    """
    subscriber = await subscribers.by_sub(session, sub)
    if subscriber is None:
        raise NoSubscription
    await subscribers.lock(session, subscriber.id)
    if only is None:
        current = await current_subscription.find(session, subscriber.id)
        subscription = current[0] if current is not None else None
    else:
        subscription = await subscriptions.by_id(session, only)
    if subscription is None or subscription.subscriber_id != subscriber.id:
        raise NoSubscription
    if not subscription.can_be_canceled:
        raise AlreadyEnded
    return subscription


def _isoformat(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
