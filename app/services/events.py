"""The inbox, as operators work with it: what came and what became of it, looked at, replayed, and forgotten in time."""

import json
from dataclasses import dataclass
from datetime import datetime

from app import observability
from app.context import DatabaseContext
from app.db import audit, events
from app.db.engine.session import Session
from app.db.events import StoredEvent
from app.domain.errors import Invalid, NotFound
from app.domain.events import Selection, SelectionChanged, with_mode
from app.gateway import translate

AT_ONCE = 1000  # events that one transaction changes
LINKS = frozenset({"url", "hosted_invoice_url", "invoice_pdf", "receipt_url", "hosted_voucher_url"})  # open doors


class BadCursor(Invalid):
    """The cursor must be the `next` value of the previous page."""

    code = "bad_cursor"
    title = "Invalid cursor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of a list, and where it goes on."""

    found: list[StoredEvent]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event with what it said, without what opens doors: secrets, and links that need no sign-in."""

    event: StoredEvent
    payload: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of a replay."""

    matched: int  # were selected
    replayed: int  # are due now
    without_effect: int  # are of a kind from which nothing follows: they stay put aside


async def page(ctx: DatabaseContext, wanted: Selection, *, after: str | None, limit: int) -> Page:
    """
    Return selected events, the newest first.

    :raises BadCursor: ``after`` is no place in the list.
    """
    place = _place(after) if after is not None else None
    async with ctx.sessions.begin() as session:
        found = await events.page(session, wanted, after=place, limit=limit + 1)
    return Page(found=found[:limit], next=_cursor(found[limit - 1]) if len(found) > limit else None)


async def show(ctx: DatabaseContext, event_id: str) -> Told:
    """
    Return one event with what it said.

    :raises NotFound: there is none of that id, or it was forgotten since.
    """
    async with ctx.sessions.begin() as session:
        found = await events.by_id(session, event_id)
    if found is None:
        raise NotFound("there is no such event, or it was applied long ago and forgotten")
    return Told(event=found[0], payload=observability.redact(json.loads(found[1]), also=LINKS))


async def count(ctx: DatabaseContext, wanted: Selection) -> int:
    """Return how many events are selected."""
    async with ctx.sessions.begin() as session:
        return await events.count(session, wanted)


async def replay_one(ctx: DatabaseContext, event_id: str, *, by: str) -> StoredEvent:
    """
    Have one event looked at again, whatever became of it. Its object is fetched afresh, so that does no harm.

    :raises NotFound: there is none of that id, or it was forgotten since.
    """
    async with ctx.sessions.begin() as session:
        found = await events.by_id(session, event_id)
        if found is None:
            raise NotFound("there is no such event, or it was applied long ago and forgotten")
        await _replay(session, [found[0]], livemode=ctx.settings.livemode)
        await audit.record(
            session, actor=by, action="event.replay", object_id=event_id, before={"state": found[0].state}
        )
        again = await events.by_id(session, event_id)
    assert again is not None
    return again[0]


async def replay(ctx: DatabaseContext, wanted: Selection, *, by: str, expected: int | None = None) -> Replayed:
    """
    Have all selected events looked at again, a thousand in each transaction.

    :param expected: how many the caller was told there are.
    :raises SelectionChanged: there are others by now.
    """
    matched = await count(ctx, wanted)
    if expected is not None and matched != expected:
        raise SelectionChanged(expected=expected, matched=matched)
    seen, done, place = 0, 0, None
    while seen < matched:
        async with ctx.sessions.begin() as session:
            batch = await events.oldest(session, wanted, after=place, limit=min(AT_ONCE, matched - seen))
            if not batch:
                break
            due = await _replay(session, batch, livemode=ctx.settings.livemode)
            facts = {**wanted.facts(), "events": due}
            await audit.record(session, actor=by, action="event.replay_all", object_id="events", after=facts)
        seen, done, place = seen + len(batch), done + due, batch[-1].cursor
    return Replayed(matched=seen, replayed=done, without_effect=seen - done)


async def _replay(session: Session, found: list[StoredEvent], *, livemode: bool) -> int:
    """Make events due, and return how many. Those from which nothing followed are read again: this release may know more."""
    ids = []
    for event in found:
        if event.key is None:
            refetch = with_mode(
                translate.refetch_request(await events.payload_of(session, event.id) or ""), livemode=livemode
            )
            await events.rekey(session, event.id, key=refetch.key, reason=refetch.ignored)
            if refetch.key is None:
                continue
        ids.append(event.id)
    await events.replay(session, ids)
    return len(ids)


async def prune(ctx: DatabaseContext) -> int:
    """Forget events that were applied or put aside, some time after they came. Returns how many there were."""
    forgotten = 0
    while True:
        async with ctx.sessions.begin() as session:
            gone = await events.prune(session, kept_for=ctx.settings.events_kept, limit=AT_ONCE)
        forgotten += gone
        if gone < AT_ONCE:
            return forgotten


def _cursor(event: StoredEvent) -> str:
    return f"{event.received_at.isoformat()}~{event.id}"


def _place(cursor: str) -> tuple[datetime, str]:
    received, _, event_id = cursor.partition("~")
    try:
        at = datetime.fromisoformat(received)
    except ValueError:
        raise BadCursor from None
    if at.tzinfo is None or not event_id:
        raise BadCursor
    return at, event_id
