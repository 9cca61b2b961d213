"""``/v1/support/events``: the webhook inbox for operators: list, show and replay events."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from app import observability
from app.api.deps import Admin, Ctx
from app.api.models import ApiModel, Moment, Word
from app.api.openapi import Described
from app.api.problems import problems
from app.db.events import StoredEvent
from app.domain.errors import NotFound
from app.domain.events import REPLAYABLE, Selection, SelectionChanged
from app.domain.pages import BadCursor
from app.services import events
from app.services.events import EventWithPayload

router = APIRouter(prefix="/v1/support/events", tags=["operation"], route_class=Described)

State = Literal["received", "applied", "failed", "dead", "ignored"]


class EventOut(ApiModel):
    """A Stripe event and its state."""

    id: str = Field(
        description="Stripe's ID; `knk_…` is a refetch that Newsstand requested itself.", examples=["evt_123"]
    )
    type: str = Field(examples=["customer.subscription.updated"])
    state: State = Field(examples=["dead"])
    reason: str | None = Field(description="Why the event was ignored.", examples=[None])
    last_error: str | None = Field(
        description="The last error.", examples=["UnknownPlan: the catalogue has no plan quarterly"]
    )
    object: str | None = Field(description="ID of the Stripe object.", examples=["sub_123"])
    key: str | None = Field(
        description="The object that is fetched, as kind and ID; null if the event is not used.",
        examples=["subscription:sub_123"],
    )
    api_version: str | None = Field(examples=["2026-10-28.endive"])
    livemode: bool | None = Field(examples=[True])
    created_at: datetime | None = Field(
        description="Stripe's creation time in whole seconds. It does not give the order of events.",
        examples=["2026-03-01T18:00:00Z"],
    )
    received_at: datetime = Field(examples=["2026-03-01T18:00:01Z"])
    applied_at: datetime | None = Field(examples=[None])
    due_at: datetime | None = Field(description="Time of the next attempt; null if there is none.", examples=[None])
    attempts: int = Field(examples=[12])

    @classmethod
    def of(cls, event: StoredEvent) -> "EventOut":
        """Return the body for an event."""
        return cls(**_fields(event))


class EventsOut(ApiModel):
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[EventOut]
    next: str | None = Field(examples=[None])


class EventWithPayloadOut(EventOut):
    """An event with its payload."""

    payload: dict[str, Any] = Field(
        description="What is stored of the payload: IDs, type, version and times. Nothing about a person.",
        examples=[{"id": "evt_123", "object": "event", "data": {"object": {"id": "sub_123"}}}],
    )

    @classmethod
    def all_of(cls, found: EventWithPayload) -> "EventWithPayloadOut":
        """Return the body for an event with its payload."""
        return cls(**_fields(found.event), payload=found.payload)


class ReplayIn(ApiModel):
    """The filter: events that match all given fields are replayed."""

    model_config = ConfigDict(extra="forbid")

    state: list[State] = Field(
        default=["failed", "dead"], max_length=5, description="Default: failed and dead.", examples=[["dead"]]
    )
    type: Word | None = Field(
        default=None, description="Exact match, or a prefix and a star: `invoice.*`.", examples=["invoice.*"]
    )
    object: Word | None = None
    key: Word | None = None
    since: Moment | None = None
    until: Moment | None = None
    dry_run: bool = Field(
        default=False, strict=True, description="Count the matching events without replaying them.", examples=[True]
    )
    expected: Annotated[int, Field(ge=0, le=2**53, strict=True)] | None = Field(
        default=None, description="The count of a dry run. If it has changed, nothing is replayed."
    )


class ReplayResultOut(ApiModel):
    """The result of a replay."""

    matched: int = Field(examples=[3])
    replayed: int = Field(description="Number of events queued.", examples=[3])
    without_effect: int = Field(
        description="Number of events of types that are not used; they remain ignored.", examples=[0]
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
    state: Annotated[list[State] | None, Query(max_length=5, description="Any of these states.")] = None,
    type: Annotated[Word | None, Query(description="Exact match, or a prefix and a star: `invoice.*`.")] = None,  # noqa: A002
    object: Annotated[Word | None, Query(description="ID of the Stripe object, or of the fetched object.")] = None,  # noqa: A002
    key: Annotated[
        Word | None, Query(description="The object that is fetched, as kind and ID: `subscription:sub_123`.")
    ] = None,
    since: Annotated[Moment | None, Query(description="Received at or after this time.")] = None,
    until: Annotated[Moment | None, Query(description="Received before this time.")] = None,
    after: Annotated[Word | None, Query(description="`next` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> EventsOut:
    """List events, newest first."""
    wanted = Selection(states=tuple(state or ()), type=type, object_id=object, key=key, since=since, until=until)
    found = await events.page(ctx, wanted, after=after, limit=limit)
    return EventsOut(data=[EventOut.of(event) for event in found.items], next=found.next)


@router.get("/{event_id}", responses=problems(NotFound))
async def show_event(event_id: str, _: Admin, ctx: Ctx) -> EventWithPayloadOut:
    """Retrieve an event with what is stored of its payload."""
    return EventWithPayloadOut.all_of(await events.get(ctx, event_id))


@router.post("/replay", responses=problems(SelectionChanged))
async def replay_events(body: ReplayIn, admin: Admin, ctx: Ctx) -> ReplayResultOut:
    """Replay all matching events. Always safe: the current state of each object is fetched from Stripe."""
    wanted = Selection(
        states=tuple(body.state or REPLAYABLE),
        type=body.type,
        object_id=body.object,
        key=body.key,
        since=body.since,
        until=body.until,
    )
    if body.dry_run:
        return ReplayResultOut(matched=await events.count(ctx, wanted), replayed=0, without_effect=0)
    done = await events.replay(ctx, wanted, by=admin.actor, expected=body.expected)
    return ReplayResultOut(matched=done.matched, replayed=done.replayed, without_effect=done.without_effect)


@router.post("/{event_id}/replay", responses=problems(NotFound))
async def replay_event(event_id: str, admin: Admin, ctx: Ctx) -> EventOut:
    """Replay an event in any state."""
    return EventOut.of(await events.replay_one(ctx, event_id, by=admin.actor))
