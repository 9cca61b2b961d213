"""
Readers' email addresses and names: followed from their tokens, and pushed to Stripe by a worker.

Receipts and invoices are sent to the address at Stripe, so it follows the identity provider's.
"""

import structlog

from app.aggregates import contacts as aggregate
from app.aggregates.intents import send
from app.context import Context
from app.db import anomalies, contacts, intents, subscribers
from app.db.engine.session import QUERY_TIMEOUT, with_timeout
from app.domain.callers import Reader
from app.domain.contacts import CONTACT_REFUSED, follow, stripe_fields
from app.domain.errors import StripeRefused
from app.gateway import customers as at_stripe
from app.gateway.client import Gone

log = structlog.get_logger()


async def follow_token(ctx: Context, reader: Reader) -> None:
    """
    Save a reader's new address or name from their token.

    Never fails, because the reader's sign-in does not depend on it: the next token says the same.
    """
    try:
        known = await with_timeout(QUERY_TIMEOUT, contacts.of_sub(ctx.reads, reader.sub))
        if known is not None and follow(known, reader) != known:
            await with_timeout(QUERY_TIMEOUT, _save(ctx, reader))
    except Exception as failure:
        log.warning("contact_not_followed", error=type(failure).__name__)


async def _save(ctx: Context, reader: Reader) -> None:
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_sub(session, reader.sub)
        locked = await subscribers.lock(session, subscriber.id) if subscriber is not None else None
        if locked is not None and locked.sub == reader.sub:  # otherwise they were erased at this moment
            await aggregate.update(session, locked, reader)


async def push(ctx: Context, change_id: str) -> None:
    """
    Update a reader's customer at Stripe after a change.

    The newest change updates everything, so earlier ones that are still due are only marked as complete.

    :raises StripeUnavailable: call again.
    """
    async with ctx.sessions.begin() as session:
        subscriber_id = await contacts.due(session, change_id)
        if subscriber_id is None:
            return
        subscriber = await subscribers.lock(session, subscriber_id)
        customer_id = subscriber.stripe_customer_id
        if customer_id is None or await contacts.newest(session, subscriber_id) != change_id:
            await contacts.finish(session, change_id)
            return
        intent = await intents.record(session, change_id, "push", stripe_fields(subscriber.email, subscriber.name))
    refusal: StripeRefused | None = None
    try:
        await send(ctx.sessions, intent, at_stripe.update(ctx.gateway, customer_id, intent.parameters, key=intent.key))
    except Gone:
        log.info("contact_of_deleted_customer", customer=customer_id)
    except StripeRefused as declined:
        refusal = declined
    reason = f"Stripe declined the reader's new contact details: {refusal}" if refusal is not None else None
    async with ctx.sessions.begin() as session:
        await intents.settle(session, intent.key)
        await contacts.finish(session, change_id)
        await anomalies.report(
            session,
            customer_id,
            {CONTACT_REFUSED: reason} if reason is not None else {},
            subscriber_id=subscriber_id,
            among=[CONTACT_REFUSED],
        )
