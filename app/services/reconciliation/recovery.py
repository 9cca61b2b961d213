"""
Recovery after a backup was restored: compare with Stripe, let a worker apply what differs, and compare again.

First, all numbers that others remember are raised above those that were given after the backup (:mod:`app.db.recovery`).
Each round is a sweep, whose progress is saved, so a recovery can be interrupted anywhere and repeated. It ends when a sweep
that began with no work pending finds nothing, or when another round would change nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.context import Context
from app.db import recovery as rows
from app.db.recovery import PendingWork, Recovery
from app.domain.reconciliation import SweepKind
from app.services.reconciliation.running import Progress
from app.services.reconciliation.sweeps import begin, run

MAX_ROUNDS = 6
SLICE = 2_000  # entitlements whose versions are raised in one transaction
MARGIN = timedelta(hours=1)  # before the backup: events of that time may not have been applied yet
PATIENCE = timedelta(seconds=45)  # without progress, before the work that is left is reported
POLL_SECONDS = 0.2  # between two looks whether anything is left
COUNT_SECONDS = 5.0  # between two counts of it
Sweeping = Callable[[int], Progress]  # returns the progress of a round
Settling = Callable[[PendingWork], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The result of a recovery: what still differs, a sentence for each. ``began_at`` is policy time, of its first run."""

    left: Sequence[str]
    began_at: datetime


async def recover(
    ctx: Context,
    *,
    since: datetime,
    by: str,
    restart: bool,
    work: Callable[[], Awaitable[None]],
    sweeping: Sweeping,
    settling: Settling,
    patience: timedelta = PATIENCE,
) -> Recovered:
    """
    Bring the database up to date with Stripe.

    The caller holds the lease of sweeps.

    :param since: when the backup was made, in policy time.
    :param work: runs a worker until it is canceled.
    :raises StripeUnavailable: it can be continued by another call; what was found is saved.
    """
    recovery = await raise_numbers(ctx, since=since)
    async with ctx.sessions.begin() as session:
        started_at = await rows.database_time(session)
        is_settled = not await rows.is_pending(session, before=started_at)
    earlier: tuple[int, list[str]] | None = None
    words: list[str] = []
    for number in range(MAX_ROUNDS):
        sweep, _ = await begin(
            ctx, kind=SweepKind.RECOVER, by=by, dry_run=False, since=since - MARGIN, restart=restart and not number
        )
        report = await run(ctx, sweep.id, now=await ctx.clock.policy(), progress=sweeping(number + 1))
        words = [one.words for one in report.differences]
        if report.unlisted:
            words.append(f"{report.unlisted} other differences")
        found = (report.counts.total, list(words))
        if is_settled and (not words or found == earlier):
            break
        left = await settle(ctx, work=work, settling=settling, patience=patience)
        is_settled, earlier = not left, found
        if left:
            words += left.failing
            if left.rows > len(left.failing):
                words.append(f"In all, {left.counted} rows are still being processed")
            break
    async with ctx.sessions.begin() as session:
        words += await rows.dead_events(session, since=started_at)
    return Recovered(left=words, began_at=recovery.began_at)


async def raise_numbers(ctx: Context, *, since: datetime) -> Recovery:
    """
    Raise what edge servers and other systems compare: numbers of revocations and events, and versions of entitlements.

    With each run, because nobody can tell whether a backup was restored since the last one.
    """
    async with ctx.sessions.begin() as session:
        recovery = await rows.begin(session, since=since, now=await ctx.clock.policy())
    last: str | None = ""
    while last is not None:
        async with ctx.sessions.begin() as session:
            last = await rows.raise_versions(session, recovery.numbers_from, after=last, limit=SLICE)
    return recovery


async def settle(
    ctx: Context, *, work: Callable[[], Awaitable[None]], settling: Settling, patience: timedelta
) -> PendingWork:
    """Run a worker until everything is done that is due now, or nothing more gets done. Return what is left."""
    loop = asyncio.get_running_loop()
    async with ctx.sessions.begin() as session:
        before = await rows.database_time(session)
    worker = asyncio.ensure_future(work())
    left: PendingWork | None = None
    fewest, counted_at, progressed_at = 0, loop.time(), loop.time()
    try:
        while True:
            async with ctx.sessions.begin() as session:
                if not await rows.is_pending(session, before=before):
                    settling(rows.NOTHING)
                    return rows.NOTHING
                if left is None or loop.time() - counted_at > COUNT_SECONDS:
                    counted, counted_at = await rows.pending_work(session, before=before), loop.time()
                    if left is None or counted.rows < fewest or counted.mark != left.mark:
                        progressed_at = counted_at
                    fewest = counted.rows if left is None else min(fewest, counted.rows)
                    left = counted
                    settling(left)
            if loop.time() - progressed_at > patience.total_seconds():
                return left
            await asyncio.sleep(POLL_SECONDS)
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
