"""API keys of servers: made, shown once, looked up, revoked."""

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
    Make a key and return it. It is kept as a hash only, so this is the one time it can be read.

    :param name: whose it is, for people.
    :raises UnknownScope: if it is for something that does not exist, or for nothing.
    """
    wanted = known_scopes(scopes)
    key = PREFIX + secrets.token_urlsafe(32)
    async with ctx.sessions.begin() as session:
        await api_keys.create(session, new_id("key"), hashed=digest(key), name=name, scopes=wanted)
    return key


async def find(ctx: DatabaseContext, hashed: str) -> ServerKey | None:
    """Return whose key has that hash, unless it was revoked: one indexed query."""
    async with ctx.sessions() as session:
        return await api_keys.find(session, hashed)


async def every(ctx: DatabaseContext) -> list[api_keys.Listed]:
    """Return all keys, the oldest first."""
    async with ctx.sessions() as session:
        return await api_keys.every(session)


async def revoke(ctx: DatabaseContext, key_id: str) -> None:
    """
    Make a key worthless, within a second, in every process.

    :raises NotFound: there is none of that id, or it was revoked before.
    """
    async with ctx.sessions.begin() as session:
        if not await api_keys.revoke(session, key_id):
            raise NotFound(f"there is no key {key_id!r} that could be revoked")


def looks_like_one(key: str) -> bool:
    """Tell whether this could be a key at all, so that anything else costs no query."""
    return _SHAPE.fullmatch(key) is not None


def digest(key: str) -> str:
    """Return the hash by which a key is known."""
    return hashlib.sha256(key.encode()).hexdigest()
