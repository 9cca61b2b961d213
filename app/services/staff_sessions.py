"""What the console does for itself: it notes who came in, what was refused, and who signed out."""

from datetime import datetime

from app.context import Context
from app.db import audit, sign_outs
from app.db.engine.fast_reads import Reading


async def note(
    ctx: Context, *, by: str, action: str, what: str, reason: str | None = None, about: str | None = None
) -> None:
    """
    Append to the audit log what happened at the console.

    :param about: the reader whom it concerns, if it concerns one.
    """
    async with ctx.sessions.begin() as session:
        await audit.record(session, actor=by, action=action, object_id=what, subscriber_id=about, reason=reason)


async def sign_out(ctx: Context, sub: str, *, by: str, now: datetime) -> None:
    """End every session of somebody's that began before now, in whichever browser, and whoever copied it."""
    async with ctx.sessions.begin() as session:
        await sign_outs.note(session, sub, now)
        await audit.record(session, actor=by, action="console.signed_out", object_id="console")


async def has_ended(ctx: Context, sub: str, *, since: datetime) -> bool:
    """Tell whether a session that began then was ended."""
    at = await sign_outs.last(Reading(ctx.pool), sub)
    return at is not None and since <= at
