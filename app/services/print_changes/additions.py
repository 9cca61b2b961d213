"""Print is billed by an invoice of its own; once that is paid, it joins the subscription at Stripe, without proration."""

from datetime import datetime, timedelta

import structlog

from app import postal_addresses
from app.aggregates import addresses, print_returns
from app.aggregates import intents as stored
from app.context import Context
from app.db import audit, intents, print_changes, subscribers
from app.domain.errors import StripeRefused
from app.domain.invoices import InvoiceStatus
from app.domain.print_changes import PAYABLE_FOR, PAYMENT_EXPIRED, SUBSCRIPTION_ENDED, PrintChange, PrintChangeStatus
from app.domain.refunds import QuoteChanged
from app.domain.subscriptions import OVER, StripeSubscriptionState, Subscription
from app.gateway import cancellations as invoices
from app.gateway import print_changes as at_stripe
from app.gateway.client import Gone
from app.gateway.print_changes import CONFIRMATION_NEEDED, PrintInvoice
from app.gateway.translate import OUR_PRINT_CHANGE
from app.services.print_changes import returns
from app.services.print_changes.lines import line_parameters
from app.services.print_changes.steps import (
    decide,
    decide_alone,
    intend,
    lock_undecided,
    record_intent,
    send,
    subscription_of,
    sync,
    update,
)

CHECK_INTERVAL = timedelta(minutes=5)  # of a payment that the reader must confirm, in case its event is lost
DEBIT_INTERVAL = timedelta(hours=1)  # the same of a payment that is on its way
READER = "reader:"
log = structlog.get_logger()


class _Failed(Exception):
    """The addition came to nothing. Has the code of the reason."""


async def complete(ctx: Context, change: PrintChange, *, now: datetime) -> None:
    """
    Complete an addition, as far as it is paid.

    :raises StripeUnavailable: call again.
    """
    subscription = await subscription_of(ctx, change)
    state = await sync(ctx, subscription.stripe_id, now=now)
    try:
        if change.total > 0 and not await _collect(ctx, change, subscription, state, now=now):
            return
        if _is_over(subscription, state):
            if change.total > 0 and not await returns.all_of_addition(ctx, change, subscription, now=now):
                return
            raise _Failed(SUBSCRIPTION_ENDED)
    except _Failed as failure:
        log.warning("print_addition_failed", change=change.id, reason=str(failure))
        status, action = PrintChangeStatus.FAILED, "print_edition.add_failed"
        await decide_alone(ctx, change, status, action, actor="stripe", reason=str(failure))
        return
    if not state.print_edition:
        parameters = {"items": [{"price": change.price_id, "quantity": 1}], "proration_behavior": "none"}
        try:
            await update(ctx, change, subscription.stripe_id, "print_add", parameters)
        except StripeRefused:  # another process may have added it since we looked
            if not (await sync(ctx, subscription.stripe_id, now=now)).print_edition:
                raise
    await _save_address(ctx, change, now=now)
    state = await sync(ctx, subscription.stripe_id, now=now)
    status, action = PrintChangeStatus.COMPLETED, "print_edition.added"
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, change.subscriber_id)
        await decide(session, change, status, action, actor=change.requested_by)
        if paid := await print_changes.by_id(session, change.id):
            await print_returns.end_if_returned(session, ctx.rules, paid, now=now)
    if state.period is not None and state.period[0] >= change.ends_at:  # staff are told that this term has no print
        await sync(ctx, subscription.stripe_id, now=now)


async def _save_address(ctx: Context, change: PrintChange, *, now: datetime) -> None:
    """Save the address that came with the request, before the copies are derived."""
    if change.address is None:
        return
    async with ctx.sessions.begin() as session:
        asked = (await lock_undecided(session, change)).address
        if asked is not None:  # the reader was not erased meanwhile
            checked = postal_addresses.check(asked, ctx.catalogue.print_rules)
            await addresses.save(session, ctx.rules, change.subscriber_id, checked, by=change.requested_by, now=now)


def _is_over(subscription: Subscription, state: StripeSubscriptionState) -> bool:
    return state.status in OVER or not subscription.can_be_canceled


async def _collect(
    ctx: Context, change: PrintChange, subscription: Subscription, state: StripeSubscriptionState, *, now: datetime
) -> bool:
    """
    Bill the addition, and collect the payment. Return whether it is paid; otherwise it is awaited.

    :raises _Failed: it is not paid and never will be.
    """
    is_over = _is_over(subscription, state)
    seen = await _bill(ctx, change, subscription, state, is_over=is_over)
    if seen.status == InvoiceStatus.OPEN:
        return await _pay(ctx, change, seen, is_over=is_over, now=now)
    if seen.status != InvoiceStatus.PAID:
        raise _Failed("invoice_voided")
    if seen.total != change.total:  # another process emptied the draft while this one finalized it
        raise _Failed(QuoteChanged.code)
    return True


async def _bill(
    ctx: Context, change: PrintChange, subscription: Subscription, state: StripeSubscriptionState, *, is_over: bool
) -> PrintInvoice:
    """
    Return the invoice, drafted and finalized if it was not yet.

    :raises _Failed: it would bill something else than what was quoted, or Stripe declines it.
    """
    made = change.invoice_id or next((one.id for one in state.invoices if one.print_change == change.id), None)
    if made is None and is_over:
        raise _Failed(SUBSCRIPTION_ENDED)
    try:
        seen = await at_stripe.invoice(ctx.gateway, made or await _draft(ctx, change, state))
        if made is not None and change.invoice_id is None:  # the process that drafted it stopped before it said so
            async with ctx.sessions.begin() as session:
                await print_changes.set_invoice(session, change.id, seen.id)
        if seen.status == InvoiceStatus.DRAFT and not seen.has_line and not is_over:
            seen = await _add_line(ctx, change, subscription, state, seen)
        if seen.status == InvoiceStatus.DRAFT and (is_over or seen.total != change.total):
            await at_stripe.delete_lines(ctx.gateway, seen.id)  # the draft of a subscription can't be deleted
            raise _Failed(SUBSCRIPTION_ENDED if is_over else QuoteChanged.code)
        if seen.status == InvoiceStatus.DRAFT:
            intent = await intend(ctx, change, "print_finalize", {})
            await send(ctx, intent, invoices.finalize(ctx.gateway, seen.id, key=intent.key))
            seen = await at_stripe.invoice(ctx.gateway, seen.id)
        return seen
    except StripeRefused as refusal:
        # Another process may have gone on with it, when this one was stopped for longer than its lease.
        latest = await _latest(ctx, change)
        if latest is not None and latest.status != InvoiceStatus.DRAFT:
            return latest
        if latest is not None:
            await at_stripe.delete_lines(ctx.gateway, latest.id)
        raise _Failed(_code_of(refusal)) from refusal


async def _latest(ctx: Context, change: PrintChange) -> PrintInvoice | None:
    """Return the invoice as it is now; None if none is drafted."""
    async with ctx.sessions.begin() as session:
        stored_now = await print_changes.by_id(session, change.id)
    if stored_now is None or stored_now.invoice_id is None:
        return None
    return await at_stripe.invoice(ctx.gateway, stored_now.invoice_id)


async def _draft(ctx: Context, change: PrintChange, state: StripeSubscriptionState) -> str:
    """Return the ID of the draft, which is made once."""
    parameters: dict[str, object] = {
        "customer": state.customer_id,
        "subscription": state.id,
        "pending_invoice_items_behavior": "exclude",
        "auto_advance": False,
        "collection_method": "charge_automatically",
        "metadata": {OUR_PRINT_CHANGE: change.id},
    }
    if ctx.settings.automatic_tax:
        parameters["automatic_tax"] = {"enabled": True}
    async with ctx.sessions.begin() as session:
        drafted = (await lock_undecided(session, change)).invoice_id
        if drafted is not None:  # by another process, since we looked
            return drafted
        intent = await record_intent(session, change, "print_draft", parameters)
    draft = at_stripe.create_draft(ctx.gateway, intent.parameters, key=intent.key)
    made = await stored.send(ctx.sessions, intent, draft)
    async with ctx.sessions.begin() as session:  # together, so that no other process drafts a second one
        await intents.settle(session, intent.key)
        await print_changes.set_invoice(session, change.id, made)
    return made


async def _add_line(
    ctx: Context, change: PrintChange, subscription: Subscription, state: StripeSubscriptionState, seen: PrintInvoice
) -> PrintInvoice:
    plan = ctx.catalogue.plan(subscription.plan)
    parameters = {
        **line_parameters(plan, change.price, change.starts_at, change.ends_at),
        "customer": state.customer_id,
        "invoice": seen.id,
        "metadata": {OUR_PRINT_CHANGE: change.id},
    }
    intent = await intend(ctx, change, "print_line", parameters)
    # Another process may have added it since we looked. One that is just doing so uses the same key.
    latest = await at_stripe.invoice(ctx.gateway, seen.id)
    if latest.status != InvoiceStatus.DRAFT or latest.has_line:
        async with ctx.sessions.begin() as session:
            await intents.settle(session, intent.key)
        return latest
    await send(ctx, intent, at_stripe.add_line(ctx.gateway, intent.parameters, key=intent.key))
    return await at_stripe.invoice(ctx.gateway, seen.id)


async def _pay(ctx: Context, change: PrintChange, seen: PrintInvoice, *, is_over: bool, now: datetime) -> bool:
    """
    Pay the open invoice. Return whether it is paid; otherwise the payment is awaited.

    :raises _Failed: it can't be paid, and was voided.
    """
    reason = _reason_to_void(change, seen, is_over=is_over, now=now)
    if reason is not None:
        return await _void(ctx, change, seen, reason)
    if seen.is_processing or change.status == PrintChangeStatus.AWAITING_PAYMENT:
        await _await_payment(ctx, change, seen)
        return False
    intent = await intend(ctx, change, "print_pay", {"off_session": not change.requested_by.startswith(READER)})
    try:
        await send(ctx, intent, at_stripe.pay(ctx.gateway, seen.id, intent.parameters, key=intent.key))
    except (StripeRefused, Gone) as refusal:
        seen = await at_stripe.invoice(ctx.gateway, seen.id)
        if seen.status == InvoiceStatus.PAID:
            return True
        code = _code_of(refusal)
        if code not in CONFIRMATION_NEEDED:
            return await _void(ctx, change, seen, code)
    else:
        seen = await at_stripe.invoice(ctx.gateway, seen.id)
    if seen.status == InvoiceStatus.PAID:
        return True
    await _await_payment(ctx, change, seen)
    return False


def _reason_to_void(change: PrintChange, seen: PrintInvoice, *, is_over: bool, now: datetime) -> str | None:
    """
    Return the code of why the open invoice isn't collected; None if it is.

    A bank debit that is on its way can't be voided: its outcome is awaited, even if the subscription has ended.
    """
    if seen.is_processing:
        return None
    if is_over:
        return SUBSCRIPTION_ENDED
    if now >= change.created_at + PAYABLE_FOR:
        return PAYMENT_EXPIRED
    is_new = change.status != PrintChangeStatus.AWAITING_PAYMENT
    return QuoteChanged.code if is_new and seen.remaining != change.due else None


async def _await_payment(ctx: Context, change: PrintChange, seen: PrintInvoice) -> None:
    """Record that the reader must confirm the payment, or that it is on its way."""
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, change.subscriber_id)
        status, again = PrintChangeStatus.AWAITING_PAYMENT, DEBIT_INTERVAL if seen.is_processing else CHECK_INTERVAL
        changed = await print_changes.set_status(session, change.id, status, pay_url=seen.pay_url, again_in=again)
        if changed and change.status != status:
            await audit.record(
                session,
                actor="stripe",
                action="print_edition.payment_awaited",
                object_id=change.id,
                subscriber_id=change.subscriber_id,
                after={"status": status, "amount": change.due, "currency": change.currency},
            )


async def _void(ctx: Context, change: PrintChange, seen: PrintInvoice, reason: str) -> bool:
    """
    Void the open invoice. Return True if it was paid at the last moment, and False if a payment is on its way.

    :raises _Failed: it was voided.
    :raises StripeRefused: Stripe refuses it for another reason; call again.
    """
    intent = await intend(ctx, change, "print_void", {})
    try:
        await send(ctx, intent, invoices.void(ctx.gateway, seen.id, key=intent.key))
    except StripeRefused:
        latest = await at_stripe.invoice(ctx.gateway, seen.id)
        if latest.status == InvoiceStatus.PAID:
            return True
        if latest.is_processing:
            await _await_payment(ctx, change, latest)
            return False
        if latest.status == InvoiceStatus.OPEN:
            raise
    raise _Failed(reason)


def _code_of(refusal: StripeRefused | Gone) -> str:
    """Return the code of a refusal for the row: Stripe's, if it has one."""
    code = refusal.facts.get("stripe_code")
    return code if isinstance(code, str) else "no_payment_method" if isinstance(refusal, Gone) else refusal.code
