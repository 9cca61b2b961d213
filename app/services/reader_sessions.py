"""
The end of readers' sessions at the hosted account.

A session is in the reader's browser. What ends it before its time is a sign-out: of the reader, or of the identity provider.
"""

import hashlib
from datetime import datetime

from app.context import Context
from app.db import sign_outs, staff_sessions
from app.domain.staff_sessions import CLOCK_TOLERANCE, signed_out_since


async def sign_out(ctx: Context, sub: str, *, now: datetime) -> None:
    """End every session of a person that began before now, in every browser."""
    async with ctx.sessions.begin() as session:
        await sign_outs.save(session, sub, now)


async def is_signed_out(ctx: Context, sub: str, *, since: datetime) -> bool:
    """Return whether a session that began at ``since`` was ended by a sign-out."""
    last = await sign_outs.last(ctx.reads, sub)
    return last is not None and since <= last


async def must_sign_in_again(ctx: Context, sub: str, signed_in_at: datetime | None, *, now: datetime) -> bool:
    """
    Return whether a sign-in precedes the person's last sign-out, so that they must enter their credentials again.

    :param signed_in_at: None if the provider doesn't say: then it may be as old as a session.
    """
    since = signed_in_at or now - ctx.settings.session_lifetime
    return signed_out_since(since, await sign_outs.last(ctx.reads, sub))


async def end_by_provider(ctx: Context, *, jti: str, sub: str, until: datetime, now: datetime) -> bool:
    """
    End every session of a person, because the identity provider sent a logout token.

    :param until: when the token expires.
    :return: False if the token was used before. Then nothing is ended.
    """
    hashed = hashlib.sha256(jti.encode()).hexdigest()
    async with ctx.sessions.begin() as session:
        if not await staff_sessions.use_logout_token(session, hashed, until=until + 2 * CLOCK_TOLERANCE, now=now):
            return False
        await sign_outs.save(session, sub, now)
    return True
