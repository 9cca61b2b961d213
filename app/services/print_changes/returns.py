"""Refunds of payments for print, and credits to the customer's balance that paid for it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from app.aggregates import credits, refund_orders
from app.context import Context
from app.db import anomalies, audit, payments, print_changes, refunds
from app.db import credits as saved_credits
from app.db.engine.session import Session, new_id
from app.domain.anomalies import PRINT_CHANGE_REFUSED
from app.domain.credits import CreditKind
from app.domain.print_changes import MOST_DROPS, PrintChange
from app.domain.print_quotes import SECOND, DroppedPart, refund_refusal
from app.domain.print_renewals import quote_return
from app.domain.refunds import Refund, RefundBasis, RefundInProgress, RefundStatus
from app.domain.subscriptions import StripeInvoiceState, StripeSubscriptionState, Subscription
from app.gateway.translate import PRINT_DROPPED
from app.services.print_changes import cases
from app.services.print_changes.steps import lock_undecided, sync, update

REASON, NEVER_JOINED = "print_dropped", "print_never_joined"  # of refunds
REFUND_INTERVAL = timedelta(minutes=5)  # between looks at another refund of the payment


async def order(session: Session, change: PrintChange, parts: Iterable[DroppedPart], *, now: datetime) -> None:
    """
    Store the refunds of a removal, one for each payment. They are paid when print was taken from the subscription.

    Until then, no other refund of these payments is possible, and label runs leave the copies out.
    """
    for part in parts:
        refund = Refund(
            id=new_id("rfd"),
            group_id=change.id,
            payment_id=part.payment.id,
            subscriber_id=change.subscriber_id,
            basis=RefundBasis.PRINT_DROPPED,
            amount=part.amount,
            tax=part.tax,
            currency=change.currency,
            reason=REASON,
            note=None,
            requested_by=change.requested_by,
            status=RefundStatus.PROCESSING,
            created_at=now,
        )
        await refunds.insert(session, refund, unfinished=False)
        await audit.record(
            session,
            actor=change.requested_by,
            action="refund.requested",
            object_id=refund.id,
            subscriber_id=change.subscriber_id,
            reason=refund.reason,
            after={"payment": refund.payment_id, "basis": refund.basis, "amount": refund.amount, "tax": refund.tax},
        )


async def order_of_renewal(
    ctx: Context,
    change: PrintChange,
    subscription: Subscription,
    state: StripeSubscriptionState,
    renewal: StripeInvoiceState,
    *,
    dropped_at: datetime,
    now: datetime,
) -> bool:
    """
    Store, once, what is returned of a paid renewal that billed print although it had been dropped.

    Return False if a payment of it can't be refunded now. Staff are told, unless another refund just has to complete.

    :param dropped_at: in the term of the renewal.
    """
    async with ctx.sessions.begin() as session:
        change = await lock_undecided(session, change)
        case = await cases.load(session, ctx, subscription, state, now=dropped_at)
        noted = {renewal.id: renewal.returned_to_balance}  # so that this renewal is not looked at again
        quoted = quote_return(case, dropped_at)
        parts = await _unsettled(session, change, quoted.parts)
        is_refunded = case.term is not None and case.term.is_refunded  # such as by a lost dispute
        if not is_refunded and (parts or not quoted.parts):
            refusal = refund_refusal(case, parts) if parts else quoted.refusal
            if refusal is not None:
                reason = f"The renewal billed print that the reader had dropped: {refusal}. Refund its share."
                found = {} if await _is_being_refunded(session, parts) else {PRINT_CHANGE_REFUSED: reason}
                await anomalies.report(session, change.id, found, subscriber_id=change.subscriber_id)
                return False
            await order(session, change, parts, now=now)
            returned = {one.id: one.returned_to_balance for one in state.invoices}
            noted |= {invoice: returned[invoice] + amount for invoice, amount in quoted.to_balance.items()}
        await print_changes.set_to_balance(session, change.id, {**noted, **change.to_balance})
    return True


async def _unsettled(session: Session, change: PrintChange, parts: Iterable[DroppedPart]) -> list[DroppedPart]:
    """Return the parts that the change has not ordered yet, and that staff have not returned either."""
    ordered = {one.payment_id for one in await refunds.of_group(session, change.id)}
    return [one for one in parts if one.payment.id not in ordered and one.payment.credited < one.amount]


async def _is_being_refunded(session: Session, parts: Iterable[DroppedPart]) -> bool:
    return any([await refunds.unresolved(session, one.payment.id) is not None for one in parts])


async def all_of_addition(ctx: Context, change: PrintChange, subscription: Subscription, *, now: datetime) -> bool:
    """
    Return all that was paid for an addition, because the subscription ended before print joined it. No copies are owed.

    Return False if another refund of the payment has to complete first; the change is due again then.
    """
    state = await sync(ctx, subscription.stripe_id, now=now)
    ends_at = change.starts_at + SECOND  # print must have begun
    async with ctx.sessions.begin() as session:
        change = await lock_undecided(session, change)
        try:
            for payment in await payments.of_invoice(session, change.invoice_id or ""):
                await refund_orders.refund(
                    session,
                    payment,
                    subscriber_id=change.subscriber_id,
                    basis=RefundBasis.PRINT_DROPPED,
                    reason=NEVER_JOINED,
                    now=now,
                )
        except RefundInProgress:
            await print_changes.set_status(session, change.id, change.status, again_in=REFUND_INTERVAL)
            return False
        paid = {one.id: one.paid_by_balance for one in state.invoices if one.id == change.invoice_id}
        await print_changes.set_to_balance(session, change.id, paid)
        await print_changes.set_dropped(session, change.id, [ends_at])
    await to_balance(ctx, replace(change, to_balance=paid), subscription, state)
    parameters = metadata([ends_at], state)
    if parameters:
        await update(ctx, change, subscription.stripe_id, "print_drop", parameters)
    await sync(ctx, subscription.stripe_id, now=now)
    return True


def metadata(ends: Iterable[datetime], state: StripeSubscriptionState) -> dict[str, Any]:
    """
    Return the update of the subscription that says when print was dropped, because no invoice does; nothing if it was made.

    It is possible when the subscription has ended, too.
    """
    if set(ends) <= set(state.print_dropped):
        return {}
    dropped = sorted({*state.print_dropped, *ends})[-MOST_DROPS:]
    return {"metadata": {PRINT_DROPPED: ",".join(str(int(at.timestamp())) for at in dropped)}}


async def to_balance(
    ctx: Context, change: PrintChange, subscription: Subscription, state: StripeSubscriptionState
) -> bool:
    """
    Return to the customer's balance what it paid for print, by credit notes. Return whether there was anything to do.

    :param state: as it was just fetched. A step that was killed after its effect is not repeated.
    """
    has_returned = False
    for invoice in state.invoices:
        if invoice.id in change.to_balance:
            due = partial(_due_to_balance, change=change, subscription=subscription, invoice=invoice)
            has_returned |= await credits.return_to_balance(
                ctx.sessions, ctx.gateway, subscription, invoice, due, reason=REASON
            )
    return has_returned


async def _due_to_balance(
    session: Session, *, change: PrintChange, subscription: Subscription, invoice: StripeInvoiceState
) -> int:
    """Return what is still due of what is noted as returned. The end of the subscription may return it, too."""
    await lock_undecided(session, change)
    known = await saved_credits.of_subscription(session, subscription.id)
    of_notes = {CreditKind.BALANCE, CreditKind.RETURNED}
    saved = sum(one.amount for one in known if one.invoice_id == invoice.id and one.kind in of_notes)
    return change.to_balance[invoice.id] - max(saved, invoice.returned_to_balance)
