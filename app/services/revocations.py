"""The feed of revocations: subscribers whose tokens and cached entitlements are no longer valid."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from app.context import Context
from app.db import revocations
from app.domain.revocations import Revocation
from app.domain.signing_keys import LONGEST_LIFE

RETENTION = 2 * LONGEST_LIFE  # by then every token that a revocation is about has expired
PAGE_SIZE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """New revocations, and the cursor of the next request."""

    items: Sequence[Revocation]
    next: int


async def since(ctx: Context, cursor: int, *, wait: Callable[[], Awaitable[bool]], limit: int = PAGE_SIZE) -> Feed:
    """
    Return the revocations after a cursor. If there are none, wait for one.

    A cursor above all numbers is of before a backup was restored, or of a server that was lost. It gets all revocations.

    :param wait: waits until there may be new revocations, and returns whether to query again.
    """
    while True:
        async with ctx.sessions.begin() as session:
            await revocations.publish(session)
        async with ctx.sessions.begin() as session:
            found = await revocations.after(session, cursor, limit=limit)
            if not found and cursor > await revocations.newest(session):
                cursor = 0
                found = await revocations.after(session, cursor, limit=limit)
        if found or not await wait():
            return Feed(items=found, next=found[-1].id if found else cursor)


async def prune(ctx: Context) -> None:
    """Delete revocations that are older than any valid token."""
    async with ctx.sessions.begin() as session:
        await revocations.prune(session, kept_for=RETENTION)
