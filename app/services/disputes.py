"""Disputes, as staff see them."""

from app.context import Context
from app.db import disputes
from app.domain.disputes import Dispute
from app.domain.pages import Page, page_of


async def page(ctx: Context, *, is_open: bool | None, after: str | None, limit: int) -> Page[Dispute]:
    """
    Return disputes, in the order of their evidence deadlines.

    :param is_open: only open ones, only closed ones, or (None) all.
    """
    async with ctx.sessions.begin() as session:
        found = await disputes.list_page(session, is_open=is_open, after=after, limit=limit + 1)
    return page_of(found, limit, cursor=lambda dispute: dispute.id)
