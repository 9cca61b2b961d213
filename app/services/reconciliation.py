"""
Our books against Stripe's: what was not delivered is taken in, and whatever differs is looked at anew.

A sweep goes through Stripe's lists page by page. What a page brings to light is saved with the place where the sweep goes
on, in one transaction, and mended by refetches in the inbox, through the same path that a webhook takes. What is about to be
applied anyway is no difference, and one that is gone at a second look was none: a list is older than our books may be.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from app.context import Context
from app.db import imports, payments, refunds, subscriptions
from app.db import reconciliation as rows
from app.db.reconciliation import Sweep
from app.domain import events
from app.domain.customers import StripeCustomerState
from app.domain.errors import NotFound
from app.domain.events import InvalidEvent, with_mode
from app.domain.reconciliation import (
    DONE,
    EVENT_RETENTION,
    EVENTS,
    FULL_INTERVAL,
    IMPORT,
    PAYMENTS,
    REFUNDS,
    SUBSCRIPTIONS,
    Difference,
    ListedRefund,
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
from app.gateway import translate
from app.gateway.client import Gone

KEPT_FOR = timedelta(days=90)  # what became of a sweep
Told = Callable[[Sweep], None]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Importing:
    """How it is known who an imported customer is."""

    subs: Mapping[str, str] = field(default_factory=dict)  # of the publisher's file: customer to ``sub``
    metadata_key: str = "newsstand_sub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a sweep looked at, and what it found."""

    sweep: Sweep
    differences: list[Difference]

    @property
    def for_people(self) -> list[Difference]:
        """What no look at Stripe would mend."""
        return [one for one in self.differences if one.key is None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What each step is handed."""

    ctx: Context
    now: datetime  # policy time
    since: datetime | None
    importing: Importing


async def begin(
    ctx: Context, *, kind: str, by: str, dry_run: bool, since: datetime | None, restart: bool = False
) -> tuple[Sweep, bool]:
    """
    Return a sweep to go through: one like it that was cut short, or a new one. And whether it is such a one.

    :param restart: start a new sweep even if an interrupted one exists.
    """
    async with ctx.sessions.begin() as session:
        cut = None if restart else await rows.unfinished(session, kind=kind, dry_run=dry_run, since=since)
        if cut is not None:
            return cut, True
        return await rows.begin(session, kind=kind, by=by, dry_run=dry_run, since=since), False


async def sizes(ctx: Context) -> dict[str, int]:
    """Return about how much there is to compare."""
    async with ctx.sessions.begin() as session:
        return await rows.sizes(session)


async def keep_schedule(ctx: Context, *, due_in: timedelta | None) -> None:
    """See to it that one sweep is to come by itself; None: that none is. What is long over is forgotten."""
    async with ctx.sessions.begin() as session:
        if due_in is None:
            await rows.unschedule(session)
        else:
            await rows.schedule(session, due_in=due_in)
        await rows.prune(session, kept_for=KEPT_FOR)


async def run(
    ctx: Context, sweep_id: str, *, now: datetime, told: Told = lambda _: None, importing: Importing | None = None
) -> Report:
    """
    Go through a sweep to its end, from wherever it was cut.

    :param told: is called after each page.
    :raises NotFound: there is no such sweep.
    :raises ConcurrentUpdate: somebody else goes on with it.
    :raises StripeUnavailable: Stripe does not answer; what was found is kept, and it can be gone on with.
    """
    async with ctx.sessions.begin() as session:
        sweep = await rows.by_id(session, sweep_id)
        full_before = await rows.finished_since(session, within=FULL_INTERVAL)
    if sweep is None:
        raise NotFound("there is no such sweep")
    since = comparison_start(since=sweep.since, scheduled=sweep.scheduled, full_before=full_before, now=now)
    handed = _Run(
        ctx=ctx,
        now=now,
        since=since,
        importing=importing or Importing(),
    )
    told(sweep)
    while sweep.phase != DONE:
        await _STEPS[sweep.phase](handed, sweep)
        async with ctx.sessions.begin() as session:
            again = await rows.by_id(session, sweep_id)
        if again is None:
            raise NotFound("there is no such sweep")
        sweep = again
        told(sweep)
    async with ctx.sessions.begin() as session:
        found = await rows.differences(session, sweep_id)
        await rows.rest(session, sweep_id)
    for one in found:
        log.warning("differs_from_stripe", words=one.words, key=one.key, dry_run=sweep.dry_run)
    log.info("reconciled", sweep=sweep.id, kind=sweep.kind, differences=len(found), **sweep.counts)
    return Report(sweep=sweep, differences=found)


async def _events(run: _Run, sweep: Sweep) -> None:
    """Take in a page of what Stripe told of and we have not heard."""
    types = batches(translate.TYPES_WITH_EFFECT, of=at_stripe.TYPES_AT_ONCE)
    number, after = sweep.cursor.get("types", 0), sweep.cursor.get("after")
    since = max(run.now - EVENT_RETENTION, sweep.since or run.now - EVENT_RETENTION)
    page = await at_stripe.events(
        run.ctx.gateway, types[number], since=since, undelivered=sweep.since is None, after=after
    )
    arrivals = []
    for text in page.found:
        try:
            refetch = with_mode(translate.refetch_request(text), livemode=run.ctx.settings.livemode)
        except InvalidEvent:  # nothing of an event but its name; the comparison that follows does without
            log.warning("event_not_understood")
            continue
        if refetch.ignored is None:
            arrivals.append((refetch, text))
    async with run.ctx.sessions.begin() as session:
        known = await rows.known_events(session, [refetch.event_id for refetch, _ in arrivals])
        new = [(refetch, text) for refetch, text in arrivals if refetch.event_id not in known]
        if not sweep.dry_run:
            await rows.take_in(session, new)
        found = [
            Difference(
                object_id=refetch.event_id,
                words=f"event {refetch.event_id} ({refetch.type}): not here, made at Stripe on {_when(refetch)}",
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
            session, sweep, found, phase=phase, cursor=cursor, looked_at={EVENTS: len(page.found)}, refetch=False
        )


def _when(refetch: events.RefetchRequest) -> str:
    return refetch.created_at.strftime("%Y-%m-%d %H:%M:%S UTC") if refetch.created_at else "an unknown day"


async def _subscriptions(run: _Run, sweep: Sweep) -> None:
    """Compare a page of subscriptions; and, of the same days, those of ours that Stripe does not list."""
    page, customers = await at_stripe.subscriptions(
        run.ctx.gateway, after=sweep.cursor.get("after"), with_customers=sweep.kind == IMPORT
    )
    looked_at = {SUBSCRIPTIONS: len(page.found)}
    problems: list[Difference] = []
    if sweep.kind == IMPORT:
        made, problems = await _customers(run, sweep, page.found, customers)
        looked_at["subscribers"] = made
    candidates = await _differing(run, sweep, page.found)
    candidates += await _unlisted(run, sweep, page)
    found = [one for stripe_id in dict.fromkeys(candidates) if (one := await _again(run, sweep, stripe_id)) is not None]
    async with run.ctx.sessions.begin() as session:
        phase, cursor = _onward(sweep, page.next)
        if page.next is not None:
            oldest = page.found[-1].created_at
            cursor["bound"] = oldest.isoformat()
            cursor["tied"] = [one.id for one in page.found if one.created_at == oldest]
        await rows.advance(session, sweep, [*problems, *found], phase=phase, cursor=cursor, looked_at=looked_at)


async def _customers(
    run: _Run, sweep: Sweep, seen: list[StripeSubscriptionState], customers: dict[str, StripeCustomerState]
) -> tuple[int, list[Difference]]:
    """Make subscribers of customers with a subscription of our catalogue. Returns how many, and what is in the way."""
    wanted = []
    for one in seen:
        customer = customers.get(one.customer_id)
        if customer is not None and any(item.plan in run.ctx.rules.catalogue.plans for item in one.items):
            wanted.append(customer)
    async with run.ctx.sessions.begin() as session:
        return await imports.subscribers_of(
            session,
            {customer.id: customer for customer in wanted}.values(),
            subs=run.importing.subs,
            metadata_key=run.importing.metadata_key,
            by=sweep.by,
            dry_run=sweep.dry_run,
        )


async def _differing(run: _Run, sweep: Sweep, seen: list[StripeSubscriptionState]) -> list[str]:
    ids = [one.id for one in seen]
    async with run.ctx.sessions.begin() as session:
        held = await subscriptions.by_stripe_ids(session, ids)
        owners = await rows.customers_among(session, [one.customer_id for one in seen])
        waiting = await rows.waiting(session, [f"{events.SUBSCRIPTION}:{one}" for one in ids])
    return [
        one.id
        for one in seen
        if f"{events.SUBSCRIPTION}:{one.id}" not in waiting
        and _compared(run, sweep, held.get(one.id), one, has_owner=one.customer_id in owners) is not None
    ]


def _compared(
    run: _Run, sweep: Sweep, held: Subscription | None, seen: StripeSubscriptionState, *, has_owner: bool
) -> Difference | None:
    has_owner = has_owner or (sweep.kind == IMPORT and sweep.dry_run)  # there would be one
    return compare_subscription(held, seen, has_owner=has_owner, catalogue=run.ctx.rules.catalogue)


async def _unlisted(run: _Run, sweep: Sweep, page: "at_stripe.Page[StripeSubscriptionState]") -> list[str]:
    """Return those of ours that were begun in the days of a page, and are not on it."""
    if sweep.kind == IMPORT:
        return []
    bound = sweep.cursor.get("bound")
    until = datetime.fromisoformat(bound) if bound is not None else None
    since = page.found[-1].created_at if page.next is not None else None
    seen = {*sweep.cursor.get("tied", ()), *(one.id for one in page.found)}
    async with run.ctx.sessions.begin() as session:
        ours = await subscriptions.begun_between(session, since, until)
    return [stripe_id for stripe_id in ours if stripe_id not in seen]


async def _again(run: _Run, sweep: Sweep, stripe_id: str) -> Difference | None:
    """Look at one subscription by itself: what a list said may be older than what we have."""
    try:
        seen = await at_stripe.subscription(run.ctx.gateway, stripe_id)
    except Gone:
        seen = None
    async with run.ctx.sessions.begin() as session:
        held = (await subscriptions.by_stripe_ids(session, [stripe_id])).get(stripe_id)
        if seen is None:
            return unknown_at_stripe(held) if held is not None else None
        owners = await rows.customers_among(session, [seen.customer_id])
    return _compared(run, sweep, held, seen, has_owner=bool(owners))


async def _payments(run: _Run, sweep: Sweep) -> None:
    """Compare a page of invoices, with what was paid on them. Those of subscriptions that we lack are told of there."""
    page = await at_stripe.invoices(run.ctx.gateway, since=run.since, after=sweep.cursor.get("after"))
    listed = [one for one in page.found if one.subscription_id is not None and one.invoice.payments]
    of = [str(one.subscription_id) for one in listed]
    async with run.ctx.sessions.begin() as session:
        ours = {*(await subscriptions.by_stripe_ids(session, of)), *(await rows.found_in(session, sweep.id, of))}
        held = await payments.by_ids(session, [paid.id for one in listed for paid in one.invoice.payments])
        waiting = await rows.waiting(session, [f"{events.SUBSCRIPTION}:{one}" for one in of])
        found = [
            difference
            for one in listed
            if one.subscription_id in ours and f"{events.SUBSCRIPTION}:{one.subscription_id}" not in waiting
            for difference in compare_payments(one, held)
        ]
        phase, cursor = _onward(sweep, page.next)
        paid = sum(len(one.invoice.payments) for one in listed)
        await rows.advance(session, sweep, found, phase=phase, cursor=cursor, looked_at={PAYMENTS: paid})


async def _refunds(run: _Run, sweep: Sweep) -> None:
    """Compare a page of refunds. An import has each looked at whose payment is not here yet; it may be about to be."""
    page = await at_stripe.refunds(run.ctx.gateway, since=run.since, after=sweep.cursor.get("after"))
    listed = [one for one in page.found if one.payment_id is not None]
    of = [str(one.payment_id) for one in listed]
    async with run.ctx.sessions.begin() as session:
        ours = {*(await payments.by_ids(session, of)), *(await rows.found_in(session, sweep.id, of))}
        waiting = await rows.waiting(session, [f"{events.PAYMENT}:{one}" for one in of])
    found = []
    for one in listed:
        if (one.payment_id in ours or sweep.kind == IMPORT) and f"{events.PAYMENT}:{one.payment_id}" not in waiting:
            difference = await _refund(run, one)
            if difference is not None:
                found.append(difference)
    async with run.ctx.sessions.begin() as session:
        phase, cursor = _onward(sweep, page.next)
        await rows.advance(session, sweep, found, phase=phase, cursor=cursor, looked_at={REFUNDS: len(listed)})


async def _refund(run: _Run, listed: ListedRefund) -> Difference | None:
    """Return in what a refund differs, at a second look too."""
    for look in (listed, None):
        seen = look.refund if look is not None else await at_stripe.refund(run.ctx.gateway, listed.refund.id)
        async with run.ctx.sessions.begin() as session:
            held = await refunds.at_stripe(session, seen.id, ours=seen.ours, payment_id=str(listed.payment_id))
        difference = compare_refund(held, ListedRefund(refund=seen, payment_id=listed.payment_id))
        if difference is None:
            return None
    return difference


def _onward(sweep: Sweep, following: str | None) -> tuple[str, dict[str, object]]:
    if following is None:
        return next_phase(sweep.kind, sweep.phase), {}
    return sweep.phase, {"after": following}


_STEPS: dict[str, Callable[[_Run, Sweep], Awaitable[None]]] = {
    EVENTS: _events,
    SUBSCRIPTIONS: _subscriptions,
    PAYMENTS: _payments,
    REFUNDS: _refunds,
}
