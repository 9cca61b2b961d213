"""Disputes, as staff see them: the open ones first whose evidence is due first."""

from dataclasses import dataclass

from app.context import Context
from app.db import disputes
from app.domain.disputes import Dispute


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of a list, and where it goes on."""

    found: list[Dispute]
    next: str | None


async def listed(ctx: Context, *, is_open: bool | None, after: str | None, limit: int) -> Page:
    """Return disputes, open or closed or (None) both, by the date until which the bank takes evidence."""
    async with ctx.sessions.begin() as session:
        found = await disputes.listed(session, is_open=is_open, after=after, limit=limit + 1)
    return Page(found=found[:limit], next=found[limit - 1].id if len(found) > limit else None)
