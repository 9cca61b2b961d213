"""
Sessions of staff at the console: started, checked again and ended.

A person's sign-out, an administrator and the identity provider can end them. Access tokens of the person that were issued
before are then refused too, where a role is required.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime

import structlog

from app.context import Context
from app.db import audit, sign_outs, staff_members, staff_sessions
from app.db.engine.session import Session, new_id
from app.domain.callers import NotAuthenticated, Reader
from app.domain.staff_sessions import CLOCK_TOLERANCE, RecentSignIn, StoredSession, signed_out_since
from app.settings import Settings

MOST_LISTED = 500  # sessions: more than the staff of a magazine have
PROVIDER = "policy"  # the actor in the audit log, when the identity provider's answer ends a session

log = structlog.get_logger()


def recent_sign_in(settings: Settings) -> RecentSignIn:
    """Return what is required of a sign-in with which staff move money or give access."""
    return RecentSignIn(
        max_age=settings.recent_sign_in,
        acr_values=settings.recent_sign_in_acr,
        token_max_age=settings.staff_token_max_age,
    )


async def record(
    ctx: Context, *, by: str, action: str, what: str, reason: str | None = None, about: str | None = None
) -> None:
    """
    Record an action at the console in the audit log.

    :param about: the ID of the subscriber that it is about, if any.
    """
    async with ctx.sessions.begin() as session:
        await audit.record(session, actor=by, action=action, object_id=what, subscriber_id=about, reason=reason)


async def start(
    ctx: Context,
    person: Reader,
    *,
    sid: str | None,
    signed_in_at: datetime | None,
    acr: str | None,
    refresh_token: str | None,
    now: datetime,
    replaces: str | None = None,
) -> StoredSession:
    """
    Start a session of a person with a role.

    :param refresh_token: encrypted.
    :param replaces: the ID of the session that the browser had before, which ends.
    """
    made = StoredSession(
        id=new_id("ses"),
        sub=person.sub,
        name=person.name or person.email or person.sub,
        roles=person.roles,
        sid=sid,
        started_at=now,
        signed_in_at=signed_in_at,
        acr=acr,
        checked_at=now,
    )
    async with ctx.sessions.begin() as session:
        if replaces is not None:
            await staff_sessions.end(session, replaces, at=now)
        await staff_sessions.create(session, made, refresh_token=refresh_token)
        await staff_members.save(session, person, at=now)
        await audit.record(session, actor=person.actor, action="console.signed_in", object_id="console")
    return made


async def find(ctx: Context, session_id: str, *, now: datetime) -> StoredSession | None:
    """Return a session that is open."""
    found = await staff_sessions.find(ctx.reads, session_id)
    return found if found and found.is_open(lifetime=ctx.settings.session_lifetime, now=now) else None


async def list_open(ctx: Context, *, now: datetime) -> Sequence[StoredSession]:
    """Return the open sessions of all staff, the newest first."""
    began_after = now - ctx.settings.session_lifetime
    return await staff_sessions.list_open(ctx.reads, began_after=began_after, limit=MOST_LISTED)


async def claim_check(ctx: Context, stored: StoredSession) -> tuple[str | None] | None:
    """Claim the right to ask the provider about a session; see :func:`app.db.staff_sessions.claim_check`."""
    async with ctx.sessions.begin() as session:
        return await staff_sessions.claim_check(session, stored.id, checked_at=stored.checked_at)


async def release_check(ctx: Context, stored: StoredSession) -> None:
    """Let another request ask the provider."""
    async with ctx.sessions.begin() as session:
        await staff_sessions.release_check(session, stored.id)


async def save_check(
    ctx: Context, stored: StoredSession, person: Reader, *, refresh_token: str | None, now: datetime
) -> None:
    """Store the roles that the provider confirmed. A change is recorded in the audit log."""
    name = person.name or person.email or person.sub
    async with ctx.sessions.begin() as session:
        await staff_members.save(session, person, at=now)
        await staff_sessions.save_check(
            session,
            stored.id,
            name=name,
            roles=person.roles,
            checked_at=now,
            refresh_token=refresh_token,
        )
        if person.roles != stored.roles:
            await audit.record(
                session,
                actor=PROVIDER,
                action="console.roles_changed",
                object_id=f"staff:{stored.sub}",
                before={"roles": sorted(stored.roles)},
                after={"roles": sorted(person.roles)},
            )


async def end(ctx: Context, stored: StoredSession, *, reason: str, now: datetime) -> None:
    """End one session, because the provider did not confirm it. The audit log has the reason."""
    async with ctx.sessions.begin() as session:
        if await staff_sessions.end(session, stored.id, at=now):
            await _record_end(session, stored.sub, reason=reason)


async def _record_end(session: Session, sub: str, *, reason: str) -> None:
    await audit.record(session, actor=PROVIDER, action="console.session_ended", object_id=f"staff:{sub}", reason=reason)


async def sign_out(ctx: Context, sub: str, *, session_id: str, by: str, now: datetime) -> None:
    """
    End every session of a person that began before now, in every browser, on their own request.

    :param session_id: the session that asks for it, which the audit log names.
    """
    async with ctx.sessions.begin() as session:
        await _end_all(session, sub, now)
        await audit.record(
            session, actor=by, action="console.signed_out", object_id="console", after={"session": session_id}
        )


async def was_ended(ctx: Context, session_id: str, *, sub: str, last_used_at: datetime) -> bool:
    """Return whether a session was ended before it expired, so its cookie may be in the wrong hands."""
    stored = await staff_sessions.find(ctx.reads, session_id)
    if stored is not None:
        return stored.was_ended
    last = await sign_outs.last(ctx.reads, sub)
    return last is not None and last_used_at <= last


async def end_all(ctx: Context, sub: str, *, by: str, now: datetime) -> int:
    """End every session of a person, on an administrator's request. Return how many console sessions were open."""
    async with ctx.sessions.begin() as session:
        ended = await _end_all(session, sub, now)
        await audit.record(
            session, actor=by, action="console.sessions_ended", object_id=f"staff:{sub}", after={"sessions": ended}
        )
    return ended


async def _end_all(session: Session, sub: str, now: datetime) -> int:
    await sign_outs.save(session, sub, now)
    return await staff_sessions.end_of_sub(session, sub, at=now)


async def end_by_provider(
    ctx: Context, *, jti: str, sub: str | None, sid: str | None, until: datetime, now: datetime
) -> bool:
    """
    End the sessions that a logout token names: those of a ``sid``, or without one, all of a ``sub``.

    :param until: when the token expires.
    :return: False if the token was used before. Then nothing is ended.
    """
    hashed = hashlib.sha256(jti.encode()).hexdigest()
    async with ctx.sessions.begin() as session:
        if not await staff_sessions.use_logout_token(session, hashed, until=until + 2 * CLOCK_TOLERANCE, now=now):
            return False
        if sid is not None:
            ended = await staff_sessions.end_of_sid(session, sid, sub=sub, at=now)
        else:
            assert sub is not None
            ended = [sub] * await _end_all(session, sub, now)
        for one in ended:
            await _record_end(session, one, reason="identity_provider")
    log.info("logout_token_used", sessions=len(ended))
    return True


async def signed_out_after(ctx: Context, sub: str, signed_in_at: datetime | None, *, now: datetime) -> bool:
    """
    Return whether a sign-in precedes the person's last sign-out, so they must enter their credentials again.

    :param signed_in_at: None if the provider doesn't say: then it may be as old as a session.
    """
    since = signed_in_at or now - ctx.settings.session_lifetime
    return signed_out_since(since, await sign_outs.last(ctx.reads, sub))


async def require_signed_in(ctx: Context, staff: Reader) -> None:
    """
    Check that a person was not signed out after their access token was issued.

    :raises NotAuthenticated: if they were.
    """
    at = await sign_outs.last(ctx.reads, staff.sub)
    if staff.issued_at is None or signed_out_since(staff.issued_at, at):
        raise NotAuthenticated("You were signed out after this token was issued. Sign in again")
