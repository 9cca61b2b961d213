"""
Freezing label runs and supplements, and their files.

A freeze is one transaction: the labels, the run, the mark in the calendar and the entry of the audit log are all there,
or none. It holds the lock of calendar changes, so two at once make one run.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from app.context import Context, DatabaseContext
from app.db import audit, circulation, derivations, editions, issues, label_runs, mailed_copies, outbox, subscriptions
from app.db.circulation import CountedIssue
from app.db.engine import leases
from app.db.engine.session import Session
from app.db.label_runs import Selection
from app.domain.calendar_changes import affected_terms
from app.domain.circulation import counting_rules
from app.domain.erasures import ERASED
from app.domain.errors import NotFound
from app.domain.issues import Calendar, Issue
from app.domain.label_runs import (
    MAIN,
    AlreadyFrozen,
    CopiesBeingDerived,
    Differences,
    LabelRun,
    NotFrozen,
    NothingToAdd,
    Preview,
    cutoff_of,
    grace_expires,
)
from app.domain.outbox import OutboxReader, OutboxType, address_needed, copy_mailed

QUEUE_SLICE = 5_000  # subscriptions
QUEUE_PAUSE = timedelta(minutes=5)  # within which the next slice is queued
CHECKED_SLICE = 20_000  # subscriptions without an address, of which each look finds the next
ANNOUNCED_SLICE = 500  # copies, whose readers are locked meanwhile
ANNOUNCED_FOR = timedelta(days=30)  # after its mailing, a copy is no news


async def of_issue(ctx: Context, number: int) -> Sequence[LabelRun]:
    """
    Return the runs of an issue: the one at the cut-off first, then its supplements.

    :raises NotFound: there is no such issue.
    """
    async with ctx.sessions.begin() as session:
        if await issues.by_number(session, number) is None:
            raise NotFound(f"There is no issue {number}")
        return await label_runs.of_issue(session, number)


async def preview(ctx: Context, number: int, *, supplement: bool, now: datetime) -> Preview:
    """
    Return what freezing now would put on the run. Before the cut-off, it may still change.

    :raises NotFound: there is no such issue.
    :raises AlreadyFrozen: its run is frozen, and no supplement is asked for.
    :raises NotFrozen: a supplement is asked for before the run is frozen.
    :raises CopiesBeingDerived: a change of the calendar is being applied.
    """
    async with ctx.sessions.begin() as session:
        calendar = await issues.calendar(session, ctx.settings.zone)
        issue, runs = await _find(session, calendar, number, supplement=supplement)
        await _require_copies(session)
        before, previous = await label_runs.runs_before(session, number)
        selection = _selection(ctx, calendar, issue, previous, supplement=supplement, now=now)
        counts, differences, samples = await label_runs.preview(session, selection)
        left_out = await label_runs.left_out(session, selection)
    compared = Differences(previous=before, samples=samples, **differences)
    if supplement:  # all the others would have left
        compared = replace(compared, previous=None, joined=0, left=0, moved=0, samples={})
    return Preview(
        issue=issue,
        number=len(runs),
        as_of=_as_of(calendar, issue, supplement=supplement, now=now),
        mail_date=selection.mail_date,
        counts=counts,
        differences=compared,
        left_out=left_out,
    )


async def owners(ctx: Context, subscription_ids: Sequence[str]) -> Mapping[str, str]:
    """Return the subscriber of each of these subscriptions."""
    async with ctx.sessions.begin() as session:
        return await subscriptions.owners(session, subscription_ids)


async def freeze(ctx: Context, number: int, *, run_id: str, supplement: bool, by: str, now: datetime) -> LabelRun:
    """
    Freeze the labels of an issue, once for each ``run_id``.

    :raises NotFound: there is no such issue.
    :raises CutoffNotReached: its label cut-off has not passed.
    :raises AlreadyFrozen: its run is frozen, and no supplement is asked for.
    :raises NotFrozen: a supplement is asked for before the run is frozen.
    :raises NothingToAdd: a supplement would be empty.
    :raises CopiesBeingDerived: a change of the calendar is being applied.
    """
    async with ctx.sessions.begin() as session:
        await editions.lock_changes(session)
        made = await label_runs.by_id(session, run_id)
        if made is not None:  # the request before was answered by nobody
            return made
        calendar = await issues.calendar(session, ctx.settings.zone)
        issue, runs = await _find(session, calendar, number, supplement=supplement)
        cutoff_of(calendar, issue, now)
        if not supplement:
            await editions.lock_cutoffs(session)  # what was stored as of before the cut-off is in the next snapshot
        await _require_copies(session)
        _, previous = await label_runs.runs_before(session, number)
        selection = _selection(ctx, calendar, issue, previous, supplement=supplement, now=now)
        counting = counting_rules(ctx.catalogue, issue.mail_date)
        counts = await label_runs.freeze(session, run_id, selection, counting)
        if counts.flags["grace"]:
            served = {code: min(issue.counts_as, plan.double_issues) for code, plan in ctx.catalogue.plans.items()}
            await label_runs.charge_grace(session, run_id, served=served)
        if supplement and not counts.copies:
            raise NothingToAdd(number=number)
        run = LabelRun(
            id=run_id,
            issue_number=number,
            number=len(runs),
            as_of=_as_of(calendar, issue, supplement=supplement, now=now),
            mail_date=selection.mail_date,
            frozen_at=now,
            frozen_by=by,
            counts=counts,
            columns=ctx.catalogue.print_rules.columns,
        )
        await label_runs.add(session, run)
        if not supplement:
            counted = CountedIssue(number=number, closes_at=selection.closes, paid_percent=counting.paid_percent)
            await circulation.freeze_electronic(session, counting, counted, run_id=run.id)
            await _mark_frozen(session, calendar, issue, as_of=run.as_of)
        await audit.record(
            session,
            actor=by,
            action="labels.supplemented" if supplement else "labels.frozen",
            object_id=issue.id,
            after={"run": run.id, "number": run.number, "copies": counts.copies, "control_sum": counts.control_sum},
        )
    return run


async def csv(ctx: Context, number: int, run_number: int, *, by: str) -> tuple[LabelRun, AsyncIterator[bytes]]:
    """
    Return a run and its file, in parts. Who downloads it is recorded.

    :raises NotFound: there is no such run.
    """
    async with ctx.sessions.begin() as session:
        found = [run for run in await label_runs.of_issue(session, number) if run.number == run_number]
        if not found:
            raise NotFound("There is no such label run")
        await audit.record(
            session,
            actor=by,
            action="labels.downloaded",
            object_id=f"iss_{number}",
            after={"run": found[0].id, "copies": found[0].counts.copies},
        )
    return found[0], await label_runs.csv(ctx.exports, found[0])


async def _find(
    session: Session, calendar: Calendar, number: int, *, supplement: bool
) -> tuple[Issue, Sequence[LabelRun]]:
    issue = next((one for one in calendar.issues if one.number == number), None)
    if issue is None:
        raise NotFound(f"There is no issue {number}")
    runs = await label_runs.of_issue(session, number)
    if runs and not supplement:
        raise AlreadyFrozen(f"The labels of issue {number} are frozen", number=number, run=runs[MAIN].id)
    if supplement and not runs:
        raise NotFrozen(f"The labels of issue {number} are not frozen yet", number=number)
    return issue, runs


def _as_of(calendar: Calendar, issue: Issue, *, supplement: bool, now: datetime) -> datetime:
    return now if supplement else min(now, calendar.ends(issue.closes_on))


def _selection(
    ctx: Context, calendar: Calendar, issue: Issue, previous: Sequence[str], *, supplement: bool, now: datetime
) -> Selection:
    """Return whose labels are on a run: as of the cut-off, or before it and for a supplement as of now."""
    cutoff = calendar.ends(issue.closes_on)
    return Selection(
        issue_number=issue.number,
        closes=cutoff,
        through=now if supplement else min(now, cutoff - timedelta.resolution),
        keeps_ended=not supplement,
        mail_date=max(issue.mail_date, now.astimezone(ctx.settings.zone).date()) if supplement else issue.mail_date,
        served=ctx.catalogue.print_rules.served,
        previous=previous,
        grace=grace_expires(calendar, issue, {code: plan.grace_copies for code, plan in ctx.catalogue.plans.items()}),
    )


async def _mark_frozen(session: Session, calendar: Calendar, issue: Issue, *, as_of: datetime) -> None:
    """Count the issue as served in print, and derive the terms again that this concerns."""
    await label_runs.mark_frozen(session, issue.number, as_of=as_of)
    replaced = await editions.publish(session)
    frozen = [replace(one, frozen_at=as_of) if one.number == issue.number else one for one in calendar.issues]
    change = affected_terms(calendar, Calendar(frozen, calendar.zone))
    if change is not None:
        await derivations.add_run(session, derivations.CALENDAR, change.dump(), replaced=replaced)
        await leases.notify(session, "derivation_runs")


async def _require_copies(session: Session) -> None:
    """
    Check that the copies of every term are known.

    :raises CopiesBeingDerived: they are not. Those that an earlier release derived are queued by :func:`queue_unknown`.
    """
    if not await label_runs.are_copies_known(session):
        raise CopiesBeingDerived


async def queue_unknown(ctx: DatabaseContext, *, size: int = QUEUE_SLICE) -> None:
    """
    Queue the subscriptions whose copies are not known, because an earlier release derived them.

    A slice at a time. Meanwhile the change waits, so that it isn't finished before all are queued. If this is interrupted,
    it is finished without the rest, and they are queued the next time.

    :param size: of a slice.
    """
    async with ctx.sessions.begin() as session:
        if await derivations.unfinished(session):
            return
        unknown = await label_runs.unknown_copies(session, after="", limit=size)
        if not unknown:
            return
        run_id = await derivations.add_run(session, derivations.CATALOGUE, {"plans": []}, replaced="")
        await derivations.queue(session, run_id, unknown)
        await derivations.postpone_run(session, run_id, QUEUE_PAUSE)
        await leases.notify(session, "calendar_work")
    while len(unknown) == size:
        async with ctx.sessions.begin() as session:
            unknown = await label_runs.unknown_copies(session, after=unknown[-1], limit=size)
            await derivations.queue(session, run_id, unknown)
            await derivations.postpone_run(session, run_id, QUEUE_PAUSE)
            await leases.notify(session, "calendar_work")
    async with ctx.sessions.begin() as session:
        await derivations.postpone_run(session, run_id, timedelta(0))
        await leases.notify(session, "derivation_runs")


async def announce(ctx: Context, *, now: datetime) -> None:
    """Record in the outbox which copies were mailed, and who needs an address. It can be interrupted anywhere."""
    while await _announce_addresses(ctx, now=now):
        pass
    while await _announce_copies(ctx, today=now.astimezone(ctx.settings.zone).date()):
        pass


async def _announce_addresses(ctx: Context, *, now: datetime) -> bool:
    """Announce who is owed a copy of the next frozen issue and has no address. Return whether there may be another one."""
    async with ctx.sessions.begin() as session:
        run = await mailed_copies.next_unchecked(session)
        if run is None:
            return False
        calendar = await issues.calendar(session, ctx.settings.zone)
        issue = next((one for one in calendar.issues if one.number == run.issue_number), None)
        found: Sequence[str] = ()
        if issue is not None:
            selection = _selection(ctx, calendar, issue, (), supplement=True, now=now)
            found = await mailed_copies.without_address(session, selection, after=run.through, limit=CHECKED_SLICE)
        if not found:
            await mailed_copies.mark_checked(session, [run.id])
    for start in range(0, len(found), ANNOUNCED_SLICE):
        if not await _ask_for_addresses(ctx, run.id, found[start : start + ANNOUNCED_SLICE]):
            break
    return True


async def _ask_for_addresses(ctx: Context, run_id: str, subscription_ids: Sequence[str]) -> bool:
    """Announce who has no address for a run's copies. Return False if another worker goes on with it."""
    async with ctx.sessions.begin() as session:
        run = await mailed_copies.next_unchecked(session)
        if run is None or run.id != run_id or run.through >= subscription_ids[0]:
            return False
        events = [
            address_needed(
                OutboxReader.of(one.reader, one.sub), subscription_id=one.subscription_id, issue=run.issue_number
            )
            for one in await mailed_copies.owners(session, subscription_ids)
        ]
        await outbox.add(session, events)
        await mailed_copies.mark_checked_through(session, run_id, subscription_ids[-1])
    return True


async def _announce_copies(ctx: Context, *, today: date) -> bool:
    """Announce the next copies of a run that was mailed. Return whether there may be more."""
    async with ctx.sessions.begin() as session:
        run = await mailed_copies.next_mailed(session, today=today)
        if run is None:
            return False
        is_news = run.mailed_on > today - ANNOUNCED_FOR
        if not is_news or not await mailed_copies.is_wanted(session, OutboxType.COPY_MAILED):
            await mailed_copies.mark_announced(session, run.id, position=None)
            return True
        copies = await mailed_copies.copies(session, run, limit=ANNOUNCED_SLICE)
        events = [
            copy_mailed(
                OutboxReader.of(one.reader, one.sub),
                subscription_id=one.subscription_id,
                issue=run.issue_number,
                kind=one.kind,
            )
            for one in copies
            if not one.sub.startswith(ERASED)
        ]
        await outbox.add(session, events)
        last = max((one.position for one in copies), default=None)
        await mailed_copies.mark_announced(session, run.id, position=last)
    return True
