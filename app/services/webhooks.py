"""
Webhooks: Stripe's events are stored when they arrive, and applied later by a worker.

An event is acknowledged only after it is durably stored. To apply it, a worker passes the ID of the object that it is about
to the *handler* for that kind of object, which fetches the current state. The table of handlers is in :mod:`app.jobs`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from app import observability
from app.batching import Batcher
from app.context import Context, DatabaseContext
from app.db import inbox
from app.db.engine import leases
from app.db.engine.session import UNAVAILABLE
from app.db.inbox_writer import ReceivedEvent
from app.domain import events
from app.domain.errors import ConcurrentUpdate, StripeUnavailable
from app.domain.events import RefetchFirst, RefetchInstead
from app.domain.subscriptions import ForeignStripeObject, StripeSubscriptionState
from app.gateway import events as at_stripe
from app.gateway import signatures
from app.gateway.client import Gone

Handler = Callable[[str], Awaitable[object]]  # gets the ID of the object
CATCH_UP_KEY = "catching-up"  # the lease of the one worker that catches up
CATCH_UP_BATCH = leases.WINDOW  # keys whose states are listed and kept in memory, at a few kilobytes each
LARGE_BODY = 64 * 1024  # bytes; Stripe's events are far shorter
MAX_DEPTH = 3  # a refund needs its payment first, and a payment its subscription
log = structlog.get_logger()


async def accept(ctx: Context, body: bytes, signature: str | None, *, now: datetime) -> bool:
    """
    Store an event, once. An event that is not used is stored with the reason.

    :param now: real time.
    :returns: whether the event has to be applied.
    :raises InvalidEvent: it is not a signed Stripe event.
    :raises EventNotStored: the database failed.
    """
    secrets = [secret.get_secret_value() for secret in ctx.settings.webhook_secrets]
    if (
        len(body) > LARGE_BODY
    ):  # a thread, because hashing it takes milliseconds, in which the event loop would stand still
        text = await asyncio.to_thread(signatures.verify, body, signature, secrets, now=now)
    else:
        text = signatures.verify(body, signature, secrets, now=now)
    refetch = events.with_mode(at_stripe.refetch_request(text), livemode=ctx.settings.livemode)
    stored = await ctx.inbox_writer.store(ReceivedEvent(refetch, at_stripe.reduced_payload(text)))
    return stored and refetch.ignored is None


@dataclass(frozen=True, slots=True)
class AppliedEvents:
    """The events of a key that were read before its object was fetched, and whose handler has succeeded."""

    claimed: leases.Claimed
    owner: str


def event_closer(ctx: DatabaseContext) -> Batcher[AppliedEvents, None]:
    """Return a batcher that marks events as applied and releases their keys, in one transaction for each batch."""

    async def close(batch: Sequence[AppliedEvents]) -> list[None]:
        async with ctx.sessions.begin() as session:
            lags = await inbox.close(session, [(one.claimed.key, one.claimed.ids) for one in batch])
            for owner in {one.owner for one in batch}:
                await leases.release_all(session, [one.claimed.key for one in batch if one.owner == owner], owner=owner)
        for seconds in lags:
            observability.EVENT_LAG.observe(seconds)
        return [None] * len(batch)

    return Batcher(close, retry_singly=(Exception,))


async def apply(
    ctx: DatabaseContext,
    handlers: Mapping[str, Handler],
    claimed: leases.Claimed,
    *,
    owner: str,
    max_attempts: int,
    closer: Batcher[AppliedEvents, None],
) -> None:
    """
    Apply the claimed events, and mark exactly those as applied.

    A failed attempt is repeated after a pause, and after ``max_attempts`` the events have failed permanently. Attempts that
    fail because Stripe or the database is unavailable do not count. Never raises because of an event.
    """
    applied = False
    try:
        if claimed.attempts > max_attempts:  # each attempt ended the worker
            await _give_up(ctx, claimed, max_attempts=max_attempts)
            return
        await _handle(handlers, claimed.key)
        await closer.submit(AppliedEvents(claimed, owner))
        applied = True  # and released
        _count("applied", claimed.ids)
        log.info("events_applied", key=claimed.key, event_ids=claimed.ids)
    except RefetchInstead as other:
        await _move(ctx, claimed, key=other.key)
    except (ForeignStripeObject, Gone) as foreign:
        await _ignore(ctx, claimed, reason=str(foreign))
    except (StripeUnavailable, ConcurrentUpdate, *UNAVAILABLE) as outage:
        await _postpone(ctx, claimed, outage)
    except Exception as failure:
        await _fail(ctx, claimed, failure, max_attempts=max_attempts)
    finally:
        if not applied:
            async with ctx.sessions.begin() as session:
                await leases.release(session, claimed.key, owner=owner)


async def _handle(handlers: Mapping[str, Handler], key: str, depth: int = 0) -> None:
    kind, _, object_id = key.partition(":")
    try:
        await handlers[kind](object_id)
    except RefetchInstead as other:
        if not depth:
            raise
        await _handle(handlers, other.key, depth)
    except RefetchFirst as parent:
        if depth >= MAX_DEPTH:
            raise
        await _handle(handlers, parent.key, depth + 1)
        await _handle(handlers, key, MAX_DEPTH)


async def _give_up(ctx: DatabaseContext, claimed: leases.Claimed, *, max_attempts: int) -> None:
    async with ctx.sessions.begin() as session:
        await inbox.mark_dead(session, claimed.key, most=max_attempts)
    _count("dead", claimed.ids)
    log.error("events_dead", key=claimed.key, event_ids=claimed.ids)


async def _move(ctx: DatabaseContext, claimed: leases.Claimed, *, key: str) -> None:
    async with ctx.sessions.begin() as session:
        await inbox.move(session, claimed.ids, key=key)
        await leases.notify(session, "events")
    log.info("events_moved", key=claimed.key, event_ids=claimed.ids, to=key)


async def _ignore(ctx: DatabaseContext, claimed: leases.Claimed, *, reason: str) -> None:
    async with ctx.sessions.begin() as session:
        await inbox.ignore(session, claimed.ids, reason=reason)
    _count("ignored", claimed.ids)
    log.info("events_ignored", key=claimed.key, event_ids=claimed.ids, reason=reason)


async def _postpone(ctx: DatabaseContext, claimed: leases.Claimed, outage: Exception) -> None:
    error = f"{type(outage).__name__}: {outage}"
    async with ctx.sessions.begin() as session:
        await leases.reschedule(session, "events", claimed.ids, attempts=claimed.attempts, error=error, counts=False)
        await inbox.mark_waiting(session, claimed.ids)
    _count("waits", claimed.ids)
    log.warning("events_postponed", key=claimed.key, event_ids=claimed.ids, error=error)


async def _fail(ctx: DatabaseContext, claimed: leases.Claimed, failure: Exception, *, max_attempts: int) -> None:
    ids, attempts, error = claimed.ids, claimed.attempts, f"{type(failure).__name__}: {failure}"
    async with ctx.sessions.begin() as session:
        await leases.reschedule(session, "events", ids, attempts=attempts, error=error)
        await inbox.mark_failed(session, ids, most=max_attempts)
    _count("dead" if attempts >= max_attempts else "failed", ids)
    log.warning("events_failed", key=claimed.key, event_ids=ids, attempts=attempts, error=error)


async def catch_up(
    ctx: DatabaseContext,
    fetch_all: Callable[[Collection[str]], Awaitable[Mapping[str, StripeSubscriptionState]]],
    apply_events: Callable[[leases.Claimed, StripeSubscriptionState | None], Awaitable[None]],
    *,
    owner: str,
) -> bool:
    """
    Apply a large backlog with fewer calls: list subscriptions, a hundred for each call, instead of fetching each.

    One worker does this, and the others continue with the rest. A claim has the version of our copy, which is read before
    the listing begins, like the events themselves. ``apply_events`` then saves each listed state as usual.

    :returns: whether the backlog was large enough.
    :raises StripeUnavailable: the listing failed; the events are due again after a pause.
    """
    lease = ctx.settings.lease
    async with ctx.sessions.begin() as session:
        if not events.should_list(*await inbox.backlog(session), above=ctx.settings.backlog_threshold):
            return False
        if not await leases.take(session, CATCH_UP_KEY, owner=owner, lease=lease):
            return False
    in_hand: dict[str, Sequence[str]] = {}  # the event IDs of each key
    async with (
        leases.keep_lease(ctx.sessions, CATCH_UP_KEY, owner=owner, lease=lease),
        leases.renewing(ctx.sessions, in_hand, owner=owner, lease=lease),
        leases.postponing(ctx.sessions, "events", in_hand, lease=lease),
    ):
        async with ctx.sessions.begin() as session:
            claimed = await inbox.claim(session, owner=owner, lease=lease, limit=CATCH_UP_BATCH)
        in_hand.update((one.key, one.ids) for one in claimed)
        try:
            listed = await fetch_all([_object_id(one) for one in claimed if one.version is not None])
        except StripeUnavailable as outage:
            await _postpone_all(ctx, claimed, outage, owner=owner)
            raise
        log.info("backlog_listed", claimed=len(claimed), listed=len(listed))
        queue = iter(claimed)

        async def apply_next() -> None:
            for one in queue:
                if await leases.begin(ctx.sessions, one, owner=owner, lease=lease):
                    await apply_events(one, listed.get(_object_id(one)) if one.version is not None else None)
                del in_hand[one.key]

        async with asyncio.TaskGroup() as tasks:
            for _ in range(ctx.settings.worker_concurrency):
                tasks.create_task(apply_next())
    return True


async def _postpone_all(
    ctx: DatabaseContext, claimed: Sequence[leases.Claimed], outage: Exception, *, owner: str
) -> None:
    """Make events due again after a pause, without counting the attempt."""
    ids, error = [event_id for one in claimed for event_id in one.ids], f"{type(outage).__name__}: {outage}"
    async with ctx.sessions.begin() as session:
        await leases.reschedule(session, "events", ids, attempts=1, error=error, counts=False)
        await inbox.mark_waiting(session, ids)
        await leases.release_all(session, [one.key for one in claimed], owner=owner)
    log.warning("backlog_postponed", events=len(ids), error=error)


def _object_id(claimed: leases.Claimed) -> str:
    return claimed.key.partition(":")[2]


def _count(outcome: str, ids: Sequence[str]) -> None:
    observability.EVENT_TRIES.labels(outcome).inc(len(ids))
