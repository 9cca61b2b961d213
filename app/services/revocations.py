"""The feed of revocations: whose tokens and remembered answers no longer hold."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.context import Context
from app.db import revocations
from app.domain.revocations import Revocation
from app.domain.signing_keys import LONGEST_LIFE

KEPT_FOR = 2 * LONGEST_LIFE  # no token lives longer, and whoever was away longer holds none
MOST = 1_000  # in one answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What came, and the number to go on from."""

    found: Sequence[Revocation]
    next: int


async def since(ctx: Context, number: int, *, wait: Callable[[], Awaitable[bool]], limit: int = MOST) -> Feed:
    """
    Return what came after ``number``; when there is nothing, wait for it.

    :param wait: returns once something may have come: whether to look again.
    """
    while True:
        async with ctx.sessions.begin() as session:
            found = await revocations.after(session, number, limit=limit)
        if found or not await wait():
            return Feed(found=found, next=found[-1].id if found else number)


async def prune(ctx: Context, *, kept_for: timedelta = KEPT_FOR) -> None:
    """Forget those that are older than any token."""
    async with ctx.sessions.begin() as session:
        await revocations.prune(session, kept_for=kept_for)
