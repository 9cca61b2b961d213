"""
Payments: their refunds, disputes and fraud warnings, synced with Stripe.

They are fetched together and saved in one commit with what follows from them by rule and by policy, under the subscriber's
lock, and only if our copy has not changed since the fetch began.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from app.aggregates import cancellations, grants, imports, print_returns, refund_orders, refund_results
from app.aggregates.retries import retry_on_conflict
from app.context import Context
from app.db import anomalies, audit, disputes, inbox, payments, reconciliation, refunds, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session, is_id, new_id
from app.domain.anomalies import PRINT_CHARGED_LATE
from app.domain.disputes import (
    AccessEffect,
    DisputeConcern,
    PolicyAction,
    StripeDisputeState,
    StripeWarningState,
    attention_reason,
    effect_of,
    policy_at,
    suspends,
)
from app.domain.errors import ConcurrentUpdate, NotFound
from app.domain.events import RefetchFirst, RefetchInstead, RefetchKind
from app.domain.imports import is_history
from app.domain.reasons import EndReason, SuspensionReason
from app.domain.refunds import (
    CONFIRMED,
    Refund,
    RefundBasis,
    RefundInProgress,
    StripePaymentState,
    StripeRefundState,
    tax_part,
)
from app.domain.rules import Rules
from app.domain.subscriptions import OVER, Payment, Subscription
from app.gateway import disputes as disputes_at_stripe
from app.gateway import refunds as at_stripe

POLICY = "policy"  # the actor in the audit log
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPayment:
    """A payment, the ID of its subscriber, and its subscription as it was when the payment was locked."""

    payment: Payment
    subscriber_id: str
    subscription: Subscription
    listed: frozenset[str] = frozenset()  # the IDs at Stripe of what an import listed


async def sync(ctx: Context, payment_id: str, *, now: datetime) -> None:
    """
    Bring a payment's refunds, disputes and fraud warnings up to date with Stripe's.

    :raises RefetchFirst: we don't have the payment yet, so its invoice must be fetched first.
    :raises ForeignStripeObject: it has no invoice.
    :raises RefundInProgress: a warning requires a refund, but another one is in progress. Everything else is saved.
    """

    async def attempt() -> bool:
        async with ctx.sessions.begin() as session:
            version = await payments.version(session, payment_id)
            known = await payments.by_id(session, payment_id)
        if known is not None and known.is_outside_stripe:
            return True  # it has no refunds or disputes at Stripe
        if version == 0:
            await _save_unrelated(ctx, await disputes_at_stripe.of_payment(ctx.gateway, payment_id), now=now)
            raise RefetchFirst(f"{RefetchKind.INVOICE}:{await at_stripe.invoice_of(ctx.gateway, payment_id)}")
        state, warnings = await asyncio.gather(
            at_stripe.payment_state(ctx.gateway, payment_id), disputes_at_stripe.warnings_of(ctx.gateway, payment_id)
        )
        async with ctx.sessions.begin() as session:
            own = await _lock(session, payment_id)
            if not await payments.advance(session, payment_id, if_version=version):
                raise ConcurrentUpdate(payment_id)
            return await _save(session, ctx.rules, own, state, warnings, now=now)

    if not await retry_on_conflict(attempt, what=f"The payment {payment_id}"):
        raise RefundInProgress


async def redirect_charge(ctx: Context, charge_id: str) -> None:
    """
    Redirect an event about a charge to its payment: the payment intent, or the charge itself if it has none.

    :raises RefetchInstead: always.
    """
    raise RefetchInstead(f"{RefetchKind.PAYMENT}:{await at_stripe.payment_of(ctx.gateway, charge_id)}")


async def redirect_dispute(ctx: Context, dispute_id: str) -> None:
    """
    Redirect an event about a dispute that does not name a payment intent to its payment, which may be a charge.

    :raises RefetchInstead: always.
    """
    dispute = await disputes_at_stripe.fetch(ctx.gateway, dispute_id)
    raise RefetchInstead(f"{RefetchKind.PAYMENT}:{dispute.payment_id or dispute.charge_id}")


async def _save_unrelated(ctx: Context, states: Sequence[StripeDisputeState], *, now: datetime) -> None:
    """Save disputes of a payment that is not ours, or that we don't have yet, for staff to see."""
    async with ctx.sessions.begin() as session:
        for state in states:
            await disputes.save(session, state, subscriber_id=None, concern=DisputeConcern.UNKNOWN_PAYMENT, now=now)


async def _lock(session: Session, payment_id: str) -> OwnPayment:
    owner = await payments.owner_of(session, payment_id)
    payment = await payments.by_id(session, payment_id)
    if owner is None or payment is None:
        raise NotFound("No such payment")
    await subscribers.lock(session, owner[0])
    subscription = await subscriptions.by_id(session, owner[1])
    assert subscription is not None
    return OwnPayment(payment=payment, subscriber_id=owner[0], subscription=subscription)


async def _save(
    session: Session,
    rules: Rules,
    own: OwnPayment,
    state: StripePaymentState,
    warnings: Sequence[StripeWarningState],
    *,
    now: datetime,
) -> bool:
    """Save the fetched state and its consequences. Return False if a refund has to wait for another one."""
    if own.payment.is_history:
        refunded, disputed = [one.id for one in state.refunds], [one.id for one in state.disputes]
        ids = [*refunded, *disputed, *(one.id for one in warnings)]
        own = replace(own, listed=frozenset(await reconciliation.listed_by_imports(session, ids)))
    recorded = []
    for refund_state in state.refunds:
        refund = await _find_or_add_refund(session, own, refund_state)
        recorded.append(await refund_results.record(session, rules, refund, refund_state, now=now))
    await _save_disputes(session, rules, own, state.disputes, now=now)
    acted = [await _save_warning(session, rules, own, one, refundable=state.refundable, now=now) for one in warnings]
    if own.payment.is_history or any(refund.is_history for refund in recorded):
        subscription = await subscriptions.by_id(session, own.subscription.id)
        await imports.report_history(session, rules, subscription or own.subscription)
    stripe_id = own.subscription.stripe_id
    if recorded and await anomalies.is_open(session, stripe_id, PRINT_CHARGED_LATE):  # a refund may have settled it
        await inbox.request_refetch(session, f"{RefetchKind.SUBSCRIPTION}:{stripe_id}", why="refund")
        await leases.notify(session, "events")
    return all(acted)


def _is_history(own: OwnPayment, at: datetime, stripe_id: str) -> bool:
    """Return whether something that Stripe says of a payment happened before we followed its subscription."""
    return is_history(own.subscription, own.payment, at, listed=stripe_id in own.listed)


async def _save_disputes(
    session: Session, rules: Rules, own: OwnPayment, states: Sequence[StripeDisputeState], *, now: datetime
) -> None:
    """Save a payment's disputes. Its term is suspended by policy, restored, or ended if a dispute is lost."""
    payment = own.payment
    given = await refunds.of_payment(session, payment.id)
    refunded = payment.credited + sum(r.amount for r in given if r.status in CONFIRMED)
    for state in states:
        before = await disputes.by_id(session, state.id)
        if before is None or before.status != state.status:
            log.warning("dispute", dispute=state.id, payment=payment.id, status=state.status, due_by=state.due_by)
        is_lost = effect_of(state.status).access == AccessEffect.ENDED
        is_new = before is None or before.subscriber_id is None
        lost_earlier = is_lost and is_new and _is_history(own, state.opened_at, state.id)
        concern = attention_reason(
            state,
            paid=payment.amount,
            currency=payment.currency,
            refunded=refunded,
            lost_before=before is not None and before.lost_at is not None,
        )
        await disputes.save(
            session, state, subscriber_id=own.subscriber_id, concern=None if lost_earlier else concern, now=now
        )
        if is_lost and await disputes.mark_lost(session, state.id, now=now):
            await _end_after_loss(session, rules, own, state, is_history=lost_earlier, now=now)
    await _suspend_or_restore(session, rules, own)


async def _suspend_or_restore(session: Session, rules: Rules, own: OwnPayment) -> None:
    """Suspend the payment's term, or the print that it added, while the policy says so, and restore it afterwards."""
    payment = own.payment
    if payment.print_from is not None:
        await print_returns.follow_disputes(session, rules, own.subscription.id, payment)
        return
    all_disputes = await disputes.of_invoice(session, payment.invoice_id)
    suspending = [one.id for one in all_disputes if suspends(one, rules.catalogue.disputes)]
    if not await subscriptions.suspend_term(
        session, payment.invoice_id, SuspensionReason.DISPUTE_OPEN if suspending else None
    ):
        return
    await audit.record(
        session,
        actor=POLICY,
        action="access.suspended" if suspending else "access.restored",
        object_id=payment.id,
        subscriber_id=own.subscriber_id,
        reason=SuspensionReason.DISPUTE_OPEN if suspending else "dispute_over",
        after={"invoice": payment.invoice_id, "disputes": suspending or [one.id for one in all_disputes]},
    )
    await _derive_grants(session, rules, own)


async def _end_after_loss(
    session: Session, rules: Rules, own: OwnPayment, state: StripeDisputeState, *, is_history: bool, now: datetime
) -> None:
    """
    Treat a lost dispute like a refund: the term ends permanently, and the subscription with it. What added print ends print.

    :param is_history: it was lost before we followed the subscription, which continues then.
    """
    has_added_print, ended = own.payment.print_from is not None, False
    if not has_added_print:
        await subscriptions.mark_term_refunded(
            session, own.payment.invoice_id, EndReason.DISPUTE_LOST, at=state.opened_at if is_history else now
        )
    if has_added_print and not is_history:
        await _end_print(session, rules, own, by=EndReason.DISPUTE_LOST, now=now)
    elif is_history:
        await _derive_grants(session, rules, own)
    else:
        ended = await _end(session, rules, own, by=EndReason.DISPUTE_LOST, now=now)
    await audit.record(
        session,
        actor=POLICY,
        action="dispute.lost",
        object_id=state.id,
        subscriber_id=own.subscriber_id,
        reason=state.reason,
        after={"payment": own.payment.id, "amount": state.amount, "currency": state.currency, "ended": ended},
    )


async def _save_warning(
    session: Session, rules: Rules, own: OwnPayment, warning: StripeWarningState, *, refundable: bool, now: datetime
) -> bool:
    """
    Save an early fraud warning and act on it once, as the policy says: a refund costs less than a dispute.

    :returns: False if the refund has to wait for another one of the payment.
    """
    payment, owner = own.payment, own.subscriber_id
    acted = await disputes.save_warning(session, warning, payment_id=payment.id, subscriber_id=owner)
    if acted or not warning.actionable:
        return True
    refund = None
    by_policy = policy_at(rules.catalogue.disputes, warning.created_at).fraud_warning
    if by_policy == PolicyAction.KEEP or _is_history(own, warning.created_at, warning.id):
        action = "kept"
    elif not refundable:
        action = "not_refundable"
    else:
        action = "refunded"
        try:
            refund = await refund_orders.refund(
                session,
                payment,
                subscriber_id=owner,
                basis=RefundBasis.FRAUD_WARNING,
                reason=warning.fraud_type,
                now=now,
            )
        except RefundInProgress:
            return False
        if payment.print_from is not None:
            await _end_print(session, rules, own, by=EndReason.FRAUD_WARNING, now=now)
        else:
            await subscriptions.mark_term_refunded(session, payment.invoice_id, EndReason.FRAUD_WARNING, at=now)
            await _end(session, rules, own, by=EndReason.FRAUD_WARNING, now=now)
    await disputes.mark_acted(session, warning.id, action, now=now)
    await audit.record(
        session,
        actor=POLICY,
        action="fraud_warning.acted",
        object_id=warning.id,
        subscriber_id=owner,
        reason=warning.fraud_type,
        after={"payment": payment.id, "done": action, "refund": refund.id if refund else None},
    )
    log.warning("fraud_warning", warning=warning.id, payment=payment.id, action=action)
    return True


async def _end(session: Session, rules: Rules, own: OwnPayment, *, by: str, now: datetime) -> bool:
    """End the subscription, unless Stripe has already ended it; then only derive its grants again."""
    subscription = await subscriptions.by_id(session, own.subscription.id)
    if subscription is not None and subscription.status not in OVER:
        return await cancellations.end(session, rules, subscription.id, by=by, now=now)
    await _derive_grants(session, rules, own)
    return False


async def _end_print(session: Session, rules: Rules, own: OwnPayment, *, by: str, now: datetime) -> None:
    await print_returns.end(session, rules, own.subscription.id, own.payment, basis=by, at=now, now=now)


async def _derive_grants(session: Session, rules: Rules, own: OwnPayment) -> None:
    subscription = await subscriptions.by_id(session, own.subscription.id)
    subscriber = await subscribers.by_id(session, own.subscriber_id)
    if subscription is not None and subscriber is not None:
        await grants.derive(session, rules, subscriber, subscription)


async def _find_or_add_refund(session: Session, own: OwnPayment, state: StripeRefundState) -> Refund:
    """
    Return our refund with that state, or add one that was made in Stripe's Dashboard.

    One that names a refund of ours which we don't know was made before a backup was restored. It keeps its ID, basis, group
    and request, and what followed from it has happened.
    """
    existing = await refunds.of_payment(session, own.payment.id)
    for refund in sorted(existing, key=lambda one: one.stripe_refund_id != state.id):
        if state.is_of(refund):
            return refund
    is_lost = state.ours is not None and await refunds.by_id(session, state.ours) is None
    refund_id = state.ours if is_lost and state.ours and is_id(state.ours, "rfd") else new_id("rfd")
    refund = Refund(
        id=refund_id,
        group_id=state.group if is_lost and state.group and is_id(state.group, "rfd") else refund_id,
        payment_id=own.payment.id,
        subscriber_id=own.subscriber_id,
        basis=state.basis if is_lost and state.basis in set(RefundBasis) else RefundBasis.DASHBOARD,
        amount=state.amount,
        tax=tax_part(own.payment, state.amount, existing),
        currency=state.currency,
        reason="made_in_stripe",
        note=None,
        requested_by="stripe",
        status=state.status,
        stripe_refund_id=state.id,
        failure_reason=state.failure_reason,
        created_at=state.created_at,
        made_at=state.created_at,
        is_history=is_lost or _is_history(own, state.created_at, state.id),
        request_hash=state.request_hash if is_lost else None,
    )
    await refunds.insert(session, refund, unfinished=False)
    return refund
