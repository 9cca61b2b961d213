"""What waits for a second person: listed and rejected. Each kind is approved by the service that gives it."""

from datetime import datetime

from app.aggregates import approvals as requests
from app.context import Context
from app.db import approvals
from app.domain.approvals import ApprovalRequest, PendingApproval
from app.domain.errors import NotFound
from app.domain.pages import Page, page_of

UNKNOWN = "No such request"


async def pending(ctx: Context, *, after: str | None, limit: int) -> Page[PendingApproval]:
    """Return refunds, complimentary access, extensions, claims and back issues that await approval, the newest first."""
    async with ctx.sessions.begin() as session:
        found = await approvals.pending(session, after=after, limit=limit + 1)
    return page_of(found, limit, cursor=lambda waiting: waiting.id)


async def get(ctx: Context, request_id: str) -> ApprovalRequest:
    """
    Return a request other than a refund.

    :raises NotFound: the request does not exist.
    """
    async with ctx.sessions.begin() as session:
        found = await approvals.by_id(session, request_id)
    if found is None:
        raise NotFound(UNKNOWN)
    return found


async def reject(ctx: Context, request_id: str, *, by: str, note: str | None, now: datetime) -> ApprovalRequest:
    """
    Reject a request other than a refund. A repeated rejection has no further effect.

    :raises NotFound: the request does not exist.
    :raises OwnRequest: the one who rejects it has requested it.
    :raises OwnAccount: the one who rejects it would get it.
    :raises NotAwaitingApproval: it was already decided.
    """
    async with ctx.sessions.begin() as session:
        await requests.reject(session, request_id, by=by, note=note, now=now)
    return await get(ctx, request_id)
