"""
Ask the identity provider, with a refresh token, whether a person still has their roles.

A refresh token can be used once, so one request asks and the others wait for its result. Without an answer nobody gets in:
a session that the provider no longer confirms must not outlast its interval.
"""

import asyncio
from datetime import datetime

import structlog

from app.console.state import ConsoleState, SignInConfig
from app.domain.callers import IssuerUnavailable, NotAuthenticated
from app.domain.staff_sessions import StoredSession
from app.pages.oidc import ProviderUnavailable, SignInFailed
from app.services import staff_sessions

POLL_SECONDS = 0.1
POLLS = 100  # as long as a call to the provider may take

log = structlog.get_logger()


async def confirm(
    console: ConsoleState, sign_in: SignInConfig, stored: StoredSession, *, now: datetime
) -> StoredSession | None:
    """
    Return the session with its present roles. None: the person must go through the provider's sign-in again.

    :raises ProviderUnavailable: if the provider doesn't answer.
    """
    ctx, interval = console.ctx, console.ctx.settings.role_check_interval
    for _ in range(POLLS):
        if not stored.needs_check(interval=interval, now=now):
            return stored
        claimed = await staff_sessions.claim_check(ctx, stored)
        if claimed is not None:
            return await _ask(console, sign_in, stored, claimed[0], now=now)
        await asyncio.sleep(POLL_SECONDS)
        found = await staff_sessions.find(ctx, stored.id, now=now)
        if found is None:
            return None
        stored = found
    raise ProviderUnavailable("another request is still waiting for the provider")


async def _ask(
    console: ConsoleState, sign_in: SignInConfig, stored: StoredSession, encrypted: str | None, *, now: datetime
) -> StoredSession | None:
    ctx = console.ctx
    token = sign_in.refresh_token_cipher.decrypt(encrypted) if encrypted else None
    if token is None:  # the provider issues none, so it is asked through the browser
        await staff_sessions.release_check(ctx, stored)
        return None
    try:
        tokens = await sign_in.oidc.refresh(token)
        person = await console.authenticate(tokens.access_token)
    except (ProviderUnavailable, IssuerUnavailable) as error:
        await staff_sessions.release_check(ctx, stored)
        raise ProviderUnavailable(str(error)) from error
    except (SignInFailed, NotAuthenticated) as failure:
        log.warning("console_session_not_confirmed", reason=str(failure)[:300])
        await staff_sessions.end(ctx, stored, reason="identity_provider", now=now)
        return None
    if person.sub != stored.sub or not person.roles:
        await staff_sessions.end(ctx, stored, reason="role_removed", now=now)
        return None
    kept = sign_in.refresh_token_cipher.encrypt(tokens.refresh_token or token)
    await staff_sessions.save_check(ctx, stored, person, refresh_token=kept, now=now)
    return await staff_sessions.find(ctx, stored.id, now=now)
