"""
Changes of the calendar and the catalogue, which workers apply to subscriptions in the background.

First the affected subscriptions are queued, then workers derive the grants of a slice of the queue at a time. A payment, a
refund or a cancellation never waits for either.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from app.aggregates import derivations
from app.context import Context, DatabaseContext
from app.db import derivations as queue
from app.db import editions
from app.db.derivations import Queued, Run
from app.db.engine import leases
from app.db.engine.outages import is_outage
from app.db.engine.session import Session
from app.domain.backoff import retry_delay
from app.domain.derivations import Edition
from app.domain.notification_policies import A_DAY, RecordedPolicies, returns_early
from app.domain.offers import Offer, OfferChange, OfferHistory, OfferVersion, improved_plans, offers_of
from app.domain.offers import offer_changes as offer_changes_of
from app.domain.rules import Rules

QUEUE_SLICE = 5_000  # subscriptions
SLICE = 200  # subscriptions; their readers are locked meanwhile, for about a tenth of a second
LOCKED_PAUSE = timedelta(seconds=1)  # before a reader who was locked is tried again
EDITION_PAUSE = timedelta(seconds=0.5)  # before the transactions of an old edition are looked for again
LOG_SECONDS = 10.0
SHOWN = 20  # changes
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Slice:
    """The result of a slice."""

    taken: int
    is_last: bool  # nothing else is due


async def record_offers(ctx: Context, *, now: datetime) -> bool:
    """
    Record what this process's catalogue and settings promise, if it is new, and apply what got better to subscribers.

    Each process calls it when it starts. While processes with an old and a new catalogue run side by side, what a reader has
    never depends on which of them does the work. One that restarts with the old catalogue does not replace the new offer.

    :param now: policy time.
    :returns: whether everything is recorded. If not, the catalogue goes back to what was replaced less than a day ago: call
        again later.
    """
    wanted = offers_of(ctx.catalogue, ctx.rules.access)
    async with ctx.sessions.begin() as session:
        edition = await editions.current(session, ctx.rules.zone)
        changed, early = _changes(edition.offers, wanted, now=now)
    policies, policies_early = _policy_change(edition, ctx.rules, now=now)
    if not changed and policies is None:
        return not early and not policies_early
    async with ctx.sessions.begin() as session:
        await editions.lock_changes(session)
        edition = await editions.current(session, ctx.rules.zone)
        changed, early = _changes(edition.offers, wanted, now=now)
        policies, policies_early = _policy_change(edition, ctx.rules, now=now)
        if not changed and policies is None:
            return not early and not policies_early
        await editions.add_offers(session, [OfferVersion(offer, now) for offer in changed])
        if policies is not None:
            await editions.add_policies(session, policies)
        replaced, improved = await editions.publish(session), improved_plans(edition.offers, changed)
        if (improved or policies is not None) and await queue.has_subscribers(session):
            if improved:
                await queue.add_run(session, queue.CATALOGUE, {"plans": improved}, replaced=replaced)
            if policies is not None:
                await queue.add_run(session, queue.NOTICES, {}, replaced=replaced)
            await leases.notify(session, "derivation_runs")
    what = [offer.plan for offer in changed]
    log.info("catalogue_recorded", changed=what, improved=improved, notices=policies is not None)
    return not early and not policies_early


async def repeat_notices(ctx: Context, *, now: datetime) -> bool:
    """
    Follow the notices of all subscriptions once more, a day after the first policies were recorded.

    During a rolling upgrade, workers of the release before take part in the first time. They know no notices, so the readers
    that they take get none.

    :param now: policy time.
    :returns: whether it is done, or not necessary. If not, call again later.
    """
    async with ctx.sessions.begin() as session:
        if not await queue.must_repeat_notices(session):
            return True
        first = (await editions.current(session, ctx.rules.zone)).policies[0]
        if now - first.since < A_DAY:
            return False
        await editions.lock_changes(session)
        if await queue.must_repeat_notices(session):  # no other process has
            await queue.add_run(session, queue.NOTICES, {"again": True}, replaced="")
            await leases.notify(session, "derivation_runs")
    return True


async def repeat_special_issues(ctx: Context) -> bool:
    """
    Derive the terms around special issues, if a migration has ordered that: at once, and again a day later.

    During a rolling upgrade, workers of the release before take part in the first time, and derive as they did before.

    :returns: whether it is done, or not necessary. If not, call again later.
    """
    async with ctx.sessions.begin() as session:
        ordered = await queue.special_issues(session)
        if ordered is None or not ordered.is_due:
            return ordered is None or ordered.is_done
        await editions.lock_changes(session)
        ordered = await queue.special_issues(session)
        if ordered is not None and ordered.is_due:  # no other process has
            await queue.add_run(session, queue.CALENDAR, {**ordered.change, "repeats": ordered.id}, replaced="")
            await leases.notify(session, "derivation_runs")
    return False


def _policy_change(edition: Edition, rules: Rules, *, now: datetime) -> tuple[RecordedPolicies | None, bool]:
    """Return the policies for notifications to record, if they are new, and whether they return too early."""
    wanted = tuple(rules.notifications)
    if edition.policies and set(edition.policies[-1].policies) == set(wanted):
        return None, False
    if returns_early(edition.policies, wanted, now):
        return None, True
    return RecordedPolicies(wanted, now), False


async def offer_changes(ctx: DatabaseContext, rules: Rules) -> Sequence[OfferChange]:
    """Return what changes for subscribers when a process starts with these rules. Nothing is recorded."""
    async with ctx.sessions.begin() as session:
        recorded = (await editions.current(session, rules.zone)).offers
    return offer_changes_of(recorded, offers_of(rules.catalogue, rules.access))


def _changes(recorded: OfferHistory, wanted: Mapping[str, Offer], *, now: datetime) -> tuple[list[Offer], list[Offer]]:
    """Return the offers to record, and those that return too early."""
    new = [offer for plan, offer in wanted.items() if recorded.latest(plan) != offer]
    early = [offer for offer in new if recorded.returns_early(offer, now=now)]
    return [offer for offer in new if offer not in early], early


async def queue_affected(ctx: Context, run_id: str, *, now: datetime) -> None:
    """
    Queue the subscriptions that a change affects.

    It begins when no transaction derives from an older edition anymore. If it is interrupted, it starts again.
    """
    async with ctx.sessions.begin() as session:
        run = await queue.run(session, run_id)
        if run is None or run.is_queued:
            return
        if not await editions.are_unused(session, run.editions):
            await queue.postpone_run(session, run_id, EDITION_PAUSE)
            return
    async with ctx.sessions() as reading, reading.begin():
        async for ids in queue.affected(reading, run, size=QUEUE_SLICE):
            async with ctx.sessions.begin() as session:
                await queue.queue(session, run_id, ids)
                await leases.notify(session, "calendar_work")
    async with ctx.sessions.begin() as session:
        await queue.complete_queue(session, run_id)
        await leases.notify(session, "calendar_work")
    log.info("change_queued", run=run_id, kind=run.kind)
    await _finish(ctx)  # if it affects none


async def derive_slice(ctx: Context, *, now: datetime) -> Slice:
    """
    Derive the grants of the next slice of the queue. Rows that fail are tried again later.

    The slice is one transaction. If it fails, each row is tried in one of its own, so that one bad row holds up no other.
    """
    rows: list[Queued] = []
    try:
        async with ctx.sessions.begin() as session:
            for change in await queue.take_old_changes(session):
                await queue.add_run(session, queue.CALENDAR, change, replaced="")
                await leases.notify(session, "derivation_runs")
            rows = await queue.take(session, limit=SLICE)
            await _derive(ctx, session, rows, now=now)
    except Exception as failure:
        if not rows or is_outage(failure):  # it is no row's fault
            raise
        log.warning("derivation_slice_failed", rows=len(rows), error=f"{type(failure).__name__}: {failure}")
        for row in rows:
            await _derive_alone(ctx, row.id, now=now)
    is_last = len(rows) < SLICE
    if is_last:
        await _finish(ctx)
    return Slice(taken=len(rows), is_last=is_last)


async def _derive_alone(ctx: Context, row_id: str, *, now: datetime) -> None:
    taken: Queued | None = None
    try:
        async with ctx.sessions.begin() as session:
            taken = await queue.take_one(session, row_id)
            if taken is not None:
                await _derive(ctx, session, [taken], now=now)
    except Exception as failure:
        if taken is None or is_outage(failure):
            raise
        async with ctx.sessions.begin() as session:
            await _record_failure(session, taken, failure)


async def _derive(ctx: Context, session: Session, rows: Sequence[Queued], *, now: datetime) -> None:
    """Derive the grants of rows that this transaction has taken."""
    if not rows:
        return
    results = await derivations.derive_many(session, ctx.rules, [row.id for row in rows], now=now)
    await queue.postpone(session, sorted(results.locked), LOCKED_PAUSE)
    for row in rows:
        if row.id in results.failed:
            await _record_failure(session, row, results.failed[row.id])
    await queue.complete(session, [row for row in rows if row.id in results.done], frozenset(results.changed))


async def _record_failure(session: Session, row: Queued, failure: Exception) -> None:
    error = f"{type(failure).__name__}: {failure}"
    log.warning("derivation_failed", id=row.id, error=error)
    await queue.fail(session, row, error, retry_delay(row.attempts + 1, jitter=0.5))


async def _finish(ctx: Context) -> None:
    async with ctx.sessions.begin() as session:
        finished = [await queue.run(session, run_id) for run_id in await queue.finish(session)]
    for run in finished:
        if run is not None:
            log.info("change_applied", **facts_of(run))


def facts_of(run: Run) -> dict[str, object]:
    """Return the progress of a change, for the log."""
    return {"run": run.id, "kind": run.kind, "found": run.found, "visited": run.visited, "changed": run.changed}


class ProgressLog:
    """Logs the progress of unfinished changes, at most every :data:`LOG_SECONDS`."""

    def __init__(self) -> None:
        self._logged_at = time.monotonic()

    async def log(self, ctx: Context) -> None:
        """Log the progress, if it is time."""
        if time.monotonic() - self._logged_at < LOG_SECONDS:
            return
        self._logged_at = time.monotonic()
        for run in await unfinished(ctx):
            log.info("change_progress", **facts_of(run))


async def unfinished(ctx: DatabaseContext) -> Sequence[Run]:
    """Return the changes that are being applied."""
    async with ctx.sessions.begin() as session:
        return await queue.unfinished(session)


async def recent(ctx: DatabaseContext) -> Sequence[Run]:
    """Return the last changes, the newest first."""
    async with ctx.sessions.begin() as session:
        return await queue.runs(session, limit=SHOWN)
