"""API keys of servers: created, looked up, rotated and revoked."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from app.context import Context, DatabaseContext
from app.db import api_keys, audit
from app.db.engine.session import QUERY_TIMEOUT, Session, is_unreachable, new_id, with_timeout
from app.domain.api_keys import (
    BASE62,
    DEFAULT_LIFE,
    DEFAULT_OVERLAP,
    RANDOM_LENGTH,
    ApiKey,
    compose,
    end_of_overlap,
    expiry,
    renewed_life,
)
from app.domain.callers import ServerKey, known_scopes
from app.domain.errors import NotFound

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just created. It cannot be shown again."""

    id: str
    key: str
    expires_at: datetime | None  # None: never


async def create(
    ctx: DatabaseContext,
    name: str,
    scopes: Iterable[str],
    *,
    by: str,
    now: datetime,
    life: timedelta | None = DEFAULT_LIFE,
) -> NewKey:
    """
    Create a key. Only its hash is stored.

    :param name: a label for people.
    :param life: how long it is valid; None for ever.
    :raises UnknownScope: a scope does not exist, or none is given.
    :raises InvalidKeyLife: it would live too shortly or too long.
    """
    wanted, expires_at = known_scopes(scopes), expiry(life, now=now)
    async with ctx.sessions.begin() as session:
        return await _create(session, name, wanted, expires_at=expires_at, by=by)


async def rotate(
    ctx: DatabaseContext, key_id: str, *, by: str, now: datetime, overlap: timedelta = DEFAULT_OVERLAP
) -> NewKey:
    """
    Create a key with the name, scopes and lifetime of another one, which stays valid for the overlap.

    :raises NotFound: the key does not exist, or was revoked.
    :raises KeyReplaced: it was rotated before.
    :raises InvalidKeyLife: the overlap is too long.
    """
    async with ctx.sessions.begin() as session:
        old = await api_keys.lock(session, key_id)
        if old is None:
            raise _no_active_key(key_id)
        ends_at = end_of_overlap(old, overlap, now=now)
        made = await _create(
            session, old.name, old.scopes, expires_at=expiry(renewed_life(old), now=now), by=by, replaces=key_id
        )
        await api_keys.replace(session, key_id, by_key=made.id, expires_at=ends_at)
    return made


async def _create(
    session: Session,
    name: str,
    scopes: Iterable[str],
    *,
    expires_at: datetime | None,
    by: str,
    replaces: str | None = None,
) -> NewKey:
    key = compose(secrets.choice(BASE62) for _ in range(RANDOM_LENGTH))
    made = NewKey(id=new_id("key"), key=key, expires_at=expires_at)
    await api_keys.create(
        session, made.id, hashed=digest(key), name=name, scopes=tuple(scopes), expires_at=expires_at, by=by
    )
    await audit.record(
        session,
        actor=by,
        action="api_key.rotated" if replaces else "api_key.created",
        object_id=made.id,
        before={"key": replaces} if replaces else None,
        after={"scopes": list(scopes), "expires_at": expires_at.isoformat() if expires_at else None},
    )
    return made


async def find(ctx: Context, hashed: str) -> ServerKey | None:
    """
    Return the key with a hash, unless it was revoked or has expired.

    It is read on the same connections as what a check needs, so that requests that hold all sessions delay no check.
    """
    return await api_keys.find(ctx.reads, hashed)


async def record_use(ctx: DatabaseContext, key_id: str) -> None:
    """Store that a key was used, if that was not stored for minutes. Never fails: no call depends on it."""
    try:
        await with_timeout(QUERY_TIMEOUT, _record_use(ctx, key_id))
    except Exception as failure:
        if not is_unreachable(failure):
            log.warning("api_key_use_not_recorded", error=type(failure).__name__)


async def _record_use(ctx: DatabaseContext, key_id: str) -> None:
    async with ctx.sessions.begin() as session:
        await api_keys.record_use(session, key_id)


async def list_all(ctx: DatabaseContext) -> list[ApiKey]:
    """Return all keys, the oldest first."""
    async with ctx.sessions() as session:
        return await api_keys.list_all(session)


async def revoke(ctx: DatabaseContext, key_id: str, *, by: str) -> None:
    """
    Revoke a key. Every process rejects it within a second.

    :raises NotFound: the key does not exist, or it was already revoked.
    """
    async with ctx.sessions.begin() as session:
        if not await api_keys.revoke(session, key_id):
            raise _no_active_key(key_id)
        await audit.record(session, actor=by, action="api_key.revoked", object_id=key_id)


def _no_active_key(key_id: str) -> NotFound:
    return NotFound(f"There is no active key {key_id!r}")


def digest(key: str) -> str:
    """Return the hash that is stored for a key."""
    return hashlib.sha256(key.encode()).hexdigest()
