"""``/v1/webhook-endpoints``: where the publisher's systems receive events, and the log of their deliveries."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from app.api.deps import Admin, Ctx, RecentAdmin
from app.api.listed_values import DeliveryStatusText, DisabledReasonText, EndpointStatus, EventTypeText
from app.api.models import STORABLE, ApiModel, Moment, Word
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import NotFound
from app.domain.webhook_deliveries import DeliveryStatus, InvalidReplay, Replay, WebhookDelivery
from app.domain.webhook_endpoints import (
    DEFAULT_OVERLAP,
    LONGEST_NAME,
    LONGEST_OVERLAP,
    LONGEST_URL,
    EndpointDisabled,
    InvalidEndpointUrl,
    InvalidOverlap,
    InvalidSecret,
    PrivateAddress,
    TooManyEndpoints,
    UnknownEventType,
    WebhookEndpoint,
)
from app.services import webhook_deliveries, webhook_endpoints
from app.services.webhook_endpoints import NewSecret

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["operation"], route_class=Described)
HOUR = timedelta(hours=1)
TYPES = "Types of events that it gets; empty: all."


class WebhookEndpointIn(ApiModel):
    """The endpoint to add."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), STORABLE] = Field(examples=["the site"])
    url: Annotated[str, Field(min_length=1, max_length=LONGEST_URL), STORABLE] = Field(
        description="Over `https`, at a public address.", examples=["https://hooks.example.com/newsstand"]
    )
    types: list[Word] = Field(default=[], max_length=50, description=TYPES, examples=[["entitlements.changed"]])
    secret: Annotated[str, Field(max_length=200), STORABLE] | None = Field(
        default=None,
        description="`whsec_` and 24 to 64 bytes in base64. Without one, a new secret is made.",
        examples=[None],
    )


class SecretRotationIn(ApiModel):
    """How long the old secret remains valid."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: int = Field(
        default=DEFAULT_OVERLAP // HOUR, ge=0, le=LONGEST_OVERLAP // HOUR, strict=True, examples=[24]
    )


class WebhookReplayIn(ApiModel):
    """What to send again: one event, or those of a period."""

    model_config = ConfigDict(extra="forbid")

    event: Word | None = Field(default=None, description="ID of the event.", examples=[None])
    since: Moment | None = Field(default=None, description="The beginning of the period.")
    until: Moment | None = Field(default=None, description="Its end; without one: now.")
    types: list[Word] = Field(
        default=[], max_length=50, description="Only these types; empty: all.", examples=[["copy.mailed"]]
    )
    only_undelivered: bool = Field(
        default=True, strict=True, description="Whether events of the period that were delivered are left out."
    )

    def to_replay(self) -> Replay:
        """Return the wanted replay."""
        return Replay(
            event_id=self.event,
            since=self.since,
            until=self.until,
            types=tuple(self.types),
            only_undelivered=self.only_undelivered,
        )


class WebhookEndpointOut(ApiModel):
    """A webhook endpoint, without its secret."""

    id: str = Field(examples=["whe_0c5e"])
    name: str = Field(examples=["the site"])
    url: str = Field(examples=["https://hooks.example.com/newsstand"])
    types: list[EventTypeText] = Field(description=TYPES, examples=[["entitlements.changed"]])
    status: EndpointStatus = Field(
        description="`enabled`, `failing` (the last attempt failed) or `disabled`.", examples=["enabled"]
    )
    created_at: datetime = Field(examples=["2026-03-08T18:00:00Z"])
    created_by: str = Field(examples=["staff:admin-1"])
    failing_since: datetime | None = Field(description="The first failure since the last success.", examples=[None])
    disabled_at: datetime | None = Field(examples=[None])
    disabled_reason: DisabledReasonText | None = Field(
        description="Why it is disabled: by `staff`, because it kept `failing`, or because it returned 410 (`gone`).",
        examples=[None],
    )
    previous_secret_expires_at: datetime | None = Field(
        description="Until when requests are signed with both secrets.", examples=[None]
    )

    @classmethod
    def of(cls, found: WebhookEndpoint) -> "WebhookEndpointOut":
        """Return the body for an endpoint."""
        return cls(
            id=found.id,
            name=found.name,
            url=found.url,
            types=list(found.types),
            status=found.status,
            created_at=found.created_at,
            created_by=found.created_by,
            failing_since=found.failing_since,
            disabled_at=found.disabled_at,
            disabled_reason=found.disabled_reason,
            previous_secret_expires_at=found.previous_secret_expires_at,
        )


class WebhookEndpointsOut(ApiModel):
    """All webhook endpoints, the oldest first."""

    data: list[WebhookEndpointOut]


class NewWebhookSecretOut(ApiModel):
    """A webhook endpoint and its new secret, which is shown only here."""

    endpoint: WebhookEndpointOut
    secret: str = Field(examples=["whsec_…"])

    @classmethod
    def of(cls, made: NewSecret) -> "NewWebhookSecretOut":
        """Return the body for a new secret."""
        return cls(endpoint=WebhookEndpointOut.of(made.endpoint), secret=made.secret)


class WebhookDeliveryOut(ApiModel):
    """An event for an endpoint, and the last attempt to deliver it."""

    event: str = Field(description="Its ID, which the header `webhook-id` has.", examples=["obx_0c5e"])
    sequence: int = Field(examples=[4711])
    type: EventTypeText = Field(examples=["entitlements.changed"])
    status: DeliveryStatusText = Field(
        description="`pending`, `delivered`, `failed` (given up after three days) or `canceled` (with its endpoint).",
        examples=["delivered"],
    )
    attempts: int = Field(examples=[1])
    created_at: datetime = Field(examples=["2026-03-08T18:00:00Z"])
    last_tried_at: datetime | None = Field(examples=["2026-03-08T18:00:00Z"])
    finished_at: datetime | None = Field(examples=["2026-03-08T18:00:01Z"])
    response_status: int | None = Field(description="The HTTP status of the last response.", examples=[204])
    error: str | None = Field(description="Why there was no response.", examples=[None])
    response_body: str | None = Field(description="The first 1,024 bytes of the last response body.", examples=[None])
    duration_ms: int | None = Field(examples=[38])

    @classmethod
    def of(cls, found: WebhookDelivery) -> "WebhookDeliveryOut":
        """Return the body for a delivery."""
        return cls(
            event=found.event_id,
            sequence=found.sequence,
            type=found.type,
            status=found.status,
            attempts=found.attempts,
            created_at=found.created_at,
            last_tried_at=found.last_tried_at,
            finished_at=found.finished_at,
            response_status=found.response_status,
            error=found.error,
            response_body=found.response_body,
            duration_ms=found.duration_ms,
        )


class WebhookDeliveriesOut(ApiModel):
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[WebhookDeliveryOut]
    next: str | None = Field(examples=[None])


class WebhookReplayOut(ApiModel):
    """How many events are sent again."""

    queued: int = Field(examples=[12])


class WebhookTestOut(ApiModel):
    """The event that was sent as a test."""

    event: str = Field(examples=["obx_0c5e"])


@router.get("")
async def list_webhook_endpoints(_: Admin, ctx: Ctx) -> WebhookEndpointsOut:
    """List all webhook endpoints."""
    return WebhookEndpointsOut(data=[WebhookEndpointOut.of(one) for one in await webhook_endpoints.list_all(ctx)])


@router.post(
    "",
    status_code=201,
    responses=problems(InvalidEndpointUrl, PrivateAddress, UnknownEventType, InvalidSecret, TooManyEndpoints),
)
async def create_webhook_endpoint(
    body: WebhookEndpointIn, admin: RecentAdmin, response: Response, ctx: Ctx
) -> NewWebhookSecretOut:
    """Add a webhook endpoint. It gets the events from now on. The secret is shown only here."""
    response.headers["Cache-Control"] = "no-store"
    made = await webhook_endpoints.add(
        ctx, name=body.name, url=body.url, types=body.types, secret=body.secret, by=admin.actor
    )
    return NewWebhookSecretOut.of(made)


@router.delete("/{endpoint_id}", status_code=204, responses=problems(NotFound))
async def delete_webhook_endpoint(endpoint_id: str, admin: Admin, ctx: Ctx) -> None:
    """Delete a webhook endpoint. Its pending deliveries are canceled."""
    await webhook_endpoints.remove(ctx, endpoint_id, by=admin.actor)


@router.post("/{endpoint_id}/rotate", status_code=201, responses=problems(NotFound, InvalidOverlap))
async def rotate_webhook_secret(
    endpoint_id: str, body: SecretRotationIn, admin: RecentAdmin, response: Response, ctx: Ctx
) -> NewWebhookSecretOut:
    """Replace the secret of a webhook endpoint. Both secrets sign during the overlap."""
    response.headers["Cache-Control"] = "no-store"
    overlap = timedelta(hours=body.overlap_hours)
    return NewWebhookSecretOut.of(await webhook_endpoints.rotate(ctx, endpoint_id, by=admin.actor, overlap=overlap))


@router.post("/{endpoint_id}/disable", responses=problems(NotFound))
async def disable_webhook_endpoint(endpoint_id: str, admin: Admin, ctx: Ctx) -> WebhookEndpointOut:
    """
    Stop sending events to a webhook endpoint. A repeated request has no further effect.

    While an endpoint is disabled, new events are not queued for it. Enabling it resumes the deliveries that were pending.
    Replay the events in between.
    """
    return WebhookEndpointOut.of(await webhook_endpoints.disable(ctx, endpoint_id, by=admin.actor))


@router.post("/{endpoint_id}/enable", responses=problems(NotFound))
async def enable_webhook_endpoint(endpoint_id: str, admin: Admin, ctx: Ctx) -> WebhookEndpointOut:
    """
    Send events to a webhook endpoint again.

    While an endpoint is disabled, new events are not queued for it. Enabling it resumes the deliveries that were pending.
    Replay the events in between.
    """
    return WebhookEndpointOut.of(await webhook_endpoints.enable(ctx, endpoint_id, by=admin.actor))


@router.post("/{endpoint_id}/test", status_code=202, responses=problems(NotFound, EndpointDisabled))
async def test_webhook_endpoint(endpoint_id: str, admin: Admin, ctx: Ctx) -> WebhookTestOut:
    """Send an event of the type `webhook.test` to a webhook endpoint."""
    return WebhookTestOut(event=await webhook_deliveries.send_test(ctx, endpoint_id, by=admin.actor))


@router.get("/{endpoint_id}/deliveries", responses=problems(NotFound))
async def list_webhook_deliveries(
    endpoint_id: str,
    _: Admin,
    ctx: Ctx,
    status: Annotated[DeliveryStatus | None, Query(description="Only those with this status.")] = None,
    after: Annotated[int | None, Query(ge=0, le=2**53, description="`next` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> WebhookDeliveriesOut:
    """List the deliveries to a webhook endpoint, those of the newest events first."""
    page = await webhook_deliveries.page(ctx, endpoint_id, status=status, after=after, limit=limit)
    return WebhookDeliveriesOut(data=[WebhookDeliveryOut.of(one) for one in page.items], next=page.next)


@router.post(
    "/{endpoint_id}/replay",
    status_code=202,
    responses=problems(NotFound, EndpointDisabled, InvalidReplay, UnknownEventType),
)
async def replay_webhooks(endpoint_id: str, body: WebhookReplayIn, admin: Admin, ctx: Ctx) -> WebhookReplayOut:
    """Send events to a webhook endpoint again, with the same IDs: one, or those of a period."""
    queued = await webhook_deliveries.replay(ctx, endpoint_id, body.to_replay(), by=admin.actor)
    return WebhookReplayOut(queued=queued)
