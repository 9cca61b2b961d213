"""Cases that need attention because no rule or policy decides them, and their dismissal by staff."""

from datetime import datetime

from app.context import Context
from app.db import attention, audit, declarations
from app.db.attention import Item
from app.domain.errors import NotFound
from app.domain.pages import Page, page_of


async def page(ctx: Context, *, after: str | None, limit: int) -> Page[Item]:
    """Return the cases that have not been dismissed."""
    async with ctx.sessions.begin() as session:
        found = await attention.list_page(session, after=after, limit=limit + 1)
    return page_of(found, limit, cursor=lambda item: item.object_id)


async def dismiss(ctx: Context, object_id: str, *, by: str, reason: str, now: datetime) -> None:
    """
    Dismiss a case that staff have dealt with.

    :raises NotFound: the case does not exist, or it was already dismissed.
    """
    async with ctx.sessions.begin() as session:
        item = await attention.find(session, object_id)
        if item is None or not await attention.dismiss(session, object_id, by=by, reason=reason, now=now):
            raise NotFound("There is no open case with this ID")
        if item.kind == attention.DECLARATION:
            await declarations.settle(session, object_id, by=by, now=now)
        await audit.record(
            session,
            actor=by,
            action="attention.dismissed",
            object_id=object_id,
            subscriber_id=item.subscriber_id,
            note=reason,
            before={"kind": item.kind, "why": item.why},
        )
