"""The credit note of a refund: it records the reversal and its tax on the invoice, once."""

from datetime import timedelta

import structlog

from app.aggregates.intents import send
from app.context import Context
from app.db import attention, intents, refunds, subscribers
from app.domain.credit_notes import CreditNoteRefused, parameter_variants, reusable_credit_note
from app.domain.errors import StripeRefused
from app.domain.refunds import IN_TRANSIT, Refund
from app.domain.subscriptions import Payment
from app.gateway import refunds as at_stripe
from app.gateway.translate import OUR_REFUND, OUR_REQUEST

MAX_ATTEMPTS = 8  # then the refund needs attention, and further attempts are made at the interval below
RETRY_INTERVAL = timedelta(hours=1)
log = structlog.get_logger()


async def create(ctx: Context, refund: Refund, payment: Payment) -> bool:
    """
    Create the credit note of a confirmed refund.

    The money is already back and access has ended, so a refusal is no emergency. After several attempts the refund needs
    attention, and the attempts continue until there is a credit note or staff dismiss it.

    :returns: False if there is none and the refund needs attention.
    :raises CreditNoteRefused: Stripe declined; try again.
    """
    assert refund.stripe_refund_id is not None
    async with ctx.sessions.begin() as session:
        note = reusable_credit_note(refund, await refunds.of_payment(session, payment.id))
    if note is None:
        note = await at_stripe.credit_note_of(ctx.gateway, payment.invoice_id, refund.stripe_refund_id)
    if note is None:
        invoice = await at_stripe.invoice_lines(ctx.gateway, payment.invoice_id)
        refusal: StripeRefused | None = None
        for parameters in parameter_variants(refund, invoice):
            try:
                note = await _request(ctx, refund, {**parameters, "metadata": _metadata(refund)})
                break
            except StripeRefused as declined:
                refusal = declined
        if note is None and refusal is None:
            return True  # nothing is left of the invoice to credit
        if note is None:
            await _report_refusal(ctx, refund, str(refusal))
            return False
    async with ctx.sessions.begin() as session:
        await refunds.set_credit_note(session, refund.id, note)
    return True


def _metadata(refund: Refund) -> dict[str, str]:
    request = {OUR_REQUEST: refund.request_hash} if refund.request_hash is not None else {}
    return {OUR_REFUND: refund.id, **request}


async def _request(ctx: Context, refund: Refund, parameters: dict[str, object]) -> str:
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, refund.subscriber_id)
        intent = await intents.record(session, refund.id, "credit_note", parameters)
    # The next attempt looks for a note first.
    return await send(ctx.sessions, intent, at_stripe.credit(ctx.gateway, intent.parameters, key=intent.key))


async def _report_refusal(ctx: Context, refund: Refund, reason: str) -> None:
    """
    Show the refund to staff after several attempts.

    :raises CreditNoteRefused: there were fewer.
    """
    log.error("credit_note_refused", refund=refund.id, reason=reason)
    async with ctx.sessions.begin() as session:
        if await refunds.attempts(session, refund.id) < MAX_ATTEMPTS:
            raise CreditNoteRefused(reason)
        dismissed = refund.status not in IN_TRANSIT and await attention.is_dismissed(session, refund.id)
        await refunds.set_attention(
            session,
            refund.id,
            attention=f"Stripe declined the credit note: {reason}",
            again_in=None if dismissed else RETRY_INTERVAL,
        )
