"""
Credits of a subscription, and what follows from them. The caller holds the subscriber's lock.

They come from a fetched subscription, or from the steps that complete its end at Stripe.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from app.aggregates import cancellations, print_returns
from app.aggregates import intents as stored
from app.db import audit, credits, intents, payments, refunds, subscribers, subscriptions
from app.db.engine.session import Session, Sessions, new_id
from app.domain.credits import OF_NOTES, Credit, CreditPart, credit_parts, is_whole
from app.domain.errors import StripeRefused
from app.domain.refunds import RefundBasis
from app.domain.rules import Rules
from app.domain.subscriptions import StripeInvoiceState, Subscription
from app.gateway import credits as at_stripe
from app.gateway.client import Gateway, Gone
from app.gateway.translate import OUR_RETURN

RETURN = "invoice.return_to_balance"  # the action of an intent, and in the audit log


async def save(session: Session, subscription_id: str, found: Sequence[Credit]) -> list[Credit]:
    """
    Save credits, and what was credited of each payment since.

    :returns: those that are new or changed.
    """
    if not found:
        return []
    changed = await credits.save(session, subscription_id, found)
    await allocate(session, subscription_id)
    return changed


async def allocate(session: Session, subscription_id: str) -> None:
    """Save what was credited of each payment, after a change of its credits or refunds."""
    known = await credits.of_subscription(session, subscription_id)
    if not known:
        return
    subscription = await subscriptions.by_id(session, subscription_id)
    assert subscription is not None
    paid = await payments.of_subscription(session, subscription_id)
    terms = await subscriptions.terms_of(session, subscription_id)
    given = await refunds.of_subscriber(session, subscription.subscriber_id)
    found: dict[str, list[CreditPart]] = {one.id: [] for one in paid}
    for part in credit_parts(paid, terms, known, given):
        found[part.payment_id].append(part)
    await payments.set_credited(session, found)


async def record(
    session: Session, rules: Rules, subscription: Subscription, found: Sequence[Credit], *, now: datetime
) -> None:
    """Save credits that were just fetched. A credit note that returns a payment whole counts as a whole refund of it."""
    changed = await save(session, subscription.id, found)
    invoices = {one.invoice_id for one in changed if one.kind in OF_NOTES}
    if not invoices:
        return
    paid = await payments.of_subscription(session, subscription.id)
    given = await refunds.of_subscriber(session, subscription.subscriber_id)
    known = await credits.of_subscription(session, subscription.id)
    terms = await subscriptions.terms_of(session, subscription.id)
    for added in [one for one in paid if one.print_from is not None and one.invoice_id in invoices]:
        if is_whole(added.invoice_id, paid, known, given):
            basis = RefundBasis.DASHBOARD
            await print_returns.end(session, rules, subscription.id, added, basis=basis, at=now, now=now)
    for term in terms:
        if term.invoice_id not in invoices or term.is_refunded:
            continue
        if not is_whole(term.invoice_id, paid, known, given):
            continue
        await subscriptions.mark_term_refunded(session, term.invoice_id, RefundBasis.DASHBOARD, at=now)
        ended = False
        if term == terms[-1]:
            ended = await cancellations.end(session, rules, subscription.id, by=RefundBasis.DASHBOARD, now=now)
        await audit.record(
            session,
            actor="stripe",
            action="payment.credited",
            object_id=term.invoice_id,
            subscriber_id=subscription.subscriber_id,
            reason="made_in_stripe",
            after={"subscription": subscription.id, "basis": RefundBasis.DASHBOARD, "ended": ended},
        )


async def return_to_balance(
    sessions: Sessions,
    gateway: Gateway,
    subscription: Subscription,
    invoice: StripeInvoiceState,
    due: Callable[[Session], Awaitable[int]],
    *,
    reason: str,
) -> bool:
    """
    Return to the customer's balance what it paid of an invoice, by a credit note. Return whether there was anything to do.

    The end of a subscription and a change of its print edition may both have to return a part of the same invoice, at the
    same time. So an invoice has one intent at a time. A process that finds one repeats it with its key, and then computes
    again what is due, because what was returned is saved in the transaction that settles the intent.

    :param invoice: as it was just fetched, with its credit notes.
    :param due: returns what is due now. It is called under the subscriber's lock.
    :raises StripeRefused: Stripe declined; call again.
    """
    has_returned = False
    while True:
        async with sessions.begin() as session:
            await subscribers.lock(session, subscription.subscriber_id)
            amount = await due(session)
            if amount <= 0:
                return has_returned
            intent = await _intend_return(session, invoice, amount)
            action = stored.RecordedAction(
                actor="policy",
                name=RETURN,
                object_id=invoice.id,
                subscriber_id=subscription.subscriber_id,
                before={"subscription": subscription.id, "currency": invoice.currency},
                after={"amount": intent.parameters["amount"]},
            )
            is_another = _is_another(intent, invoice, after_one=has_returned)
            if is_another:
                await action.record(session, reason=reason)
        await _send_return(sessions, gateway, subscription, intent, action, is_another=is_another)
        has_returned = True


async def _intend_return(session: Session, invoice: StripeInvoiceState, amount: int) -> intents.Intent:
    """
    Store a return of a part of an invoice, or take the one that is not settled yet.

    One whose credit note was fetched is settled, because Stripe forgets a key after a day.
    """
    plain = {"invoice": invoice.id, "amount": amount, "credit_amount": amount}
    parameters = {**plain, "metadata": {OUR_RETURN: new_id("ret")}}
    intent = await intents.record(session, invoice.id, RETURN, parameters)
    # The release before stored no metadata, and repeats a key only if the amount that is due has not changed.
    is_outdated = "metadata" not in intent.parameters and intent.parameters != plain
    if is_outdated or _was_made(intent.parameters, invoice):
        await intents.settle(session, intent.key)
        intent = await intents.record(session, invoice.id, RETURN, parameters)
    return intent


def _was_made(parameters: Mapping[str, object], invoice: StripeInvoiceState) -> bool:
    """Return whether the credit note of a stored return was fetched with its invoice."""
    metadata = parameters.get("metadata")
    return isinstance(metadata, dict) and any(note.our_return == metadata[OUR_RETURN] for note in invoice.credit_notes)


def _is_another(intent: intents.Intent, invoice: StripeInvoiceState, *, after_one: bool) -> bool:
    """
    Return whether the audit log has an entry of its own for an intent. A repetition of one that Stripe refused has none.

    :param after_one: whether the one before was made just now.
    """
    if intent.previous is None:
        return intent.first
    has_changed = intent.previous.get("amount") != intent.parameters["amount"]
    return after_one or has_changed or _was_made(intent.previous, invoice)


async def _send_return(
    sessions: Sessions,
    gateway: Gateway,
    subscription: Subscription,
    intent: intents.Intent,
    action: stored.RecordedAction,
    *,
    is_another: bool,
) -> None:
    """Send a stored return. The audit log has the first refusal, and not those of a worker that repeats it."""

    async def record_refusal(session: Session, refusal: StripeRefused | Gone) -> None:
        await subscribers.lock(session, subscription.subscriber_id)
        if (is_another or intent.attempt == 1) and await intents.is_open(session, intent.key):
            await action.record_refusal(session, refusal)

    request = at_stripe.return_to_balance(gateway, intent.parameters, key=intent.key)
    made = await stored.send(sessions, intent, request, on_refusal=record_refusal)
    async with sessions.begin() as session:
        await subscribers.lock(session, subscription.subscriber_id)
        await intents.settle(session, intent.key)
        await save(session, subscription.id, [made])
