"""Print is taken from the subscription at Stripe, without proration; then what was paid for it is refunded."""

from datetime import datetime
from typing import Any

from app.context import Context
from app.db import refunds, subscribers
from app.db.engine import leases
from app.domain.errors import StripeRefused
from app.domain.plans import PRINT
from app.domain.print_changes import PrintChange, PrintChangeStatus
from app.domain.subscriptions import OVER, StripeSubscriptionState
from app.gateway import credits
from app.gateway.client import Gone
from app.gateway.translate import OUR_PRINT_CHANGE, PRINT_DROPPED
from app.services.print_changes.steps import decide, intend, send, subscription_of, sync, update


async def complete(ctx: Context, change: PrintChange, *, now: datetime) -> None:
    """
    Complete a removal.

    :raises StripeUnavailable: call again.
    """
    subscription = await subscription_of(ctx, change)
    state = await sync(ctx, subscription.stripe_id, now=now)
    parameters = _parameters(change, state)
    if parameters:
        try:
            await update(ctx, change, subscription.stripe_id, "print_drop", parameters)
        except (StripeRefused, Gone):  # another process may have taken it away since we looked
            state = await sync(ctx, subscription.stripe_id, now=now)
            if _parameters(change, state):
                raise
        else:
            state = await sync(ctx, subscription.stripe_id, now=now)
    if await _return_to_balance(ctx, change, state):
        await sync(ctx, subscription.stripe_id, now=now)
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, change.subscriber_id)
        for refund in await refunds.of_group(session, change.id):
            await refunds.make_due(session, refund.id)
        await decide(session, change, PrintChangeStatus.COMPLETED, "print_edition.dropped", actor=change.requested_by)
        await leases.notify(session)


async def _return_to_balance(ctx: Context, change: PrintChange, state: StripeSubscriptionState) -> bool:
    """
    Return to the customer's balance what it paid for print, by credit notes. Return whether there was anything to do.

    What is due follows from the credit notes that were just fetched, so a step that was killed after its effect is not
    repeated.
    """
    due = {
        one.id: change.to_balance[one.id] - one.returned_to_balance
        for one in state.invoices
        if one.id in change.to_balance and one.returned_to_balance < change.to_balance[one.id]
    }
    for invoice_id, amount in due.items():
        parameters = {
            "invoice": invoice_id,
            "amount": amount,
            "credit_amount": amount,
            "metadata": {OUR_PRINT_CHANGE: change.id},
        }
        intent = await intend(ctx, change, f"print_return_{invoice_id}", parameters)
        await send(ctx, intent, credits.return_to_balance(ctx.gateway, intent.parameters, key=intent.key))
    return bool(due)


def _parameters(change: PrintChange, state: StripeSubscriptionState) -> dict[str, Any]:
    """
    Return the update of the subscription; nothing if it was made.

    The metadata says when print was dropped, because no invoice does. Of a subscription that has ended only that can change.
    """
    parameters: dict[str, Any] = {}
    if change.starts_at not in state.print_dropped:
        dropped = sorted({*state.print_dropped, change.starts_at})[-20:]  # a value has at most 500 characters
        parameters["metadata"] = {PRINT_DROPPED: ",".join(str(int(at.timestamp())) for at in dropped)}
    items = [{"id": item.id, "deleted": True} for item in state.items if item.component == PRINT]
    if items and state.status not in OVER:
        parameters |= {"items": items, "proration_behavior": "none"}
    return parameters
