"""Staff sessions of the console: sign-ins, refused requests and sign-outs."""

from datetime import datetime

from app.context import Context
from app.db import audit, sign_outs
from app.db.engine.fast_reads import FastReads


async def record(
    ctx: Context, *, by: str, action: str, what: str, reason: str | None = None, about: str | None = None
) -> None:
    """
    Record an action at the console in the audit log.

    :param about: the ID of the subscriber that it is about, if any.
    """
    async with ctx.sessions.begin() as session:
        await audit.record(session, actor=by, action=action, object_id=what, subscriber_id=about, reason=reason)


async def sign_out(ctx: Context, sub: str, *, by: str, now: datetime) -> None:
    """End every session of a person that began before now, in every browser."""
    async with ctx.sessions.begin() as session:
        await sign_outs.save(session, sub, now)
        await audit.record(session, actor=by, action="console.signed_out", object_id="console")


async def has_ended(ctx: Context, sub: str, *, since: datetime) -> bool:
    """Return whether a session that began at ``since`` was ended by a sign-out."""
    at = await sign_outs.last(FastReads(ctx.pool), sub)
    return at is not None and since <= at
