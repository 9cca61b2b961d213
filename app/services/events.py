"""The event inbox, for operators: listed, replayed and pruned."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.context import DatabaseContext
from app.db import audit, events
from app.db.engine.session import Session
from app.db.events import StoredEvent
from app.domain.errors import NotFound
from app.domain.events import InvalidEvent, Selection, SelectionChanged, with_mode
from app.domain.pages import BadCursor, Page, page_of
from app.domain.reconciliation import EVENT_RETENTION
from app.gateway import events as at_stripe

BATCH_SIZE = 1000  # events in one transaction
REDUCED_TOGETHER = 100  # payloads in one transaction; reducing them takes about 10 ms
UNKNOWN = "The event does not exist, or was deleted after its retention period"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventWithPayload:
    """An event with what is stored of its payload: IDs, type, version and times."""

    event: StoredEvent
    payload: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """How many events a replay selected."""

    matched: int
    replayed: int  # are due now
    without_effect: int  # are of a type that is not used, and stay ignored


async def page(ctx: DatabaseContext, selection: Selection, *, after: str | None, limit: int) -> Page[StoredEvent]:
    """
    Return selected events, the newest first.

    :raises BadCursor: ``after`` is not a cursor.
    """
    position = _position(after) if after is not None else None
    async with ctx.sessions.begin() as session:
        found = await events.page(session, selection, after=position, limit=limit + 1)
    return page_of(found, limit, cursor=_cursor)


async def get(ctx: DatabaseContext, event_id: str) -> EventWithPayload:
    """
    Return one event with what is stored of its payload.

    :raises NotFound: the event does not exist, or it was deleted after its retention period.
    """
    async with ctx.sessions.begin() as session:
        found = await events.by_id(session, event_id)
    if found is None:
        raise NotFound(UNKNOWN)
    return EventWithPayload(event=found[0], payload=json.loads(at_stripe.reduced_payload(found[1])))


async def count(ctx: DatabaseContext, selection: Selection) -> int:
    """Return how many events are selected."""
    async with ctx.sessions.begin() as session:
        return await events.count(session, selection)


async def replay_one(ctx: DatabaseContext, event_id: str, *, by: str) -> StoredEvent:
    """
    Replay an event in any state. Its object is fetched again, so this is always safe.

    :raises NotFound: the event does not exist, or it was deleted after its retention period.
    """
    async with ctx.sessions.begin() as session:
        found = await events.by_id(session, event_id)
        if found is None:
            raise NotFound(UNKNOWN)
        await _replay(session, [found[0]], livemode=ctx.settings.livemode)
        await audit.record(
            session, actor=by, action="event.replay", object_id=event_id, before={"state": found[0].state}
        )
        replayed = await events.by_id(session, event_id)
    assert replayed is not None
    return replayed[0]


async def replay(ctx: DatabaseContext, selection: Selection, *, by: str, expected: int | None = None) -> ReplayResult:
    """
    Replay all selected events, in batches.

    :param expected: the number of events that the caller has seen.
    :raises SelectionChanged: the number is different now.
    """
    matched = await count(ctx, selection)
    if expected is not None and matched != expected:
        raise SelectionChanged(expected=expected, matched=matched)
    seen, replayed, position = 0, 0, None
    while seen < matched:
        async with ctx.sessions.begin() as session:
            batch = await events.oldest(session, selection, after=position, limit=min(BATCH_SIZE, matched - seen))
            if not batch:
                break
            due = await _replay(session, batch, livemode=ctx.settings.livemode)
            facts = {**selection.facts(), "events": due}
            await audit.record(session, actor=by, action="event.replay_all", object_id="events", after=facts)
        seen, replayed, position = seen + len(batch), replayed + due, batch[-1].cursor
    return ReplayResult(matched=seen, replayed=replayed, without_effect=seen - replayed)


async def _replay(session: Session, batch: list[StoredEvent], *, livemode: bool) -> int:
    """Make events due and return how many. Unused ones are read again, because this release may use their type."""
    ids = []
    for event in batch:
        if event.key is None:
            payload = await events.payload_of(session, event.id) or ""
            try:
                refetch = with_mode(at_stripe.refetch_request(payload), livemode=livemode)
            except InvalidEvent:  # an earlier release stored something else
                continue
            await events.rekey(session, event.id, key=refetch.key, reason=refetch.ignored)
            if refetch.key is None:
                continue
        ids.append(event.id)
    await events.replay(session, ids)
    return len(ids)


async def prune(ctx: DatabaseContext) -> int:
    """
    Delete applied and ignored events after their retention period, in batches. Return how many there were.

    If Stripe sends a deleted event again, it is stored and applied like a new one: its object is fetched once more.
    """
    pruned, kept_for = 0, max(ctx.settings.events_kept, EVENT_RETENTION + timedelta(days=1))
    while True:
        async with ctx.sessions.begin() as session:
            deleted = await events.prune(session, kept_for=kept_for, limit=BATCH_SIZE)
        pruned += deleted
        if deleted < BATCH_SIZE:
            return pruned


async def reduce_payloads(ctx: DatabaseContext) -> int:
    """
    Reduce the payloads that an earlier release stored as they came, in batches. Return how many there were.

    It can be interrupted anywhere, and does nothing once all are reduced.
    """
    reduced = 0
    while True:
        async with ctx.sessions.begin() as session:
            batch = await events.reduce_payloads(session, at_stripe.reduced_payload, limit=REDUCED_TOGETHER)
        reduced += batch
        if batch < REDUCED_TOGETHER:
            return reduced


def _cursor(event: StoredEvent) -> str:
    return f"{event.received_at.isoformat()}~{event.id}"


def _position(cursor: str) -> tuple[datetime, str]:
    received, _, event_id = cursor.partition("~")
    try:
        at = datetime.fromisoformat(received)
    except ValueError:
        raise BadCursor from None
    if at.tzinfo is None or not event_id:
        raise BadCursor
    return at, event_id
