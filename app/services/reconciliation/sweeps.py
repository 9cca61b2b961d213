"""
Reconciliation: missed events are stored, and records that differ from Stripe's are fetched again.

A sweep lists Stripe's objects page by page (:mod:`app.services.reconciliation.running`). The differences of a page are saved
with the position of the sweep in one transaction, and repaired by refetches in the inbox, in the same way as a webhook.
Objects with pending events are skipped, and a difference counts only if it is still there when the object is fetched by
itself: a list may be older than our records.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from app.aggregates import imports
from app.context import Context
from app.db import addresses, subscriptions
from app.db import reconciliation as rows
from app.db.engine.session import Session
from app.db.reconciliation import DifferenceCounts, Sweep
from app.domain import events
from app.domain.errors import NotFound
from app.domain.events import InvalidEvent, with_mode
from app.domain.imports import is_named
from app.domain.reconciliation import (
    EVENT_RETENTION,
    FULL_INTERVAL,
    Difference,
    ListedSubscription,
    SweepKind,
    SweepPhase,
    batches,
    compare_subscription,
    comparison_start,
    unknown_at_stripe,
)
from app.domain.subscriptions import StripeSubscriptionState, Subscription
from app.domain.sweep_ranges import ListPage, PageRead, Range
from app.gateway import reconciliation as at_stripe
from app.gateway.client import Gone
from app.gateway.events import reduced_payload, refetch_request
from app.gateway.translate import OUR_SUB
from app.services.reconciliation import payments
from app.services.reconciliation.import_preview import ImportPreview
from app.services.reconciliation.running import Found, Importing, Phase, Progress, Run, is_preview

RETENTION = timedelta(days=90)  # of completed sweeps
MOST_LISTED = 1_000  # differences of a report
EVENT_TYPES = batches(events.TYPES_WITH_EFFECT, of=at_stripe.MAX_EVENT_TYPES)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    The result of a sweep. A large import or recovery finds millions of differences, so only the first are listed.

    ``for_review`` are the first of those that a refetch does not repair. ``differences`` begin with them. ``unusual`` is
    what staff will see after the import, each with the code of its anomaly; only a preview has them.
    """

    sweep: Sweep
    counts: DifferenceCounts
    differences: list[Difference]
    for_review: list[Difference]
    unusual: list[Difference]

    @property
    def unlisted(self) -> int:
        """The number of differences that are not listed."""
        return self.counts.total - len(self.differences)


async def begin(
    ctx: Context, *, kind: str, by: str, dry_run: bool, since: datetime | None, restart: bool = False
) -> tuple[Sweep, bool]:
    """
    Return an interrupted sweep with the same parameters, or a new one; and whether it was interrupted.

    :param restart: start a new sweep even if an interrupted one exists.
    """
    restart = restart or (dry_run and kind == SweepKind.IMPORT)  # it compares pages with each other
    async with ctx.sessions.begin() as session:
        interrupted = None if restart else await rows.unfinished(session, kind=kind, dry_run=dry_run, since=since)
        if interrupted is not None:
            return interrupted, True
        return await rows.start(session, kind=kind, by=by, dry_run=dry_run, since=since), False


async def sizes(ctx: Context) -> dict[str, int]:
    """Return the approximate number of objects to compare, by kind."""
    async with ctx.sessions.begin() as session:
        return await rows.count_objects(session)


async def schedule(ctx: Context, *, due_in: timedelta | None) -> None:
    """Schedule the next sweep, or (None) remove the scheduled one. Delete old sweeps."""
    async with ctx.sessions.begin() as session:
        if due_in is None:
            await rows.unschedule(session)
        else:
            await rows.schedule(session, due_in=due_in)
        await rows.prune(session, kept_for=RETENTION)


async def run(
    ctx: Context,
    sweep_id: str,
    *,
    now: datetime,
    progress: Progress = lambda _: None,
    importing: Importing | None = None,
) -> Report:
    """
    Run a sweep to its end, from its saved position.

    :param progress: called after each page.
    :raises NotFound: the sweep does not exist.
    :raises ConcurrentUpdate: another process is running it.
    :raises StripeUnavailable: the sweep can be continued; what was found is saved.
    """
    async with ctx.sessions.begin() as session:
        sweep = await rows.by_id(session, sweep_id)
        full_before = await rows.finished_since(session, within=FULL_INTERVAL)
        is_address_lacking = await addresses.does_any_lack(session, today=now.astimezone(ctx.settings.zone).date())
    if sweep is None:
        raise NotFound("No such sweep")
    since = comparison_start(
        kind=sweep.kind, since=sweep.since, scheduled=sweep.scheduled, full_before=full_before, now=now
    )
    arguments = Run(
        ctx=ctx,
        now=now,
        since=since,
        is_address_lacking=is_address_lacking,
        importing=importing or Importing(),
        preview=ImportPreview(ctx),
        progress=progress,
    )
    progress(sweep)
    while sweep.phase != SweepPhase.DONE:
        sweep = await _PHASES[sweep.phase].run(arguments, sweep)
    async with ctx.sessions.begin() as session:
        report = await _report(session, sweep)
        await rows.clear_due(session, sweep_id)
    for one in report.differences:
        log.warning("difference_found", words=one.words, key=one.key, dry_run=sweep.dry_run)
    log.info("reconciled", sweep=sweep.id, kind=sweep.kind, differences=report.counts.total, **sweep.counts)
    return report


async def _report(session: Session, sweep: Sweep) -> Report:
    unusual = await rows.differences(session, sweep.id, only="unusual", limit=MOST_LISTED)
    for_review = await rows.differences(session, sweep.id, only="for_review", limit=MOST_LISTED)
    others = [
        one
        for one in await rows.differences(session, sweep.id, limit=MOST_LISTED)
        if one.key is not None or one.code is not None
    ]
    return Report(
        sweep=sweep,
        counts=await rows.count_differences(session, sweep.id),
        differences=[*for_review, *others][:MOST_LISTED],
        for_review=for_review,
        unusual=list({(one.object_id, one.code): one for one in unusual}.values()),  # the newest of each
    )


def _events_since(run: Run, sweep: Sweep) -> datetime:
    return max(run.now - EVENT_RETENTION, sweep.since or run.now - EVENT_RETENTION)


async def _list_events(run: Run, sweep: Sweep, range_: Range) -> ListPage[str]:
    types = EVENT_TYPES[range_.part]
    return await at_stripe.events(run.ctx.gateway, types, range_, undelivered=sweep.since is None)


async def _compare_events(run: Run, _sweep: Sweep, page: PageRead[str]) -> Found:
    """Return the events of a page that we have not received."""
    missed = []
    for text in page.items:
        try:
            refetch = with_mode(refetch_request(text), livemode=run.ctx.settings.livemode)
        except InvalidEvent:  # the phases that follow do not need it
            log.warning("event_malformed")
            continue
        if refetch.ignored is None:
            missed.append((refetch, reduced_payload(text)))
    async with run.ctx.sessions.begin() as session:
        stored_ids = await rows.known_events(session, [refetch.event_id for refetch, _ in missed])
    new = [(refetch, text) for refetch, text in missed if refetch.event_id not in stored_ids]
    found = [
        Difference(
            object_id=refetch.event_id,
            words=f"event {refetch.event_id} ({refetch.type}): not received, created on {_created_at(refetch)}",
            key=refetch.key,
        )
        for refetch, _ in new
    ]
    return Found(differences=found, looked_at={SweepPhase.EVENTS: len(page.items)}, missed=new)


def _created_at(refetch: events.RefetchRequest) -> str:
    return refetch.created_at.strftime("%Y-%m-%d %H:%M:%S UTC") if refetch.created_at else "an unknown date"


async def _list_subscriptions(run: Run, sweep: Sweep, range_: Range) -> ListPage[ListedSubscription]:
    """List a page of subscriptions: with customers in an import, if one is unknown here, or if a reader has no address."""
    if sweep.kind != SweepKind.IMPORT and not run.is_address_lacking:
        page = await at_stripe.subscriptions(run.ctx.gateway, range_, with_customers=False)
        if not await _unknown_customers(run, [one.item.state for one in page.listed]):
            return page
    return await at_stripe.subscriptions(run.ctx.gateway, range_, with_customers=True)


async def _unknown_customers(run: Run, states: Sequence[StripeSubscriptionState]) -> set[str]:
    """Return the customers with a subscription to one of our plans who are unknown here."""
    plans = run.ctx.rules.catalogue.plans
    ours = {one.customer_id for one in states if any(item.plan in plans for item in one.items)}
    async with run.ctx.sessions.begin() as session:
        return ours - await rows.known_customers(session, sorted(ours))


async def _lacking_addresses(run: Run, states: Sequence[StripeSubscriptionState]) -> set[str]:
    """Return the subscriptions whose copies are owed to readers without an address."""
    async with run.ctx.sessions.begin() as session:
        return await addresses.lacking(
            session, [one.id for one in states], today=run.now.astimezone(run.ctx.settings.zone).date()
        )


async def _compare_subscriptions(run: Run, sweep: Sweep, page: PageRead[ListedSubscription]) -> Found:
    """Compare a page of subscriptions, and find those of ours in the same period that Stripe does not list."""
    states = [one.state for one in page.items]
    looked_at: dict[str, int] = {SweepPhase.SUBSCRIPTIONS: len(states)}
    conflicts: list[Difference] = []
    if is_preview(sweep):
        run.preview.follow(states)
    if sweep.kind == SweepKind.IMPORT:
        async with run.alone:  # a customer may be on two pages
            looked_at["subscribers"], conflicts = await _customers(run, sweep, page.items)
    else:
        async with run.alone:
            conflicts = await _adopt(run, sweep, page.items)
    candidates = await _find_differing(run, sweep, states)
    candidates += await _find_unlisted(run, sweep, page)
    again = (_compare_again(run, sweep, stripe_id) for stripe_id in dict.fromkeys(candidates))
    found = [difference for difference in await asyncio.gather(*again) if difference is not None]
    return Found(differences=[*conflicts, *found], looked_at=looked_at)


async def _customers(run: Run, sweep: Sweep, listed: Sequence[ListedSubscription]) -> tuple[int, list[Difference]]:
    """Import customers with a subscription to one of our plans. Return how many, and the conflicts."""
    wanted = []
    for one in listed:
        if one.customer is not None and any(item.plan in run.ctx.rules.catalogue.plans for item in one.state.items):
            wanted.append(one.customer)
    async with run.ctx.sessions.begin() as session:
        return await imports.import_customers(
            session,
            {customer.id: customer for customer in wanted}.values(),
            subs=run.importing.subs,
            metadata_key=run.importing.metadata_key,
            by=sweep.by,
            dry_run=sweep.dry_run,
        )


async def _adopt(run: Run, sweep: Sweep, listed: Sequence[ListedSubscription]) -> list[Difference]:
    """
    Import the customers of a page who are unknown here, and whose metadata names the reader for whom we created them.

    They are first-time payers that a restored backup lacks. Without them, the readers could pay again. Return the conflicts.
    """
    unknown = await _unknown_customers(run, [one.state for one in listed])
    customers = {one.customer.id: one.customer for one in listed if one.customer is not None}
    named = [one for one in customers.values() if one.id in unknown and is_named(one, OUR_SUB)]
    if not named:
        return []
    async with run.ctx.sessions.begin() as session:
        _, conflicts = await imports.import_customers(
            session, named, subs={}, metadata_key=OUR_SUB, by=sweep.by, dry_run=sweep.dry_run
        )
    run.adopted.update({one.id for one in named} - {one.object_id for one in conflicts})
    return conflicts


async def _find_differing(run: Run, sweep: Sweep, states: Sequence[StripeSubscriptionState]) -> list[str]:
    ids = [one.id for one in states]
    async with run.ctx.sessions.begin() as session:
        ours = await subscriptions.by_stripe_ids(session, ids)
        owners = await rows.known_customers(session, [one.customer_id for one in states])
        pending = await rows.pending_keys(session, [f"{events.RefetchKind.SUBSCRIPTION}:{one}" for one in ids])
    lacking = await _lacking_addresses(run, states)
    return [
        one.id
        for one in states
        if f"{events.RefetchKind.SUBSCRIPTION}:{one.id}" not in pending
        and _compare(
            run, sweep, ours.get(one.id), one, has_owner=one.customer_id in owners, lacks_address=one.id in lacking
        )
        is not None
    ]


def _compare(
    run: Run,
    sweep: Sweep,
    ours: Subscription | None,
    theirs: StripeSubscriptionState,
    *,
    has_owner: bool,
    lacks_address: bool,
) -> Difference | None:
    if sweep.dry_run and (sweep.kind == SweepKind.IMPORT or theirs.customer_id in run.adopted):
        has_owner = True  # the subscriber would be created
    return compare_subscription(
        ours, theirs, has_owner=has_owner, lacks_address=lacks_address, catalogue=run.ctx.rules.catalogue
    )


async def _find_unlisted(run: Run, sweep: Sweep, page: PageRead[ListedSubscription]) -> list[str]:
    """Return our subscriptions from the period of a page that Stripe does not list."""
    if sweep.kind == SweepKind.IMPORT:
        return []
    since = datetime.fromtimestamp(page.since, UTC)
    until = datetime.fromtimestamp(page.until, UTC) if page.until is not None else None
    async with run.ctx.sessions.begin() as session:
        return await rows.unlisted_subscriptions(session, since, until, listed=page.ids)


async def _compare_again(run: Run, sweep: Sweep, stripe_id: str) -> Difference | None:
    """Compare one subscription again, fetched by itself, because a list may be older than our copy."""
    try:
        theirs = await at_stripe.subscription(run.ctx.gateway, stripe_id)
    except Gone:
        theirs = None
    async with run.ctx.sessions.begin() as session:
        ours = (await subscriptions.by_stripe_ids(session, [stripe_id])).get(stripe_id)
        if theirs is None:
            return unknown_at_stripe(ours) if ours is not None else None
        owners = await rows.known_customers(session, [theirs.customer_id])
    lacks_address = stripe_id in await _lacking_addresses(run, [theirs])
    return _compare(run, sweep, ours, theirs, has_owner=bool(owners), lacks_address=lacks_address)


def _finish_subscriptions(run: Run, sweep: Sweep) -> Sequence[Difference]:
    return run.preview.several_running() if is_preview(sweep) else ()


_PHASES: Mapping[str, Phase[Any]] = {
    SweepPhase.EVENTS: Phase(
        lists=len(EVENT_TYPES), since=_events_since, list_page=_list_events, compare=_compare_events
    ),
    SweepPhase.SUBSCRIPTIONS: Phase(
        since=lambda *_: None,
        list_page=_list_subscriptions,
        compare=_compare_subscriptions,
        finish=_finish_subscriptions,
    ),
    SweepPhase.PAYMENTS: payments.PAYMENTS,
    SweepPhase.REFUNDS: payments.REFUNDS,
    SweepPhase.DISPUTES: payments.DISPUTES,
}
