"""What staff are shown because no rule and no policy decides it: seen to by a person, with the reason."""

from dataclasses import dataclass
from datetime import datetime

from app.context import Context
from app.db import attention, audit
from app.db.attention import Item
from app.domain.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of a list, and where it goes on."""

    found: list[Item]
    next: str | None


async def listed(ctx: Context, *, after: str | None, limit: int) -> Page:
    """Return what is left to look at."""
    async with ctx.sessions.begin() as session:
        found = await attention.listed(session, after=after, limit=limit + 1)
    return Page(found=found[:limit], next=found[limit - 1].object_id if len(found) > limit else None)


async def dismiss(ctx: Context, object_id: str, *, by: str, reason: str, now: datetime) -> None:
    """
    Note that somebody has seen to it, whatever they did.

    :raises NotFound: there is nothing (left) to look at.
    """
    async with ctx.sessions.begin() as session:
        item = await attention.find(session, object_id)
        if item is None or not await attention.dismiss(session, object_id, by=by, reason=reason, now=now):
            raise NotFound("there is nothing to look at under that id")
        await audit.record(
            session,
            actor=by,
            action="attention.dismissed",
            object_id=object_id,
            subscriber_id=item.subscriber_id,
            note=reason,
            before={"kind": item.kind, "why": item.why},
        )
