"""Imported subscribers are claimed by their reader: with a verified email address, or through support."""

import structlog

from app.aggregates import imports as aggregate
from app.context import Context, DatabaseContext
from app.db import imports, subscribers
from app.db.subscribers import Subscriber
from app.domain.callers import Reader
from app.domain.errors import NotFound
from app.domain.imports import only_match

log = structlog.get_logger()


async def claim_by_email(ctx: Context, reader: Reader) -> None:
    """
    Assign the imported subscriber with a reader's verified email address to that reader, if there is exactly one.

    Never fails, because the reader's sign-in does not depend on it.
    """
    if not reader.email_verified or reader.email is None:
        return
    try:
        async with ctx.sessions.begin() as session:
            candidates = await imports.claimable(session, reader.email)
            match = only_match(candidates)
            if match is None:
                if candidates:
                    log.warning("claim_ambiguous", sub=reader.sub, subscribers=[one.id for one in candidates])
                return
            if await subscribers.by_sub(session, reader.sub) is not None:
                log.warning("claim_by_existing_subscriber", sub=reader.sub, subscriber=match.id)
                return
            subscriber = await subscribers.by_id(session, match.id)
            if subscriber is not None:
                await aggregate.claim(session, subscriber, sub=reader.sub, by=reader.actor, reason="verified_email")
    except Exception as failure:  # another process may have been faster, for example
        log.warning("claim_by_email_failed", error=type(failure).__name__)


async def claim(ctx: DatabaseContext, customer_id: str, *, sub: str, by: str) -> Subscriber:
    """
    Assign an imported customer to a reader, after support has verified it.

    :raises NotFound: no subscriber has that customer.
    :raises NotClaimable: the subscriber is already a known reader, or the reader is already a subscriber.
    """
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_customer(session, customer_id)
        if subscriber is None:
            raise NotFound("No subscriber has this customer")
        return await aggregate.claim(session, subscriber, sub=sub, by=by, reason="support")
