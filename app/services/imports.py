"""Readers of whom an import did not know who they are get what they paid for: by a verified address, or through support."""

import structlog

from app.context import Context, DatabaseContext
from app.db import imports, subscribers
from app.db.subscribers import Subscriber
from app.domain.callers import Reader
from app.domain.errors import NotFound
from app.domain.imports import only_match

log = structlog.get_logger()


async def greet(ctx: Context, reader: Reader) -> None:
    """
    Give a reader what was imported for their address, if the identity provider has verified it and one alone can be meant.

    Never fails: a reader who cannot be greeted is signed in all the same.
    """
    if not reader.email_verified or reader.email is None:
        return
    try:
        async with ctx.sessions.begin() as session:
            found = await imports.claimable(session, reader.email)
            one = only_match(found)
            if one is None:
                if found:
                    log.warning("claim_is_ambiguous", sub=reader.sub, subscribers=[each.id for each in found])
                return
            if await subscribers.by_sub(session, reader.sub) is not None:
                log.warning("claim_by_a_subscriber", sub=reader.sub, subscriber=one.id)
                return
            held = await subscribers.by_id(session, one.id)
            if held is not None:
                await imports.give(session, held, sub=reader.sub, by=reader.actor, why="verified_email")
    except Exception as failure:  # another process may have been quicker, too
        log.warning("not_greeted", error=type(failure).__name__)


async def claim(ctx: DatabaseContext, customer_id: str, *, sub: str, by: str) -> Subscriber:
    """
    Give an imported customer to a reader, as support found out.

    :raises NotFound: no subscriber has that customer.
    :raises NotClaimable: it is somebody's already, or the reader is a subscriber by themselves.
    """
    async with ctx.sessions.begin() as session:
        held = await subscribers.by_customer(session, customer_id)
        if held is None:
            raise NotFound("no subscriber has that customer")
        return await imports.give(session, held, sub=sub, by=by, why="support")
