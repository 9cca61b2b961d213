"""
The nightly job that removes personal data which has no use anymore; see :mod:`app.db.retention`.

A table is read in ranges, and up to :data:`BLOCKS_A_NIGHT` in a night. The next night continues where this one has ended, so
that a night costs no more however large the tables are. What a night has done is saved, so that a run after one that failed
or was killed does only the rest.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, time
from functools import partial

import structlog

from app.context import Context, DatabaseContext
from app.db import retention
from app.db.engine.outages import report
from app.db.retention import EXPIRIES, Expiry, Progress
from app.domain.reconciliation import until_next
from app.domain.retention import night_of

AT = time(4)  # in the publisher's time zone
BATCH_SIZE = 500  # rows in one transaction
BLOCKS = 500  # of a table that one statement reads: 4 MB
BLOCKS_A_NIGHT = 131_072  # of a table: 1 GB
log = structlog.get_logger()
Step = Callable[[Progress], Awaitable[None]]  # counts there what it has removed


class NotRemoved(Exception):
    """A part of what is to be removed was not. Run it again: only that part is tried again."""


async def schedule(ctx: Context) -> None:
    """Schedule the first run."""
    async with ctx.sessions.begin() as session:
        await retention.schedule(session, due_in=until_next(AT, now=ctx.clock.real(), zone=ctx.settings.zone))


async def run(
    ctx: DatabaseContext,
    *,
    now: datetime,
    others: Mapping[str, Step] | None = None,
    blocks: int = BLOCKS,
    blocks_a_night: int = BLOCKS_A_NIGHT,
) -> None:
    """
    Remove what has expired, in batches, and schedule the next run. It can be interrupted anywhere, and repeated.

    :param others: other steps of the night, by what they remove. They may keep their place in the progress.
    :param blocks: of a table that one statement reads.
    :param blocks_a_night: of a table that are read in a night.
    :raises NotRemoved: some steps failed. The others were done.
    """
    async with ctx.sessions.begin() as session:
        progress = await retention.progress_of_due(session)
    if progress is None:
        return
    night = night_of(now, begins_at=AT, zone=ctx.settings.zone).isoformat()
    if progress.night != night:
        progress = Progress(night=night, places=progress.places)
    steps: dict[str, Step] = {
        expiry.what: partial(remove, ctx, expiry, blocks=expiry.blocks or blocks, blocks_a_night=blocks_a_night)
        for expiry in EXPIRIES
    }
    failed = []
    for what, step in {**steps, **(others or {})}.items():
        if what in progress.done:
            continue
        try:
            await step(progress)
            progress.done.append(what)
        except Exception as failure:  # the other steps don't need this one
            report("removal_failed", failure, what=what)
            failed.append(f"{what} ({type(failure).__name__})")
            await _save(ctx, progress)  # fails too if the database is lost: the others need not try
    await _finish(ctx, progress, failed, now=now)


async def _finish(ctx: DatabaseContext, progress: Progress, failed: list[str], *, now: datetime) -> None:
    await _save(ctx, progress)
    if failed:
        raise NotRemoved(f"Not removed: {', '.join(failed)}")
    async with ctx.sessions.begin() as session:
        await retention.finish(session, progress, next_in=until_next(AT, now=now, zone=ctx.settings.zone))
    counts = {what.replace(" ", "_"): count for what, count in progress.removed.items() if count}
    log.info("expired_data_removed", **counts)


async def _save(ctx: DatabaseContext, progress: Progress) -> None:
    async with ctx.sessions.begin() as session:
        await retention.save(session, progress)


async def remove(
    ctx: DatabaseContext,
    expiry: Expiry,
    progress: Progress,
    *,
    blocks: int = BLOCKS,
    blocks_a_night: int = BLOCKS_A_NIGHT,
) -> None:
    """
    Remove expired data of one kind, in batches.

    It reads on where ``progress`` says, and then from the start, until it has read the whole table or as much as it may in
    a night.
    """
    async with ctx.sessions.begin() as session:
        size = await retention.blocks_of(session, expiry)
    saved = progress.places.get(expiry.what, 0)
    place = saved if isinstance(saved, int) and saved < size else 0
    left = min(size, blocks_a_night)
    while left:
        end = min(place + blocks, place + left, size)
        progress.count(expiry.what, await _remove_between(ctx, expiry, place, end))
        left -= end - place
        place = end if end < size else 0
        if size > blocks:
            progress.places[expiry.what] = place
            await _save(ctx, progress)


async def _remove_between(ctx: DatabaseContext, expiry: Expiry, first: int, end: int) -> int:
    """Remove what has expired between two blocks of a table."""
    removed, after, kept_for = 0, retention.block(first), expiry.kept_for(ctx.settings)
    while True:
        async with ctx.sessions.begin() as session:
            batch, after = await retention.expire(
                session, expiry, kept_for=kept_for, after=after, before=retention.block(end), limit=BATCH_SIZE
            )
        removed += batch
        if batch < BATCH_SIZE:
            return removed
