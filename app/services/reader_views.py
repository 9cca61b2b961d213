"""Views of readers, for those who check them. They are recorded in :mod:`app.aggregates.reader_views`."""

from datetime import datetime

from app.context import DatabaseContext
from app.db import reader_views
from app.domain.pages import Page, page_of
from app.domain.reader_views import ReaderView

BATCH_SIZE = 1000  # views in one transaction


async def page(
    ctx: DatabaseContext,
    *,
    subscriber_id: str | None,
    viewer: str | None,
    since: datetime | None,
    until: datetime | None,
    after: int | None,
    limit: int,
) -> Page[ReaderView]:
    """Return the views that match, newest first. None matches all."""
    async with ctx.sessions.begin() as session:
        found = await reader_views.page(
            session,
            subscriber_id=subscriber_id,
            viewer=viewer,
            since=since,
            until=until,
            before=after,
            limit=limit + 1,
        )
    return page_of(found, limit, cursor=lambda view: str(view.id))


async def prune(ctx: DatabaseContext) -> None:
    """Delete views after their retention period, in batches."""
    pruned = BATCH_SIZE
    while pruned == BATCH_SIZE:
        async with ctx.sessions.begin() as session:
            pruned = await reader_views.prune(session, kept_for=ctx.settings.reader_views_kept, limit=BATCH_SIZE)
