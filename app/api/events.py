"""``/v1/support/events``: the webhook inbox, for whoever operates it: what came, what became of it, and once more please."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, StringConstraints

from app import observability
from app.api.deps import Admin, Ctx
from app.api.models import STORABLE, ApiModel, Moment
from app.api.openapi import Described
from app.api.problems import problems
from app.db.events import StoredEvent
from app.domain.errors import NotFound
from app.domain.events import BROKEN, Selection, SelectionChanged
from app.services import events
from app.services.events import BadCursor, Told

router = APIRouter(prefix="/v1/support/events", tags=["operation"], route_class=Described)

State = Literal["received", "applied", "failed", "dead", "ignored"]
Word = Annotated[str, StringConstraints(min_length=1, max_length=255), STORABLE]


class EventOut(ApiModel):
    """An event, and what became of it."""

    id: str = Field(description="Stripe's; `knk_…` is a look that Newsstand ordered by itself.", examples=["evt_123"])
    type: str = Field(examples=["customer.subscription.updated"])
    state: State = Field(examples=["dead"])
    reason: str | None = Field(description="why it was ignored", examples=[None])
    last_error: str | None = Field(
        description="why it failed last", examples=["UnknownPlan: the catalogue has no plan quarterly"]
    )
    object: str | None = Field(description="the id of what it tells of", examples=["sub_123"])
    key: str | None = Field(
        description="what is looked at for it, as kind and id; null: nothing follows from it",
        examples=["subscription:sub_123"],
    )
    api_version: str | None = Field(examples=["2026-10-28.endive"])
    livemode: bool | None = Field(examples=[True])
    created_at: datetime | None = Field(
        description="Stripe's, in whole seconds: it tells nothing of the order.", examples=["2026-03-01T18:00:00Z"]
    )
    received_at: datetime = Field(examples=["2026-03-01T18:00:01Z"])
    applied_at: datetime | None = Field(examples=[None])
    due_at: datetime | None = Field(description="when it is tried next; null: it is not", examples=[None])
    attempts: int = Field(examples=[12])

    @classmethod
    def of(cls, event: StoredEvent) -> "EventOut":
        """Show an event."""
        return cls(**_fields(event))


class EventsOut(ApiModel):
    """A list, and where it goes on."""

    data: list[EventOut]
    next: str | None = Field(examples=[None])


class ToldOut(EventOut):
    """An event with what it said."""

    payload: dict[str, Any] = Field(
        description="As it came, but for secrets and links that need no sign-in.",
        examples=[{"id": "evt_123", "object": "event", "data": {"object": {"id": "sub_123"}}}],
    )

    @classmethod
    def all_of(cls, told: Told) -> "ToldOut":
        """Show an event with its payload."""
        return cls(**_fields(told.event), payload=told.payload)


class ReplayIn(ApiModel):
    """Which events are replayed: those that match all that is given."""

    model_config = ConfigDict(extra="forbid")

    state: list[State] = Field(
        default=["failed", "dead"], max_length=5, description="None given: failed and dead.", examples=[["dead"]]
    )
    type: Word | None = Field(
        default=None, description="whole, or its beginning and a star: `invoice.*`", examples=["invoice.*"]
    )
    object: Word | None = None
    key: Word | None = None
    since: Moment | None = None
    until: Moment | None = None
    dry_run: bool = Field(default=False, strict=True, description="Only count.", examples=[True])
    expected: Annotated[int, Field(ge=0, le=2**53, strict=True)] | None = Field(
        default=None, description="What a dry run counted: if it no longer holds, nothing happens."
    )


class ReplayedOut(ApiModel):
    """What came of it."""

    matched: int = Field(examples=[3])
    replayed: int = Field(description="are due now", examples=[3])
    without_effect: int = Field(
        description="are of a kind from which nothing follows, and stay put aside", examples=[0]
    )


def _fields(event: StoredEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "state": event.state,
        "reason": event.reason,
        "last_error": observability.redact(event.last_error),
        "object": event.object_id,
        "key": event.key,
        "api_version": event.api_version,
        "livemode": event.livemode,
        "created_at": event.created_at,
        "received_at": event.received_at,
        "applied_at": event.applied_at,
        "due_at": event.due_at,
        "attempts": event.attempts,
    }


@router.get("", responses=problems(BadCursor))
async def list_events(
    _: Admin,
    ctx: Ctx,
    state: Annotated[list[State] | None, Query(max_length=5, description="any of these")] = None,
    type: Annotated[Word | None, Query(description="whole, or its beginning and a star: `invoice.*`")] = None,  # noqa: A002
    object: Annotated[Word | None, Query(description="the id of what it tells of, or of what is looked at")] = None,  # noqa: A002
    key: Annotated[Word | None, Query(description="what is looked at, as kind and id: `subscription:sub_123`")] = None,
    since: Annotated[Moment | None, Query(description="received then or later")] = None,
    until: Annotated[Moment | None, Query(description="received before")] = None,
    after: Annotated[Word | None, Query(description="the `next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> EventsOut:
    """List events of the inbox, the newest first."""
    wanted = Selection(states=tuple(state or ()), type=type, object_id=object, key=key, since=since, until=until)
    found = await events.page(ctx, wanted, after=after, limit=limit)
    return EventsOut(data=[EventOut.of(event) for event in found.found], next=found.next)


@router.get("/{event_id}", responses=problems(NotFound))
async def show_event(event_id: str, _: Admin, ctx: Ctx) -> ToldOut:
    """Show one event, what it said and what became of it."""
    return ToldOut.all_of(await events.show(ctx, event_id))


@router.post("/replay", responses=problems(SelectionChanged))
async def replay_events(body: ReplayIn, admin: Admin, ctx: Ctx) -> ReplayedOut:
    """Have all events that match looked at again. What they are about is fetched afresh, so it may be done at any time."""
    wanted = Selection(
        states=tuple(body.state or BROKEN),
        type=body.type,
        object_id=body.object,
        key=body.key,
        since=body.since,
        until=body.until,
    )
    if body.dry_run:
        return ReplayedOut(matched=await events.count(ctx, wanted), replayed=0, without_effect=0)
    done = await events.replay(ctx, wanted, by=admin.actor, expected=body.expected)
    return ReplayedOut(matched=done.matched, replayed=done.replayed, without_effect=done.without_effect)


@router.post("/{event_id}/replay", responses=problems(NotFound))
async def replay_event(event_id: str, admin: Admin, ctx: Ctx) -> EventOut:
    """Have one event looked at again, whatever became of it."""
    return EventOut.of(await events.replay_one(ctx, event_id, by=admin.actor))
