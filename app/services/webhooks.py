"""
What Stripe tells us: taken in at once, applied as refetches.

An event is answered 200 only when it is durably stored. Whoever applies it looks at what it is about, through a *handler*
for that kind of object; the composition root says which use case that is, since services do not know each other.
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
from app.db.subscriptions import ConcurrentUpdate
from app.domain import events
from app.domain.errors import StripeUnavailable
from app.domain.events import RefetchFirst, RefetchInstead
from app.domain.subscriptions import ForeignStripeObject, StripeSubscriptionState
from app.gateway import signatures, translate
from app.gateway.client import Gone

Handler = Callable[[str], Awaitable[object]]
CATCHING_UP = "catching-up"  # the lease of the one worker that does
MOST_LISTED = 5_000  # keys that are looked up by one listing: what is kept of them meanwhile is a few kilobytes each
DEPTH = 3  # a refund looks for its payment first, a payment for its subscription
log = structlog.get_logger()


async def accept(ctx: Context, body: bytes, signature: str | None, *, now: datetime) -> bool:
    """
    Keep a genuine event, once. What does not concern us is kept too, with the reason why it is ignored.

    :param now: real time.
    :returns: whether there is something to apply.
    :raises NotGenuine: it is not an event of Stripe's.
    :raises NotStored: it could not be stored.
    """
    secrets = [secret.get_secret_value() for secret in ctx.settings.webhook_secrets]
    text = signatures.verify(body, signature, secrets, now=now)
    refetch = events.with_mode(translate.refetch_request(text), livemode=ctx.settings.livemode)
    stored = await ctx.inbox_writer.store(ReceivedEvent(refetch, text))
    return stored and refetch.ignored is None


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A key that was looked at, with the events that were read before the look began."""

    claimed: leases.Claimed
    owner: str


def closing(ctx: DatabaseContext) -> Batcher[LookedAt, None]:
    """Return what closes events: those of all keys that were looked at meanwhile in one transaction, leases given back."""

    async def close(looked_at: Sequence[LookedAt]) -> list[None]:
        async with ctx.sessions.begin() as session:
            waited = await inbox.close_all(session, [(one.claimed.key, one.claimed.ids) for one in looked_at])
            for owner in {one.owner for one in looked_at}:
                await leases.release_all(
                    session, [one.claimed.key for one in looked_at if one.owner == owner], owner=owner
                )
        for seconds in waited:
            observability.EVENT_LAG.observe(seconds)
        return [None] * len(looked_at)

    return Batcher(close, retry_singly=(Exception,))


async def apply(
    ctx: DatabaseContext,
    handlers: Mapping[str, Handler],
    claimed: leases.Claimed,
    *,
    owner: str,
    most: int,
    done: Batcher[LookedAt, None],
) -> None:
    """
    Look at what the claimed events are about, and close exactly them.

    Never raises for what an event is about: what fails is put back with a pause, and is dead after ``most`` tries. While
    Stripe is away no try is counted, so an outage of whatever length kills nothing.
    """
    ids, released = claimed.ids, False
    try:
        if claimed.attempts > most:
            async with ctx.sessions.begin() as session:
                await inbox.bury(session, claimed.key, most=most)
            _count("dead", ids)
            log.error("events_dead", key=claimed.key, event_ids=ids)
            return
        await _look(handlers, claimed.key)
        await done.submit(LookedAt(claimed, owner))
        released = True
        _count("applied", ids)
        log.info("events_applied", key=claimed.key, event_ids=ids)
    except RefetchInstead as same:
        async with ctx.sessions.begin() as session:
            await inbox.move(session, ids, key=same.key)
            await leases.notify(session)
        log.info("events_moved", key=claimed.key, event_ids=ids, to=same.key)
    except (ForeignStripeObject, Gone) as foreign:
        async with ctx.sessions.begin() as session:
            await inbox.ignore(session, ids, reason=str(foreign))
        _count("ignored", ids)
        log.info("events_ignored", key=claimed.key, event_ids=ids, reason=str(foreign))
    except (StripeUnavailable, ConcurrentUpdate, *UNAVAILABLE) as away:
        error = f"{type(away).__name__}: {away}"
        async with ctx.sessions.begin() as session:
            await leases.later(session, "events", ids, attempts=claimed.attempts, error=error, counts=False)
            await inbox.wait(session, ids)
        _count("waits", ids)
        log.warning("events_wait", key=claimed.key, event_ids=ids, error=error)
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
        async with ctx.sessions.begin() as session:
            await leases.later(session, "events", ids, attempts=claimed.attempts, error=error)
            await inbox.fail(session, ids, most=most)
        _count("dead" if claimed.attempts >= most else "failed", ids)
        log.warning("events_failed", key=claimed.key, event_ids=ids, attempts=claimed.attempts, error=error)
    finally:
        if not released:
            async with ctx.sessions.begin() as session:
                await leases.release(session, claimed.key, owner=owner)


async def catch_up(
    ctx: Context,
    lists: Callable[[Collection[str]], Awaitable[Mapping[str, StripeSubscriptionState]]],
    do: Callable[[leases.Claimed, StripeSubscriptionState | None], Awaitable[None]],
    *,
    owner: str,
) -> bool:
    """
    Look a large backlog up by listing, a hundred in a call, where that needs fewer calls than looking at each.

    One worker does, while the others go on with the rest. What is claimed carries its version, read before the listing
    begins like the events themselves; each subscription is then saved and closed as ever, by ``do``, with what was listed of
    it.

    :returns: whether there was such a backlog.
    :raises StripeUnavailable: it could not be listed; all is put back.
    """
    async with ctx.sessions.begin() as session:
        if not events.should_list(*await inbox.backlog(session), above=ctx.settings.backlog_threshold):
            return False
        if not await leases.take(session, CATCHING_UP, owner=owner, lease=ctx.settings.lease):
            return False
    async with leases.held(ctx.sessions, CATCHING_UP, owner=owner, lease=ctx.settings.lease):
        async with ctx.sessions.begin() as session:
            claimed = await inbox.claim(session, owner=owner, lease=ctx.settings.lease, limit=MOST_LISTED)
        ids = [one.key.partition(":")[2] for one in claimed if one.version is not None]
        try:
            listed = await lists(ids)
        except StripeUnavailable as away:
            await _put_back(ctx, claimed, f"{type(away).__name__}: {away}", owner=owner)
            raise
        log.info("backlog_listed", claimed=len(claimed), listed=len(listed))
        each = iter(claimed)

        async def some() -> None:
            for one in each:
                await do(one, listed.get(one.key.partition(":")[2]) if one.version is not None else None)

        await asyncio.gather(*(some() for _ in range(ctx.settings.worker_concurrency)))
    return True


async def _put_back(ctx: Context, claimed: Sequence[leases.Claimed], error: str, *, owner: str) -> None:
    """Let events wait: it was no try."""
    ids = [event_id for one in claimed for event_id in one.ids]
    async with ctx.sessions.begin() as session:
        await leases.later(session, "events", ids, attempts=1, error=error, counts=False)
        await inbox.wait(session, ids)
        await leases.release_all(session, [one.key for one in claimed], owner=owner)
    log.warning("backlog_waits", events=len(ids), error=error)


def _count(outcome: str, ids: Sequence[str]) -> None:
    observability.EVENT_TRIES.labels(outcome).inc(len(ids))


async def _look(handlers: Mapping[str, Handler], key: str, depth: int = 0) -> None:
    kind, _, object_id = key.partition(":")
    try:
        await handlers[kind](object_id)
    except RefetchInstead as same:
        if not depth:
            raise
        await _look(handlers, same.key, depth)
    except RefetchFirst as parent:
        if depth >= DEPTH:
            raise
        await _look(handlers, parent.key, depth + 1)
        await _look(handlers, key, DEPTH)
