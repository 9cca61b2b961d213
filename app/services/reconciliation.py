"""
Reconciliation: missed events are stored, and records that differ from Stripe's are fetched again.

A sweep lists Stripe's objects page by page. The differences of a page are saved with the position of the sweep in one
transaction, and repaired by refetches in the inbox, in the same way as a webhook. Objects with pending events are skipped,
and a difference counts only if it is still there when the object is fetched by itself: a list may be older than our records.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog

from app.aggregates import imports, missing_terms
from app.context import Context
from app.db import payments, refunds, subscriptions
from app.db import reconciliation as rows
from app.db.reconciliation import Sweep
from app.domain import events
from app.domain.customers import StripeCustomerState
from app.domain.errors import NotFound
from app.domain.events import InvalidEvent, with_mode
from app.domain.pages import Page
from app.domain.reconciliation import (
    EVENT_RETENTION,
    FULL_INTERVAL,
    Difference,
    ListedRefund,
    SweepKind,
    SweepPhase,
    batches,
    compare_payments,
    compare_refund,
    compare_subscription,
    comparison_start,
    next_phase,
    unknown_at_stripe,
)
from app.domain.subscriptions import StripeSubscriptionState, Subscription
from app.gateway import reconciliation as at_stripe
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gone
from app.gateway.events import refetch_request, storable_payload

RETENTION = timedelta(days=90)  # of completed sweeps
Progress = Callable[[Sweep], None]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Importing:
    """How the reader of an imported customer is found."""

    subs: Mapping[str, str] = field(default_factory=dict)  # customer to ``sub``, from the publisher's file
    metadata_key: str = "newsstand_sub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a sweep."""

    sweep: Sweep
    differences: list[Difference]

    @property
    def for_review(self) -> list[Difference]:
        """The differences that a refetch does not repair."""
        return [one for one in self.differences if one.key is None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The arguments of each phase."""

    ctx: Context
    now: datetime  # policy time
    since: datetime | None
    importing: Importing


async def begin(
    ctx: Context, *, kind: str, by: str, dry_run: bool, since: datetime | None, restart: bool = False
) -> tuple[Sweep, bool]:
    """
    Return an interrupted sweep with the same parameters, or a new one; and whether it was interrupted.

    :param restart: start a new sweep even if an interrupted one exists.
    """
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
    if sweep is None:
        raise NotFound("No such sweep")
    since = comparison_start(since=sweep.since, scheduled=sweep.scheduled, full_before=full_before, now=now)
    arguments = _Run(
        ctx=ctx,
        now=now,
        since=since,
        importing=importing or Importing(),
    )
    progress(sweep)
    while sweep.phase != SweepPhase.DONE:
        await _PHASES[sweep.phase](arguments, sweep)
        async with ctx.sessions.begin() as session:
            updated = await rows.by_id(session, sweep_id)
        if updated is None:
            raise NotFound("No such sweep")
        sweep = updated
        progress(sweep)
    async with ctx.sessions.begin() as session:
        found = await rows.differences(session, sweep_id)
        await rows.clear_due(session, sweep_id)
    for one in found:
        log.warning("difference_found", words=one.words, key=one.key, dry_run=sweep.dry_run)
    log.info("reconciled", sweep=sweep.id, kind=sweep.kind, differences=len(found), **sweep.counts)
    return Report(sweep=sweep, differences=found)


async def _events(run: _Run, sweep: Sweep) -> None:
    """Store the events of a page that we have not received."""
    types = batches(events.TYPES_WITH_EFFECT, of=at_stripe.MAX_EVENT_TYPES)
    number, after = sweep.cursor.get("types", 0), sweep.cursor.get("after")
    since = max(run.now - EVENT_RETENTION, sweep.since or run.now - EVENT_RETENTION)
    page = await at_stripe.events(
        run.ctx.gateway, types[number], since=since, undelivered=sweep.since is None, after=after
    )
    missed = []
    for text in page.items:
        try:
            refetch = with_mode(refetch_request(text), livemode=run.ctx.settings.livemode)
        except InvalidEvent:  # the phases that follow do not need it
            log.warning("event_malformed")
            continue
        if refetch.ignored is None:
            missed.append((refetch, storable_payload(text)))
    async with run.ctx.sessions.begin() as session:
        stored_ids = await rows.known_events(session, [refetch.event_id for refetch, _ in missed])
        new = [(refetch, text) for refetch, text in missed if refetch.event_id not in stored_ids]
        if not sweep.dry_run:
            await rows.insert_events(session, new)
        found = [
            Difference(
                object_id=refetch.event_id,
                words=f"event {refetch.event_id} ({refetch.type}): not received, created on {_created_at(refetch)}",
                key=refetch.key,
            )
            for refetch, _ in new
        ]
        phase, cursor = sweep.phase, {"types": number, "after": page.next}
        if page.next is None:
            cursor = {"types": number + 1}
            if number + 1 == len(types):
                phase, cursor = next_phase(sweep.kind, sweep.phase), {}
        await rows.advance(
            session,
            sweep,
            found,
            phase=phase,
            cursor=cursor,
            looked_at={SweepPhase.EVENTS: len(page.items)},
            refetch=False,
        )


def _created_at(refetch: events.RefetchRequest) -> str:
    return refetch.created_at.strftime("%Y-%m-%d %H:%M:%S UTC") if refetch.created_at else "an unknown date"


async def _subscriptions(run: _Run, sweep: Sweep) -> None:
    """Compare a page of subscriptions, and find those of ours in the same period that Stripe does not list."""
    page, customers = await at_stripe.subscriptions(
        run.ctx.gateway, after=sweep.cursor.get("after"), with_customers=sweep.kind == SweepKind.IMPORT
    )
    looked_at: dict[str, int] = {SweepPhase.SUBSCRIPTIONS: len(page.items)}
    conflicts: list[Difference] = []
    if sweep.kind == SweepKind.IMPORT:
        imported, conflicts = await _customers(run, sweep, page.items, customers)
        looked_at["subscribers"] = imported
    candidates = await _find_differing(run, sweep, page.items)
    candidates += await _find_unlisted(run, sweep, page)
    compared = [await _compare_again(run, sweep, stripe_id) for stripe_id in dict.fromkeys(candidates)]
    found = [difference for difference in compared if difference is not None]
    async with run.ctx.sessions.begin() as session:
        phase, cursor = _next_position(sweep, page.next)
        if page.next is not None:
            oldest = page.items[-1].created_at
            cursor["bound"] = oldest.isoformat()
            cursor["tied"] = [one.id for one in page.items if one.created_at == oldest]
        await rows.advance(session, sweep, [*conflicts, *found], phase=phase, cursor=cursor, looked_at=looked_at)


async def _customers(
    run: _Run, sweep: Sweep, states: Sequence[StripeSubscriptionState], customers: dict[str, StripeCustomerState]
) -> tuple[int, list[Difference]]:
    """Import customers with a subscription to one of our plans. Return how many, and the conflicts."""
    wanted = []
    for one in states:
        customer = customers.get(one.customer_id)
        if customer is not None and any(item.plan in run.ctx.rules.catalogue.plans for item in one.items):
            wanted.append(customer)
    async with run.ctx.sessions.begin() as session:
        return await imports.import_customers(
            session,
            {customer.id: customer for customer in wanted}.values(),
            subs=run.importing.subs,
            metadata_key=run.importing.metadata_key,
            by=sweep.by,
            dry_run=sweep.dry_run,
        )


async def _find_differing(run: _Run, sweep: Sweep, states: Sequence[StripeSubscriptionState]) -> list[str]:
    ids = [one.id for one in states]
    async with run.ctx.sessions.begin() as session:
        ours = await subscriptions.by_stripe_ids(session, ids)
        owners = await rows.known_customers(session, [one.customer_id for one in states])
        pending = await rows.pending_keys(session, [f"{events.RefetchKind.SUBSCRIPTION}:{one}" for one in ids])
    return [
        one.id
        for one in states
        if f"{events.RefetchKind.SUBSCRIPTION}:{one.id}" not in pending
        and _compare(run, sweep, ours.get(one.id), one, has_owner=one.customer_id in owners) is not None
    ]


def _compare(
    run: _Run, sweep: Sweep, ours: Subscription | None, theirs: StripeSubscriptionState, *, has_owner: bool
) -> Difference | None:
    has_owner = has_owner or (sweep.kind == SweepKind.IMPORT and sweep.dry_run)  # an import would create the subscriber
    return compare_subscription(ours, theirs, has_owner=has_owner, catalogue=run.ctx.rules.catalogue)


async def _find_unlisted(run: _Run, sweep: Sweep, page: Page[StripeSubscriptionState]) -> list[str]:
    """Return our subscriptions from the period of a page that are not on the page."""
    if sweep.kind == SweepKind.IMPORT:
        return []
    bound = sweep.cursor.get("bound")
    until = datetime.fromisoformat(bound) if bound is not None else None
    since = page.items[-1].created_at if page.next is not None else None
    listed = {*sweep.cursor.get("tied", ()), *(one.id for one in page.items)}
    async with run.ctx.sessions.begin() as session:
        ours = await subscriptions.list_created_between(session, since, until)
    return [stripe_id for stripe_id in ours if stripe_id not in listed]


async def _compare_again(run: _Run, sweep: Sweep, stripe_id: str) -> Difference | None:
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
    return _compare(run, sweep, ours, theirs, has_owner=bool(owners))


async def _payments(run: _Run, sweep: Sweep) -> None:
    """
    Compare the payments of a page of invoices, and the terms of those that were paid without a payment.

    Missing subscriptions were found in the phase before.
    """
    page = await at_stripe.invoices(run.ctx.gateway, since=run.since, after=sweep.cursor.get("after"))
    async with run.ctx.sessions.begin() as session:
        unpaid = await missing_terms.candidates(session, page.items)
    missing = await missing_terms.find(
        run.ctx.sessions, run.ctx.rules, unpaid, partial(subscriptions_at_stripe.fetch, run.ctx.gateway)
    )
    listed = [one for one in page.items if one.subscription_id is not None and one.invoice.payments]
    subscription_ids = [str(one.subscription_id) for one in listed]
    async with run.ctx.sessions.begin() as session:
        known_ids = {
            *(await subscriptions.by_stripe_ids(session, subscription_ids)),
            *(await rows.differing_objects(session, sweep.id, subscription_ids)),
        }
        our_payments = await payments.by_ids(session, [paid.id for one in listed for paid in one.invoice.payments])
        pending = await rows.pending_keys(
            session,
            [f"{events.RefetchKind.SUBSCRIPTION}:{one}" for one in subscription_ids]
            + [str(one.key) for one in missing],
        )
        found = [one for one in missing if one.key not in pending]
        found += [
            difference
            for one in listed
            if one.subscription_id in known_ids
            and f"{events.RefetchKind.SUBSCRIPTION}:{one.subscription_id}" not in pending
            for difference in compare_payments(one, our_payments)
        ]
        phase, cursor = _next_position(sweep, page.next)
        paid = sum(len(one.invoice.payments) for one in listed)
        await rows.advance(session, sweep, found, phase=phase, cursor=cursor, looked_at={SweepPhase.PAYMENTS: paid})


async def _refunds(run: _Run, sweep: Sweep) -> None:
    """Compare a page of refunds. An import includes those whose payment is not imported yet."""
    page = await at_stripe.refunds(run.ctx.gateway, since=run.since, after=sweep.cursor.get("after"))
    listed = [one for one in page.items if one.payment_id is not None]
    payment_ids = [str(one.payment_id) for one in listed]
    async with run.ctx.sessions.begin() as session:
        known_ids = {
            *(await payments.by_ids(session, payment_ids)),
            *(await rows.differing_objects(session, sweep.id, payment_ids)),
        }
        pending = await rows.pending_keys(session, [f"{events.RefetchKind.PAYMENT}:{one}" for one in payment_ids])
    found = []
    for one in listed:
        is_relevant = one.payment_id in known_ids or sweep.kind == SweepKind.IMPORT
        if is_relevant and f"{events.RefetchKind.PAYMENT}:{one.payment_id}" not in pending:
            difference = await _refund(run, one)
            if difference is not None:
                found.append(difference)
    async with run.ctx.sessions.begin() as session:
        phase, cursor = _next_position(sweep, page.next)
        await rows.advance(
            session, sweep, found, phase=phase, cursor=cursor, looked_at={SweepPhase.REFUNDS: len(listed)}
        )


async def _refund(run: _Run, listed: ListedRefund) -> Difference | None:
    """Return the difference of a refund, if it is still there when the refund is fetched by itself."""
    for fetch in (False, True):
        theirs = await at_stripe.refund(run.ctx.gateway, listed.refund.id) if fetch else listed.refund
        async with run.ctx.sessions.begin() as session:
            ours = await refunds.at_stripe(session, theirs.id, ours=theirs.ours, payment_id=str(listed.payment_id))
        difference = compare_refund(ours, ListedRefund(refund=theirs, payment_id=listed.payment_id))
        if difference is None:
            return None
    return difference


def _next_position(sweep: Sweep, following: str | None) -> tuple[str, dict[str, object]]:
    if following is None:
        return next_phase(sweep.kind, sweep.phase), {}
    return sweep.phase, {"after": following}


_PHASES: dict[str, Callable[[_Run, Sweep], Awaitable[None]]] = {
    SweepPhase.EVENTS: _events,
    SweepPhase.SUBSCRIPTIONS: _subscriptions,
    SweepPhase.PAYMENTS: _payments,
    SweepPhase.REFUNDS: _refunds,
}
