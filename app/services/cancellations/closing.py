"""The completion of an end at Stripe. Each step can be repeated, and one that was killed continues where it stopped."""

from contextlib import suppress
from datetime import datetime
from functools import partial

import structlog

from app.aggregates import cancellations, sync_subscription
from app.aggregates import credits as saved_credits
from app.context import Context
from app.db import subscribers, subscriptions
from app.domain.cancellations import is_paid_at_finalization, unpaid_invoices
from app.domain.credits import Credit, CreditKind
from app.domain.errors import StripeRefused, StripeUnavailable
from app.domain.invoices import InvoiceStatus
from app.domain.subscriptions import OVER, StripeInvoiceState, StripeSubscriptionState, Subscription
from app.gateway import cancellations as at_stripe
from app.gateway import customers as customers_at_stripe
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gone
from app.services.cancellations import credits
from app.services.cancellations.steps import intend, record_intent, send

log = structlog.get_logger()


async def finish(ctx: Context, subscription_id: str, *, now: datetime) -> None:
    """
    Complete the remaining steps of a cancellation at Stripe.

    :raises StripeUnavailable: some are still left; call again.
    """
    async with ctx.sessions.begin() as session:
        subscription = await subscriptions.due(session, subscription_id)
    if subscription is None:
        return
    fetch = partial(subscriptions_at_stripe.fetch, ctx.gateway, subscription.stripe_id)
    with suppress(Gone):  # Stripe has deleted it, so nothing can be paid for it
        state = await fetch()
        if state.status not in OVER and subscription.access_ended_at is not None:
            await _cancel(ctx, subscription, state)
            state = await fetch()
            if state.status not in OVER:
                raise StripeUnavailable("Stripe has not canceled the subscription yet")
        if state.status not in OVER:
            await sync_subscription.fetch_and_save(ctx.sessions, ctx.rules, subscription.stripe_id, fetch, now=now)
            async with ctx.sessions.begin() as session:
                # It did not end after all: neither Stripe nor we ended it.
                await subscriptions.clear_due(session, subscription.id)
            return
        if unpaid := unpaid_invoices(state):
            for invoice in unpaid:
                await _void(ctx, subscription, state, invoice)
            state = await fetch()
        await _delete_pending_items(ctx, subscription, state)
        await credits.return_to_balance(ctx, subscription, state)
        await credits.reclaim(ctx, subscription, state)
        await sync_subscription.fetch_and_save(ctx.sessions, ctx.rules, subscription.stripe_id, fetch, now=now)
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, subscription.subscriber_id)
        closed = await cancellations.close(session, subscription.id, now=now)
    if not closed:
        raise StripeUnavailable("Another refund of a payment is in progress")


async def _cancel(ctx: Context, subscription: Subscription, state: StripeSubscriptionState) -> None:
    """
    Stop the collection of the invoices, and cancel the subscription at Stripe.

    The invoices are voided only afterwards: Stripe's status follows the newest invoice that is not void, so a past-due
    subscription would become active again, and its next invoice would be charged.
    """
    for invoice in unpaid_invoices(state):
        await _hold(ctx, subscription, invoice)
    with suppress(Gone):  # it has ended already
        await subscriptions_at_stripe.cancel(ctx.gateway, subscription.stripe_id)


async def _hold(ctx: Context, subscription: Subscription, invoice: StripeInvoiceState) -> None:
    """Stop the automatic collection of an invoice, unless it was paid or voided in the meantime."""
    if not invoice.collection.auto_advance:
        return
    intent = await record_intent(ctx, subscription, invoice.id, "invoice.hold", {"amount": invoice.total})
    with suppress(StripeRefused, Gone):
        await send(ctx, subscription, intent, at_stripe.hold(ctx.gateway, invoice.id, key=intent.key))


async def _void(
    ctx: Context, subscription: Subscription, state: StripeSubscriptionState, invoice: StripeInvoiceState
) -> None:
    """
    Void an invoice. If it has been paid in the meantime, the payment is refunded when it is synced.

    The draft of a subscription can be neither deleted nor voided, only finalized and then voided. One that would be paid
    at its finalization stays a draft that nobody collects. If the customer's balance changes right now, it is paid after
    all, and its amount goes back to the balance like that of any invoice that bought nothing.
    """
    if invoice.status == InvoiceStatus.OPEN and invoice.payments:
        await _write_off(ctx, subscription, invoice)
        return
    facts = {"amount": invoice.total}
    if invoice.status == InvoiceStatus.DRAFT:
        await _hold(ctx, subscription, invoice)
        customer = await customers_at_stripe.fetch(ctx.gateway, state.customer_id)
        if is_paid_at_finalization(invoice, customer.credit.get(invoice.currency, 0)):
            return
        intent = await record_intent(ctx, subscription, invoice.id, cancellations.FINALIZE_TO_VOID, facts)
        try:
            await send(ctx, subscription, intent, at_stripe.finalize(ctx.gateway, invoice.id, key=intent.key))
        except StripeRefused as refusal:
            log.warning("draft_not_finalized", invoice=invoice.id, reason=str(refusal))
            return  # a draft can't be paid
    intent = await record_intent(ctx, subscription, invoice.id, "invoice.void", facts)
    with suppress(StripeRefused):
        await send(ctx, subscription, intent, at_stripe.void(ctx.gateway, invoice.id, key=intent.key))


async def _write_off(ctx: Context, subscription: Subscription, invoice: StripeInvoiceState) -> None:
    """
    Credit the rest of an invoice that was paid in part. The part is refunded, because it bought nothing.

    Stripe does not void an invoice that has a payment; see docs.stripe.com/invoicing/partial-payments.
    """
    left = await at_stripe.amount_remaining(ctx.gateway, invoice.id)
    if left <= 0:  # it has just been paid in full
        return
    facts, parameters = {"amount": left, "currency": invoice.currency}, {"amount": left}
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, subscription.subscriber_id)
        intent = await intend(session, subscription, invoice.id, cancellations.WRITE_OFF, facts, parameters)
    with suppress(StripeRefused):
        await send(ctx, subscription, intent, at_stripe.write_off(ctx.gateway, invoice.id, left, key=intent.key))


async def _delete_pending_items(ctx: Context, subscription: Subscription, state: StripeSubscriptionState) -> None:
    """
    Delete pending invoice items, so that a later invoice doesn't contain them.

    Prorations are stored first, because a credit among them is refunded (:func:`app.domain.credits.unspent_refunds`).
    """
    try:
        items = await at_stripe.pending_items(ctx.gateway, state.customer_id, subscription.stripe_id)
    except Gone:
        return
    prorations = [
        Credit(
            id=item.id,
            kind=CreditKind.UNBILLED,
            invoice_id=None,
            amount=-item.amount,
            currency=item.currency,
            created_at=item.created_at,
        )
        for item in items
        if item.proration
    ]
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, subscription.subscriber_id)
        await saved_credits.save(session, subscription.id, prorations)
    for item in items:
        facts = {"amount": item.amount, "currency": item.currency}
        await record_intent(ctx, subscription, item.id, "pending_item.delete", facts)
        with suppress(Gone):
            await at_stripe.delete_item(ctx.gateway, item.id)
