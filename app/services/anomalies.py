"""Anomalies: states that should not occur and that staff must check."""

from app.context import Context
from app.db import anomalies
from app.domain.anomalies import Anomaly
from app.domain.pages import Page, page_of


async def page(ctx: Context, *, after: str | None, limit: int) -> Page[Anomaly]:
    """Return the current anomalies."""
    async with ctx.sessions.begin() as session:
        found = await anomalies.list_open(session, after=after, limit=limit + 1)
    with_cursors = page_of(found, limit, cursor=lambda one: one[0])
    return Page(items=[anomaly for _, anomaly in with_cursors.items], next=with_cursors.next)
