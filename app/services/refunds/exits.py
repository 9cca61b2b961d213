"""Contracts that end early, at a month's notice: the refund of their unserved issues, when the notice has run."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from app.aggregates import cancellations, cutoffs, quotes, sync_subscription
from app.context import Context
from app.db import declarations, refunds, subscribers, subscriptions
from app.db.engine.session import Session, new_id
from app.domain.declarations import Declaration, DeclarationStatus
from app.domain.errors import DomainError
from app.domain.quotes import payments_of_term, quote_unserved
from app.domain.reasons import EndReason, RefundReason
from app.domain.refunds import NothingToRefund, NothingUnserved, PaidByCredit, RefundBasis, RefundInProgress
from app.gateway import subscriptions as at_stripe
from app.gateway.client import Gone
from app.services.refunds import payout
from app.services.refunds.requests import RefundRequest, create

ACTOR = "policy"
AGAIN_IN = timedelta(hours=1)
NOTHING_LEFT = (NothingUnserved, NothingToRefund, PaidByCredit)


async def finish_exit(ctx: Context, declaration_id: str, *, now: datetime) -> None:
    """
    End a contract whose notice has run, and refund its unserved issues. It can be repeated.

    One that was resumed at Stripe meanwhile goes on. What can't be refunded now waits for staff.

    :raises StripeUnavailable: call again.
    """
    async with ctx.sessions.begin() as session:
        known = await declarations.by_id(session, declaration_id)
        if known is None or known.status != DeclarationStatus.SCHEDULED or known.subscriber_id is None:
            return
        subscription = await subscriptions.by_id(session, known.subscription_id) if known.subscription_id else None
    if subscription is not None and known.ends_at is not None and now >= known.ends_at:
        # Our copy may be older than a change at Stripe: its event is late, or was lost with a restored backup.
        fetch = partial(at_stripe.fetch, ctx.gateway, subscription.stripe_id)
        with suppress(Gone):
            await sync_subscription.fetch_and_save(ctx.sessions, ctx.rules, subscription.stripe_id, fetch, now=now)
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, known.subscriber_id)
        declared = await declarations.by_id(session, declaration_id)  # it may have been resumed before the lock
        if declared is None or declared.status != DeclarationStatus.SCHEDULED or declared.ends_at is None:
            return
        if now < declared.ends_at:  # the clock of the policy is behind
            await declarations.set_outcome(session, declared, due_in=declared.ends_at - now)
            return
        now = await cutoffs.settle(session, ctx.rules.zone, now=now)
        outcome = await _end(ctx, session, declared, now=now)
        again = AGAIN_IN if outcome.status == DeclarationStatus.SCHEDULED else None
        await declarations.set_outcome(session, outcome, due_in=again)
        taken = None
        if outcome.refund_id is not None:
            owner = new_id("own")
            taken = await refunds.lease_group(session, outcome.refund_id, owner=owner, lease=ctx.settings.lease)
    if taken is not None:
        await payout.pay(ctx, taken, now=now)


async def _end(ctx: Context, session: Session, declared: Declaration, *, now: datetime) -> Declaration:
    """
    Store the refund, or the end without one. Return the declaration with its outcome.

    It was scheduled after Stripe had accepted the end at the period's end. Without that end now, it was resumed there.
    """
    if declared.subscription_id is None:
        raise LookupError(declared.id)
    subscription = await subscriptions.by_id(session, declared.subscription_id)
    done = replace(declared, status=DeclarationStatus.DONE)
    if subscription is None or not subscription.can_be_canceled:
        return done
    if subscription.cancel_at is None:
        return replace(declared, status=DeclarationStatus.REVOKED)
    terms = await subscriptions.terms_of(session, subscription.id)
    running = [term for term in terms if term.starts_at <= now < term.ends_at and not term.is_refunded]
    found = await quotes.of_subscription(session, ctx.rules, subscription.id, now=now)
    paid = [one for one in found.case.payments if running and one.invoice_id == running[-1].invoice_id] if found else []
    if found is None or not paid:
        await cancellations.end(session, ctx.rules, subscription.id, by=EndReason.CANCEL_NOW, now=now)
        of_balance = any(term.paid_by_balance > 0 for term in running)  # no payment to refund: staff return the share
        return replace(declared, status=DeclarationStatus.QUEUED) if of_balance else done
    quote = quote_unserved(replace(found.case, payment=payments_of_term(paid[0], paid, terms)[0]))
    if isinstance(quote.refusal, NOTHING_LEFT):
        return done  # everything was served, so it ends with its period
    if isinstance(quote.refusal, RefundInProgress):
        return declared  # tried again later
    request = RefundRequest(
        payment_id=quote.parts[0].payment.id if quote.parts else paid[0].id,
        basis=RefundBasis.UNSERVED_ISSUES,
        reason=RefundReason.RENEWAL_UNWANTED,
        note=None,
        expected=quote.money,
    )
    try:
        made = await create(session, ctx.rules, request, refund_id=new_id("rfd"), by=ACTOR, now=now)
    except DomainError:  # such as a dispute
        await cancellations.end(session, ctx.rules, subscription.id, by=EndReason.CANCEL_NOW, now=now)
        return replace(declared, status=DeclarationStatus.QUEUED)
    return replace(done, refund_id=made[0].group_id)
