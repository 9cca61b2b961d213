"""Paying a refund: the call to Stripe, its result, and what follows. Every step can be repeated."""

import asyncio
from collections.abc import Set
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from app.aggregates import credits, refund_results
from app.aggregates.intents import send
from app.aggregates.retries import retry_on_conflict
from app.context import Context
from app.db import audit, inbox, intents, payments, refunds, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session
from app.domain.credit_notes import CreditNoteRefused
from app.domain.credits import credits_of
from app.domain.errors import ConcurrentUpdate, NotFound, StripeFault, StripeRefused, StripeUnavailable
from app.domain.events import RefetchKind
from app.domain.refunds import (
    CONFIRMED,
    COUNTED,
    IN_TRANSIT,
    NothingToRefund,
    PaidOutsideStripe,
    PaymentDisputed,
    Refund,
    RefundRefused,
    RefundsMissing,
    RefundStatus,
    StripePaymentState,
    StripeRefundState,
)
from app.domain.subscriptions import Payment
from app.gateway import refunds as at_stripe
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gone
from app.gateway.disputes import is_charge
from app.gateway.translate import OUR_BASIS, OUR_GROUP, OUR_REFUND, OUR_REQUEST
from app.services.refunds import credit_notes

MAX_STRIPE_FAULTS = 3  # in a row; then the refund is due again after a pause
LEASE_ATTEMPTS, LEASE_WAIT_SECONDS = 15, 0.1  # while a worker is processing an event of the same payment
CHECK_INTERVAL = timedelta(hours=1)  # of a refund that is not final, in case its event is lost
log = structlog.get_logger()


async def pay(ctx: Context, taken: refunds.LeasedGroup, *, now: datetime) -> list[Refund]:
    """
    Pay the refunds of a request, as far as Stripe responds now. A worker completes the rest.

    :raises RefundRefused: Stripe declined all of them.
    """
    taken = await _wait_for_leases(ctx, taken)
    refusals: list[RefundRefused] = []
    async with AsyncExitStack() as stack:
        ours = [refund for refund in taken.refunds if refund.id in taken.leased]
        for refund in ours:
            key = refunds.work_key(refund.payment_id)
            await stack.enter_async_context(
                leases.keep_lease(ctx.sessions, key, owner=taken.owner, lease=ctx.settings.lease)
            )
        for refund in ours:
            try:
                await finish(ctx, refund.id, now=now)
            except RefundRefused as refusal:
                refusals.append(refusal)
            except (StripeUnavailable, ConcurrentUpdate, CreditNoteRefused):
                log.warning("refund_unfinished", refund=refund.id)  # its row is due, so a worker completes it
    if refusals and len(refusals) == len(taken.refunds):
        raise refusals[0]
    async with ctx.sessions.begin() as session:
        return await refunds.of_group(session, taken.refunds[0].id)


async def _wait_for_leases(ctx: Context, taken: refunds.LeasedGroup) -> refunds.LeasedGroup:
    """Wait a moment for payments that a worker has leased: it is probably processing an event that just arrived."""
    for _ in range(LEASE_ATTEMPTS):
        if all(refund.id in taken.leased or refund.status != RefundStatus.PROCESSING for refund in taken.refunds):
            break
        await asyncio.sleep(LEASE_WAIT_SECONDS)
        async with ctx.sessions.begin() as session:
            more = await refunds.lease_group(session, taken.refunds[0].id, owner=taken.owner, lease=ctx.settings.lease)
        taken = replace(more, leased=taken.leased | more.leased)
    return taken


async def finish(ctx: Context, refund_id: str, *, now: datetime) -> None:
    """
    Complete a stored refund, in any phase. The caller holds the payment's lease.

    :raises StripeUnavailable: call again later.
    :raises RefundRefused: Stripe declined; the refund has failed.
    :raises CreditNoteRefused: the money is back, but Stripe declined the credit note; call again later.
    """
    async with ctx.sessions.begin() as session:
        refund = await refunds.by_id(session, refund_id)
        payment = await payments.by_id(session, refund.payment_id) if refund else None
    if refund is None or payment is None:
        raise NotFound("No such refund")
    if refund.status == RefundStatus.PROCESSING:
        refund = await _settle(ctx, refund, payment, now=now)
    elif refund.status in IN_TRANSIT:
        refund = await _check(ctx, refund, now=now)
    needs_note = refund.status in CONFIRMED and refund.credit_note_id is None
    if needs_note and not await credit_notes.create(ctx, refund, payment):
        return
    async with ctx.sessions.begin() as session:
        await refunds.finish(session, refund.id, again_in=CHECK_INTERVAL if refund.status in IN_TRANSIT else None)


async def _check(ctx: Context, refund: Refund, *, now: datetime) -> Refund:
    """Fetch the status of a refund that is not final, in case its event was lost."""
    async with ctx.sessions.begin() as session:
        version = await payments.version(session, refund.payment_id)
    state = await at_stripe.payment_state(ctx.gateway, refund.payment_id)
    fetched = next((one for one in state.refunds if one.id == refund.stripe_refund_id), None)
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, refund.subscriber_id)
        if fetched is not None and await payments.advance(session, refund.payment_id, if_version=version):
            return await refund_results.record(session, ctx.rules, refund, fetched, now=now)
        return await refunds.by_id(session, refund.id) or refund


async def _settle(ctx: Context, refund: Refund, payment: Payment, *, now: datetime) -> Refund:
    """Phases 2 and 3. The result is recorded only if nothing newer was recorded since the call began."""

    async def attempt() -> Refund:
        async with ctx.sessions.begin() as session:
            version = await payments.version(session, payment.id)
        try:
            result = await _pay(ctx, refund, await _with_credits(ctx, refund, payment, now=now))
        except RefundRefused as refusal:
            async with ctx.sessions.begin() as session:
                await _lock(session, refund, payment, version)
                await _fail(session, refund, refusal.code)
                if isinstance(refusal, RefundsMissing):
                    await inbox.request_refetch(session, f"{RefetchKind.PAYMENT}:{payment.id}", why="missing_refund")
                    await leases.notify(session, "events")
            raise
        async with ctx.sessions.begin() as session:
            await _lock(session, refund, payment, version)
            return await refund_results.record(session, ctx.rules, refund, result, now=now)

    return await retry_on_conflict(attempt, what=f"The refund {refund.id}")


async def _with_credits(ctx: Context, refund: Refund, payment: Payment, *, now: datetime) -> Payment:
    """Return a payment with its credits as they are at Stripe now. Our copy may be older than a change in the Dashboard."""
    async with ctx.sessions.begin() as session:
        subscription = await subscriptions.of_payment(session, payment.id)
    if subscription is None:
        return payment
    with suppress(Gone):
        state = await subscriptions_at_stripe.fetch(ctx.gateway, subscription.stripe_id)
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, refund.subscriber_id)
            await credits.record(session, ctx.rules, subscription, credits_of(state), now=now)
    async with ctx.sessions.begin() as session:
        return await payments.by_id(session, payment.id) or payment


async def _lock(session: Session, refund: Refund, payment: Payment, version: int) -> None:
    """
    Lock the subscriber and increase the payment's version.

    :raises ConcurrentUpdate: the version has changed.
    """
    await subscribers.lock(session, refund.subscriber_id)
    if not await payments.advance(session, payment.id, if_version=version):
        raise ConcurrentUpdate(payment.id)


async def _pay(ctx: Context, refund: Refund, payment: Payment) -> StripeRefundState:
    """
    Phase 2: create the refund at Stripe. Before each attempt check whether an earlier one succeeded after all.

    :raises PaidOutsideStripe: the money did not go through Stripe; staff must return it.
    """
    if payment.is_outside_stripe:
        raise PaidOutsideStripe
    async with ctx.sessions.begin() as session:
        others = {one.stripe_refund_id for one in await refunds.of_payment(session, payment.id) if one.id != refund.id}
    for _ in range(MAX_STRIPE_FAULTS):
        state = await at_stripe.payment_state(ctx.gateway, payment.id)
        if existing := _match(state, refund, others):
            return existing
        await _check_known(ctx, state, others)
        _check_refundable(state, refund, payment)
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, refund.subscriber_id)
            intent = await intents.record(session, refund.id, "refund", parameters_of(refund))
        request = at_stripe.create(ctx.gateway, intent.parameters, key=intent.key)
        try:
            return await send(ctx.sessions, intent, request, find=lambda: _find(ctx, refund, others))
        except StripeRefused as declined:
            raise _refusal(declined) from declined
        except StripeFault:
            continue  # nothing was refunded
    raise StripeUnavailable("Stripe keeps failing")


def parameters_of(refund: Refund) -> dict[str, object]:
    """Return the parameters of the refund at Stripe."""
    return {
        "charge" if is_charge(refund.payment_id) else "payment_intent": refund.payment_id,
        "amount": refund.amount,
        "reason": "requested_by_customer",
        "metadata": metadata_of(refund),
    }


def metadata_of(refund: Refund) -> dict[str, str]:
    """Return the metadata of the refund at Stripe: enough to restore it, and to recognize a repeated request."""
    group = {OUR_GROUP: refund.group_id} if refund.group_id != refund.id else {}
    request = {OUR_REQUEST: refund.request_hash} if refund.request_hash is not None else {}
    return {OUR_REFUND: refund.id, OUR_BASIS: refund.basis, **group, **request}


def _refusal(declined: StripeRefused) -> RefundRefused:
    match declined.facts.get("stripe_code"):
        case "charge_disputed":
            return PaymentDisputed()
        case "charge_already_refunded":
            return NothingToRefund()
        case _:
            return RefundRefused(f"Stripe declined the refund: {declined}")


async def _find(ctx: Context, refund: Refund, others: Set[str | None]) -> StripeRefundState | None:
    """Fetch a refund of ours by its metadata."""
    return _match(await at_stripe.payment_state(ctx.gateway, refund.payment_id), refund, others)


def _match(state: StripePaymentState, refund: Refund, others: Set[str | None]) -> StripeRefundState | None:
    """Return Stripe's refund that is ours, and that is not known to be another one."""
    return next((one for one in state.refunds if one.is_of(refund) and one.id not in others), None)


async def _check_known(ctx: Context, state: StripePaymentState, others: Set[str | None]) -> None:
    """
    Check that we know every refund of the payment that names one of ours. Without them the quote was too high.

    :raises RefundsMissing: a backup was restored that lacks one.
    """
    named = {one.ours for one in state.refunds if one.ours is not None and one.id not in others}
    if not named:
        return
    async with ctx.sessions.begin() as session:
        known = await refunds.by_ids(session, sorted(named))
    if named - known.keys():
        raise RefundsMissing


def _check_refundable(state: StripePaymentState, refund: Refund, payment: Payment) -> None:
    """
    Check that the money was not refunded in another way since the quote.

    :raises PaymentDisputed: it is disputed.
    :raises NothingToRefund: too little is left.
    """
    if state.disputed and not state.refundable:
        raise PaymentDisputed
    refunded = sum(one.amount for one in state.refunds if one.status in COUNTED)
    if not state.refundable or refunded + refund.amount > payment.amount - payment.credited:
        raise NothingToRefund


async def _fail(session: Session, refund: Refund, reason: str) -> None:
    await refunds.set_status(session, refund.id, RefundStatus.FAILED, failure_reason=reason)
    await refunds.finish(session, refund.id)
    await refund_results.announce(session, replace(refund, status=RefundStatus.FAILED, failure_reason=reason))
    await audit.record(
        session,
        actor="stripe",
        action="refund.failed",
        object_id=refund.id,
        subscriber_id=refund.subscriber_id,
        reason=reason,
        before={"status": refund.status},
        after={"status": RefundStatus.FAILED},
    )
