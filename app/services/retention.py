"""The nightly job that removes personal data which has no use anymore; see :mod:`app.db.retention`."""

from datetime import time

import structlog

from app.context import Context, DatabaseContext
from app.db import retention
from app.db.retention import EXPIRIES, Expiry
from app.domain.reconciliation import until_next

AT = time(4)  # in the publisher's time zone
BATCH_SIZE = 500  # rows in one transaction
log = structlog.get_logger()


async def schedule(ctx: Context) -> None:
    """Schedule the first run."""
    async with ctx.sessions.begin() as session:
        await retention.schedule(session, due_in=until_next(AT, now=ctx.clock.real(), zone=ctx.settings.zone))


async def run(ctx: Context) -> None:
    """Remove what has expired, in batches, and schedule the next run. It can be interrupted anywhere, and repeated."""
    async with ctx.sessions.begin() as session:
        if not await retention.is_due(session):
            return
    removed: dict[str, int] = {expiry.what: await remove(ctx, expiry) for expiry in EXPIRIES}
    async with ctx.sessions.begin() as session:
        next_in = until_next(AT, now=ctx.clock.real(), zone=ctx.settings.zone)
        await retention.finish(session, removed, next_in=next_in)
    log.info("expired_data_removed", **{what.replace(" ", "_"): count for what, count in removed.items() if count})


async def remove(ctx: DatabaseContext, expiry: Expiry) -> int:
    """
    Remove expired data of one kind, in batches. Return how many rows there were.

    It walks through the table, and then again from the start until nothing is left: rows need not be found in their order.
    """
    removed, after = 0, retention.START
    while True:
        async with ctx.sessions.begin() as session:
            batch, ended_at = await retention.expire(
                session, expiry, kept_for=expiry.kept_for(ctx.settings), after=after, limit=BATCH_SIZE
            )
        removed += batch
        if batch < BATCH_SIZE and after == retention.START:
            return removed
        after = ended_at if batch == BATCH_SIZE else retention.START
