"""
The customer's balance when a subscription ends: what it paid of refunded invoices goes back, unspent credits are taken out.

What is due follows from a state that was just fetched, so a step that was killed after its effect is not repeated.
"""

from collections.abc import Mapping
from functools import partial

from app.aggregates import cancellations
from app.aggregates import credits as saved_credits
from app.context import Context
from app.db import anomalies, credits, disputes, payments, refunds, subscribers, subscriptions
from app.db.engine.session import Session
from app.domain.anomalies import UNSPENT_CREDIT, unspent_credit
from app.domain.credits import Credit, CreditKind, due_to_balance, reclaimable
from app.domain.invoices import InvoiceStatus
from app.domain.subscriptions import StripeInvoiceState, StripeSubscriptionState, Subscription
from app.gateway import credits as at_stripe
from app.gateway import customers as customers_at_stripe
from app.services.cancellations.steps import cause_of, intend, send


async def return_to_balance(ctx: Context, subscription: Subscription, state: StripeSubscriptionState) -> None:
    """
    Return to the customer's balance what it paid of invoices that were refunded or bought nothing, by credit notes.

    :raises StripeRefused: Stripe declined one; call again.
    """
    for invoice in state.invoices:
        if invoice.status != InvoiceStatus.PAID or invoice.paid_by_balance == 0:
            continue
        due = partial(_due_to_balance, subscription=subscription, state=state, invoice=invoice)
        reason = f"ended:{cause_of(subscription)}"
        await saved_credits.return_to_balance(ctx.sessions, ctx.gateway, subscription, invoice, due, reason=reason)


async def _due_to_balance(
    session: Session, *, subscription: Subscription, state: StripeSubscriptionState, invoice: StripeInvoiceState
) -> int:
    held = await subscriptions.by_id(session, subscription.id) or subscription
    return due_to_balance(
        invoice,
        await credits.of_subscription(session, held.id),
        await payments.of_subscription(session, held.id),
        await subscriptions.terms_of(session, held.id),
        await refunds.of_subscriber(session, held.subscriber_id),
        bought_nothing=invoice.id in await cancellations.useless_invoices(session, held, state),
    )


async def reclaim(ctx: Context, subscription: Subscription, state: StripeSubscriptionState) -> None:
    """
    Take unspent proration credits out of the customer's balance. They are refunded when the end is closed.

    What cannot be refunded stays in the balance, and is shown to staff.

    :raises StripeRefused: Stripe declined one; call again.
    """
    customer = await customers_at_stripe.fetch(ctx.gateway, state.customer_id)
    balances = dict(customer.credit)
    await _save_reclaimed(ctx, subscription, state.customer_id)
    while True:
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, subscription.subscriber_id)
            due = await _reclaimable(session, subscription, balances)
            if not due:
                break
            credit, amount = due[0]
            facts = {"amount": amount, "currency": credit.currency}
            parameters = {
                **facts,
                "description": "Unspent credit, refunded",
                "metadata": {at_stripe.OUR_CREDIT: credit.id},
            }
            intent = await intend(session, subscription, credit.id, "credit.reclaim", facts, parameters)
        request = at_stripe.reclaim(ctx.gateway, state.customer_id, intent.parameters, key=intent.key)
        await send(ctx, subscription, intent, request, save=partial(_save, subscription))
        balances[credit.currency] -= amount
    async with ctx.sessions.begin() as session:
        live = await subscriptions.live_of(session, subscription.subscriber_id)
        reason = None if live else unspent_credit(balances)
        await anomalies.report(
            session,
            state.customer_id,
            {UNSPENT_CREDIT: reason} if reason else {},
            subscriber_id=subscription.subscriber_id,
            among=[UNSPENT_CREDIT],
        )


async def _save_reclaimed(ctx: Context, subscription: Subscription, customer_id: str) -> None:
    """Save what was taken out of the balance, if a response was lost."""
    async with ctx.sessions.begin() as session:
        own = await credits.of_subscription(session, subscription.id)
    ids = {one.id for one in own if one.kind == CreditKind.PRORATION}
    if not ids:
        return
    taken = [one for one in await at_stripe.reclaimed(ctx.gateway, customer_id) if one.invoice_id in ids]
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, subscription.subscriber_id)
        await saved_credits.save(session, subscription.id, taken)


async def _reclaimable(
    session: Session, subscription: Subscription, balances: Mapping[str, int]
) -> list[tuple[Credit, int]]:
    return reclaimable(
        await credits.of_subscription(session, subscription.id),
        balances,
        await payments.of_subscription(session, subscription.id),
        await subscriptions.terms_of(session, subscription.id),
        await refunds.of_subscriber(session, subscription.subscriber_id),
        unrefundable=await disputes.unrefundable_payments(session, subscription.subscriber_id),
    )


async def _save(subscription: Subscription, session: Session, made: Credit) -> None:
    await saved_credits.save(session, subscription.id, [made])
