"""API keys of servers: created, looked up and revoked."""

import hashlib
import re
import secrets
from collections.abc import Iterable

from app.context import DatabaseContext
from app.db import api_keys
from app.db.engine.session import new_id
from app.domain.callers import ServerKey, known_scopes
from app.domain.errors import NotFound

PREFIX = "nsk_"
_SHAPE = re.compile(r"nsk_[A-Za-z0-9_-]{43}")


async def create(ctx: DatabaseContext, name: str, scopes: Iterable[str]) -> str:
    """
    Create a key and return it. Only its hash is stored, so it cannot be shown again.

    :param name: a label for people.
    :raises UnknownScope: a scope does not exist, or none is given.
    """
    wanted = known_scopes(scopes)
    key = PREFIX + secrets.token_urlsafe(32)
    async with ctx.sessions.begin() as session:
        await api_keys.create(session, new_id("key"), hashed=digest(key), name=name, scopes=wanted)
    return key


async def find(ctx: DatabaseContext, hashed: str) -> ServerKey | None:
    """Return the key with a hash, unless it was revoked."""
    async with ctx.sessions() as session:
        return await api_keys.find(session, hashed)


async def list_all(ctx: DatabaseContext) -> list[api_keys.ListedKey]:
    """Return all keys, the oldest first."""
    async with ctx.sessions() as session:
        return await api_keys.list_all(session)


async def revoke(ctx: DatabaseContext, key_id: str) -> None:
    """
    Revoke a key. Every process rejects it within a second.

    :raises NotFound: the key does not exist, or it was already revoked.
    """
    async with ctx.sessions.begin() as session:
        if not await api_keys.revoke(session, key_id):
            raise NotFound(f"There is no active key {key_id!r}")


def is_well_formed(key: str) -> bool:
    """Return whether a string has the form of a key, so that nothing else costs a query."""
    return _SHAPE.fullmatch(key) is not None


def digest(key: str) -> str:
    """Return the hash that is stored for a key."""
    return hashlib.sha256(key.encode()).hexdigest()
