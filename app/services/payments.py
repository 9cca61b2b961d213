"""
Payments, followed: what goes back of them, by our own refunds, by hand in Stripe's Dashboard, or by a bank.

One look at Stripe tells of a payment's refunds, disputes and warnings together; it is kept in one commit, with what follows
by rule and by policy, under the subscriber's lock and fenced by the payment's version.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from app.aggregates import cancellations, refund_orders, refund_results
from app.context import Context
from app.db import audit, disputes, grants, payments, refunds, subscribers, subscriptions
from app.db.engine.session import Session, new_id
from app.db.subscriptions import ConcurrentUpdate
from app.domain.disputes import (
    DISPUTE_LOST,
    DISPUTE_OPEN,
    ENDED,
    FRAUD_WARNING,
    KEEP,
    UNKNOWN_PAYMENT,
    StripeDisputeState,
    StripeWarningState,
    attention_reason,
    effect_of,
    policy_at,
    suspends,
)
from app.domain.errors import NotFound
from app.domain.events import INVOICE, RefetchFirst
from app.domain.refunds import CONFIRMED, DASHBOARD, Refund, RefundInProgress, StripeRefundState, tax_part
from app.domain.rules import Rules
from app.domain.subscriptions import OVER, ForeignStripeObject, Payment
from app.gateway import disputes as disputes_at_stripe
from app.gateway import refunds as at_stripe

LOOKS = 5  # how often we look again when somebody saved meanwhile
POLICY = "policy"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A payment of ours, and whose it is."""

    payment: Payment
    subscriber_id: str
    subscription_id: str


async def follow(ctx: Context, payment_id: str, *, now: datetime) -> None:
    """
    Bring a payment's refunds, disputes and warnings up to Stripe's state: refunds of ours are known by their metadata.

    :raises RefetchFirst: the payment is not here yet; its invoice's subscription has to be looked at before.
    :raises NotOurs: it is of no invoice.
    :raises RefundInProgress: a warning asks for a refund, and another is on its way; all else is kept.
    """
    for _ in range(LOOKS):
        async with ctx.sessions.begin() as session:
            version = await payments.version(session, payment_id)
        if version == 0:
            await _keep_foreign(ctx, await disputes_at_stripe.of_payment(ctx.gateway, payment_id), now=now)
            raise RefetchFirst(f"{INVOICE}:{await at_stripe.invoice_of(ctx.gateway, payment_id)}")
        state, warnings = await asyncio.gather(
            at_stripe.payment_state(ctx.gateway, payment_id), disputes_at_stripe.warnings_of(ctx.gateway, payment_id)
        )
        async with ctx.sessions.begin() as session:
            held = await _lock(session, payment_id)
            if not await payments.advance(session, payment_id, if_version=version):
                continue
            for seen in state.refunds:
                known = await _known(session, held.subscriber_id, payment_id, seen)
                await refund_results.record(session, ctx.rules, known, seen, now=now)
            await _dispute(session, ctx.rules, held, state.disputes, now=now)
            waits = [
                await _warn(session, ctx.rules, held, warning, refundable=state.refundable, now=now)
                for warning in warnings
            ]
        if any(waits):
            raise RefundInProgress
        return
    raise ConcurrentUpdate(payment_id)


async def follow_dispute(ctx: Context, dispute_id: str, *, now: datetime) -> None:
    """
    Keep a dispute of a charge that belongs to no payment, so that staff see it.

    :raises NotOurs: always, once it is kept: nothing follows from it.
    """
    seen = await disputes_at_stripe.fetch(ctx.gateway, dispute_id)
    await _keep_foreign(ctx, [seen], now=now)
    raise ForeignStripeObject(f"the charge {seen.charge_id} belongs to no payment of ours")


async def _lock(session: Session, payment_id: str) -> Followed:
    owner = await payments.owner_of(session, payment_id)
    payment = await payments.by_id(session, payment_id)
    if owner is None or payment is None:
        raise NotFound("there is no such payment")
    await subscribers.lock(session, owner[0])
    return Followed(payment=payment, subscriber_id=owner[0], subscription_id=owner[1])


async def _keep_foreign(ctx: Context, seen: Sequence[StripeDisputeState], *, now: datetime) -> None:
    """Keep disputes of a payment that is none of ours, or not here yet, for staff to see. Nothing else follows."""
    async with ctx.sessions.begin() as session:
        for one in seen:
            await disputes.keep(session, one, subscriber_id=None, concern=UNKNOWN_PAYMENT, now=now)


async def _dispute(
    session: Session, rules: Rules, held: Followed, seen: Sequence[StripeDisputeState], *, now: datetime
) -> None:
    """Keep a payment's disputes, and see to its term: suspended by policy, granted again, or ended with a loss."""
    payment = held.payment
    given = sum(r.amount for r in await refunds.of_payment(session, payment.id) if r.status in CONFIRMED)
    for one in seen:
        before = await disputes.by_id(session, one.id)
        if before is None or before.status != one.status:
            log.warning("dispute", dispute=one.id, payment=payment.id, status=one.status, due_by=one.due_by)
        lost_before = before is not None and before.lost_at is not None
        concern = attention_reason(
            one, paid=payment.amount, currency=payment.currency, refunded=given, lost_before=lost_before
        )
        await disputes.keep(session, one, subscriber_id=held.subscriber_id, concern=concern, now=now)
        if effect_of(one.status).access == ENDED and await disputes.mark_lost(session, one.id, now=now):
            await _lose(session, rules, held, one, now=now)
    known = await disputes.of_invoice(session, payment.invoice_id)
    suspending = [one.id for one in known if suspends(one, rules.catalogue.disputes)]
    if await subscriptions.suspend_term(session, payment.invoice_id, DISPUTE_OPEN if suspending else None):
        await audit.record(
            session,
            actor=POLICY,
            action="access.suspended" if suspending else "access.restored",
            object_id=payment.id,
            subscriber_id=held.subscriber_id,
            reason=DISPUTE_OPEN if suspending else "dispute_over",
            after={"invoice": payment.invoice_id, "disputes": suspending or [one.id for one in known]},
        )
        await _derive(session, rules, held)


async def _lose(session: Session, rules: Rules, held: Followed, seen: StripeDisputeState, *, now: datetime) -> None:
    """Count a lost dispute as a refund of its payment: the term ends for good, and the subscription with it."""
    await subscriptions.mark_term_refunded(session, held.payment.invoice_id, DISPUTE_LOST)
    ended = await _end(session, rules, held, by=DISPUTE_LOST, now=now)
    await audit.record(
        session,
        actor=POLICY,
        action="dispute.lost",
        object_id=seen.id,
        subscriber_id=held.subscriber_id,
        reason=seen.reason,
        after={"payment": held.payment.id, "amount": seen.amount, "currency": seen.currency, "ended": ended},
    )


async def _warn(
    session: Session, rules: Rules, held: Followed, seen: StripeWarningState, *, refundable: bool, now: datetime
) -> bool:
    """
    Keep an early warning of fraud and, once, do what the policy says: to refund and cancel costs less than a dispute.

    :returns: whether it has to wait for another refund of the payment.
    """
    payment, owner = held.payment, held.subscriber_id
    acted = await disputes.keep_warning(session, seen, payment_id=payment.id, subscriber_id=owner)
    if acted or not seen.actionable:
        return False
    refund = None
    if policy_at(rules.catalogue.disputes, seen.created_at).fraud_warning == KEEP:
        done = "kept"
    elif not refundable:
        done = "not_refundable"
    else:
        done = "refunded"
        try:
            refund = await refund_orders.refund(
                session, payment, subscriber_id=owner, basis=FRAUD_WARNING, reason=seen.fraud_type, now=now
            )
        except RefundInProgress:
            return True
        await subscriptions.mark_term_refunded(session, payment.invoice_id, FRAUD_WARNING)
        await _end(session, rules, held, by=FRAUD_WARNING, now=now)
    await disputes.mark_acted(session, seen.id, done, now=now)
    await audit.record(
        session,
        actor=POLICY,
        action="fraud_warning.acted",
        object_id=seen.id,
        subscriber_id=owner,
        reason=seen.fraud_type,
        after={"payment": payment.id, "done": done, "refund": refund.id if refund else None},
    )
    log.warning("fraud_warning", warning=seen.id, payment=payment.id, done=done)
    return False


async def _end(session: Session, rules: Rules, held: Followed, *, by: str, now: datetime) -> bool:
    """End the subscription, unless Stripe has: what that end cut stays cut."""
    subscription = await subscriptions.by_id(session, held.subscription_id)
    if subscription is not None and subscription.status not in OVER:
        return await cancellations.end(session, rules, subscription.id, by=by, now=now)
    await _derive(session, rules, held)
    return False


async def _derive(session: Session, rules: Rules, held: Followed) -> None:
    subscription = await subscriptions.by_id(session, held.subscription_id)
    subscriber = await subscribers.by_id(session, held.subscriber_id)
    if subscription is not None and subscriber is not None:
        await grants.derive(session, subscriber, subscription, rules.catalogue, rules.access)


async def _known(session: Session, subscriber_id: str, payment_id: str, seen: StripeRefundState) -> Refund:
    """Return our refund that Stripe's is, or record one that was made by hand there."""
    given = await refunds.of_payment(session, payment_id)
    for held in given:
        if seen.is_of(held):
            return held
    payment = await payments.by_id(session, payment_id)
    refund_id = new_id("rfd")
    refund = Refund(
        id=refund_id,
        act_id=refund_id,
        payment_id=payment_id,
        subscriber_id=subscriber_id,
        basis=DASHBOARD,
        amount=seen.amount,
        tax=tax_part(payment, seen.amount, given) if payment is not None else 0,
        currency=seen.currency,
        reason="made_in_stripe",
        note=None,
        requested_by="stripe",
        status=seen.status,
        stripe_refund_id=seen.id,
        failure_reason=seen.failure_reason,
        created_at=seen.created_at,
        made_at=seen.created_at,
    )
    await refunds.insert(session, refund, unfinished=False)
    return refund
