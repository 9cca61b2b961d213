"""The completion of a stored change, by the request or by a worker."""

from datetime import datetime

from app.context import Context
from app.db import print_changes
from app.domain.print_changes import PrintChangeKind
from app.services.print_changes import additions, removals


async def finish(ctx: Context, change_id: str, *, now: datetime) -> None:
    """
    Complete a change as far as possible. Its row says how it ended. The caller holds the lease of its work key.

    :raises StripeUnavailable: call again later.
    """
    async with ctx.sessions.begin() as session:
        change = await print_changes.by_id(session, change_id)
        if change is None or not change.is_undecided:
            await print_changes.clear_due(session, change_id)
            return
    if change.kind == PrintChangeKind.ADD:
        await additions.complete(ctx, change, now=now)
    else:
        await removals.complete(ctx, change, now=now)
