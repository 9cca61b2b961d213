"""Refunds of payments for print, and credits to the customer's balance that paid for it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app.aggregates import refund_orders
from app.context import Context
from app.db import anomalies, audit, payments, print_changes, refunds
from app.db.engine.session import Session, new_id
from app.domain.anomalies import PRINT_CHANGE_REFUSED
from app.domain.print_changes import MOST_DROPS, PrintChange
from app.domain.print_quotes import SECOND, DroppedPart, refund_refusal
from app.domain.print_renewals import quote_return
from app.domain.refunds import Refund, RefundBasis, RefundInProgress, RefundStatus
from app.domain.subscriptions import StripeSubscriptionState, Subscription
from app.gateway import credits
from app.gateway.translate import OUR_PRINT_CHANGE, PRINT_DROPPED
from app.services.print_changes import cases
from app.services.print_changes.steps import intend, lock_undecided, send, sync, update

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
        if case.term is not None and case.term.is_refunded:  # such as by a lost dispute
            return True
        quoted = quote_return(case, dropped_at)
        ordered = {one.payment_id for one in await refunds.of_group(session, change.id)}
        settled = ordered | {one.payment.id for one in quoted.parts if one.payment.credited >= one.amount}  # by staff
        parts = [one for one in quoted.parts if one.payment.id not in settled]
        if not parts and quoted.parts:
            return True
        refusal = refund_refusal(case, parts) if parts else quoted.refusal
        if refusal is not None:
            reason = f"The renewal billed print that the reader had dropped: {refusal}. Refund its share."
            found = {} if await _is_being_refunded(session, parts) else {PRINT_CHANGE_REFUSED: reason}
            await anomalies.report(session, change.id, found, subscriber_id=change.subscriber_id)
            return False
        await order(session, change, parts, now=now)
        noted = {one.id: one.returned_to_balance for one in state.invoices}
        more = {invoice: noted[invoice] + amount for invoice, amount in quoted.to_balance.items()}
        if more := {invoice: amount for invoice, amount in more.items() if invoice not in change.to_balance}:
            await print_changes.set_to_balance(session, change.id, {**change.to_balance, **more})
    return True


async def _is_being_refunded(session: Session, parts: Iterable[DroppedPart]) -> bool:
    return any([await refunds.unresolved(session, one.payment.id) is not None for one in parts])


async def all_of_addition(ctx: Context, change: PrintChange, stripe_id: str, *, now: datetime) -> bool:
    """
    Return all that was paid for an addition, because the subscription ended before print joined it. No copies are owed.

    Return False if another refund of the payment has to complete first; the change is due again then.
    """
    state = await sync(ctx, stripe_id, now=now)
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
    await to_balance(ctx, replace(change, to_balance=paid), state)
    parameters = metadata([ends_at], state)
    if parameters:
        await update(ctx, change, stripe_id, "print_drop", parameters)
    await sync(ctx, stripe_id, now=now)
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


async def to_balance(ctx: Context, change: PrintChange, state: StripeSubscriptionState) -> bool:
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
