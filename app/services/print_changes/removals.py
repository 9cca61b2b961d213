"""Print is taken from the subscription at Stripe, without proration; then what was paid for it is refunded."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app.context import Context
from app.db import anomalies, disputes, print_changes, refunds, subscribers
from app.db.engine import leases
from app.db.engine.session import Session
from app.domain.errors import StripeRefused
from app.domain.invoices import InvoiceStatus
from app.domain.plans import PRINT
from app.domain.print_changes import PrintChange, PrintChangeStatus
from app.domain.print_renewals import UNPAID, billed_since, paid_since
from app.domain.print_returns import has_lost
from app.domain.refunds import RefundStatus
from app.domain.subscriptions import OVER, StripeSubscriptionState, Subscription
from app.gateway.client import Gone
from app.services.print_changes import returns
from app.services.print_changes.steps import decide, lock_undecided, subscription_of, sync, update

RENEWAL_INTERVAL = timedelta(hours=1)  # between looks at a renewal that billed print and is not paid yet
ROUNDS = 3  # the period may turn while print is taken away


async def complete(ctx: Context, change: PrintChange, *, now: datetime) -> None:
    """
    Complete a removal. If a renewal has billed print meanwhile, its share is returned too, once it is paid.

    :raises StripeUnavailable: call again.
    """
    subscription = await subscription_of(ctx, change)
    state = await _take_away(ctx, change, subscription, now=now)
    is_waiting = False
    for invoice, at in billed_since(state, change.starts_at):
        is_waiting |= invoice.status in UNPAID
        if invoice.status == InvoiceStatus.PAID:
            is_waiting |= not await returns.order_of_renewal(
                ctx, change, subscription, state, invoice, dropped_at=at, now=now
            )
    await _return_to_balance(ctx, change, subscription, state, now=now)
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, change.subscriber_id)
        await _make_refunds_due(session, change)
        if is_waiting:
            status = PrintChangeStatus.PROCESSING
            await print_changes.set_status(session, change.id, status, again_in=RENEWAL_INTERVAL)
        else:
            status, action = PrintChangeStatus.COMPLETED, "print_edition.dropped"
            await decide(session, change, status, action, actor=change.requested_by)
        await leases.notify(session)


async def return_paid_later(ctx: Context, change: PrintChange, *, now: datetime) -> None:
    """
    Return print that a renewal billed, whose invoice was uncollectible when the removal was completed and was paid since.

    :raises StripeUnavailable: call again.
    """
    subscription = await subscription_of(ctx, change)
    state = await sync(ctx, subscription.stripe_id, now=now)
    is_waiting = False
    for invoice, at in paid_since(state):
        if at in change.dropped_at:
            is_waiting |= not await returns.order_of_renewal(
                ctx, change, subscription, state, invoice, dropped_at=at, now=now
            )
    await _return_to_balance(ctx, change, subscription, state, now=now)
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, change.subscriber_id)
        await _make_refunds_due(session, change)
        await print_changes.set_due(session, change.id, again_in=RENEWAL_INTERVAL if is_waiting else None)
        if not is_waiting:
            await anomalies.report(session, change.id, {}, subscriber_id=change.subscriber_id)
        await leases.notify(session)


async def _return_to_balance(
    ctx: Context, change: PrintChange, subscription: Subscription, state: StripeSubscriptionState, *, now: datetime
) -> None:
    async with ctx.sessions.begin() as session:
        change = await lock_undecided(session, change)
        if change.invoice_id is not None and change.invoice_id not in change.to_balance:  # its print was returned whole
            is_lost = has_lost(await disputes.of_invoice(session, change.invoice_id))
            paid = {one.id: 0 if is_lost else one.paid_by_balance for one in state.invoices}
            change = replace(change, to_balance={**change.to_balance, change.invoice_id: paid[change.invoice_id]})
            await print_changes.set_to_balance(session, change.id, change.to_balance)
    if await returns.to_balance(ctx, change, subscription, state):
        await sync(ctx, subscription.stripe_id, now=now)


async def _make_refunds_due(session: Session, change: PrintChange) -> None:
    for refund in await refunds.of_group(session, change.id):
        if refund.status == RefundStatus.PROCESSING:
            await refunds.make_due(session, refund.id)


async def _take_away(
    ctx: Context, change: PrintChange, subscription: Subscription, *, now: datetime
) -> StripeSubscriptionState:
    """Take print from the subscription at Stripe, which is told when print ends. Return its state then."""
    state = await sync(ctx, subscription.stripe_id, now=now)
    for _ in range(ROUNDS):
        ends = _ends(change, state)
        parameters = _parameters(ends, state)
        if not parameters:
            break
        async with ctx.sessions.begin() as session:
            await lock_undecided(session, change)
            await print_changes.set_dropped(session, change.id, ends)
        try:
            await update(ctx, change, subscription.stripe_id, "print_drop", parameters)
        except (StripeRefused, Gone):  # another process may have taken it away since we looked
            state = await sync(ctx, subscription.stripe_id, now=now)
            if _parameters(_ends(change, state), state):
                raise
        else:
            state = await sync(ctx, subscription.stripe_id, now=now)
    return state


def _ends(change: PrintChange, state: StripeSubscriptionState) -> list[datetime]:
    """Return when print ends: when it was dropped, and at the start of each term that was billed with print since."""
    return [change.starts_at, *(at for _, at in billed_since(state, change.starts_at))]


def _parameters(ends: list[datetime], state: StripeSubscriptionState) -> dict[str, Any]:
    """
    Return the update of the subscription; nothing if it was made.

    Of a subscription that has ended only the metadata can change.
    """
    parameters = returns.metadata(ends, state)
    items = [{"id": item.id, "deleted": True} for item in state.items if item.component == PRINT]
    if items and state.status not in OVER:
        parameters |= {"items": items, "proration_behavior": "none"}
    return parameters
