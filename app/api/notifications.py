"""``…/notifications``: what readers were told and will be told; and ``/v1/email-bounces``, for emails that came back."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import Ctx, RealNow, SignedReportId, SubscriberViewer, seen_by
from app.api.listed_values import NotificationChannel, NotificationKindText, NotificationStatusText
from app.api.models import STORABLE, ApiModel, Day
from app.api.openapi import Described
from app.api.problems import problems
from app.db.engine.session import new_id
from app.domain.callers import InvalidSignature
from app.domain.errors import NotFound
from app.domain.notifications import Notification
from app.services import idempotency, notifications
from app.services.idempotency import KeyInUse, KeyReused

router = APIRouter(prefix="/v1", tags=["notifications"], route_class=Described)
NotificationId = Annotated[str, Query(pattern="^ntf_[0-9a-f]{1,64}$", description="`next` of the previous page.")]


class NotificationOut(ApiModel):
    """A message to a reader, with its text if it was rendered."""

    id: str = Field(examples=["ntf_0c5e"])
    kind: NotificationKindText = Field(examples=["renewal_ahead"])
    subscriber: str | None = Field(description="ID of the reader; null if nobody that we know.", examples=["rdr_0c5e"])
    status: NotificationStatusText = Field(examples=["sent"])
    channel: NotificationChannel = Field(examples=["email"])
    send_at: datetime = Field(description="When it is or was due.", examples=["2027-01-30T18:00:00Z"])
    to: str | None = Field(description="Email address; null until it is sent.", examples=["ada@example.com"])
    locale: str | None = Field(examples=["en_US"])
    subject: str | None = Field(examples=["Your subscription renews on March 1, 2027"])
    text: str | None = Field(examples=["Your subscription renews automatically on March 1, 2027."])
    settled_at: datetime | None = Field(description="When its status became final.", examples=["2027-01-30T18:00:02Z"])
    result: str | None = Field(description="What the mail server said.", examples=["250 OK"])
    bounce: str | None = Field(description="Why it came back, as it was reported.", examples=[None])

    @classmethod
    def of(cls, one: Notification) -> "NotificationOut":
        """Return the body for a notification."""
        return cls(
            id=one.id,
            kind=one.kind,
            subscriber=one.subscriber_id,
            status=one.status,
            channel=one.channel,
            send_at=one.send_at,
            to=one.recipient,
            locale=one.locale,
            subject=one.subject,
            text=one.text,
            settled_at=one.settled_at,
            result=one.result,
            bounce=one.bounce,
        )


class NotificationsOut(ApiModel):
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[NotificationOut]
    next: str | None = Field(default=None, examples=[None])


class BounceIn(ApiModel):
    """An email that came back, as your email provider reported it."""

    model_config = ConfigDict(extra="forbid")

    message_id: Annotated[str, StringConstraints(min_length=1, max_length=300), STORABLE] = Field(
        description="The `Message-ID` of the message, or the ID of the notification.",
        examples=["<ntf_0c5e@example.com>"],
    )
    kind: Literal["permanent", "temporary", "complaint"] = Field(
        description="`permanent`: the address doesn't exist. `temporary`: your provider still tries. `complaint`: the "
        "reader marked it as spam. A `temporary` one is recorded, but not shown in the work queue.",
        examples=["permanent"],
    )
    reason: Annotated[str, StringConstraints(max_length=900), STORABLE] = Field(
        default="", examples=["550 5.1.1 no such user"]
    )


_OF_READER: dict[int | str, dict[str, Any]] = problems(NotFound)


@router.get("/support/subscribers/{subscriber_id}/notifications", responses=_OF_READER)
async def list_notifications_of_subscriber(subscriber_id: str, viewer: SubscriberViewer, ctx: Ctx) -> NotificationsOut:
    """List what a reader was told and will be told, the latest first: at most 100."""
    found = await notifications.of_reader(ctx, subscriber_id, viewer=seen_by(viewer))
    return NotificationsOut(data=[NotificationOut.of(one) for one in found])


@router.get("/support/notifications")
async def list_scheduled_notifications(
    _: SubscriberViewer,
    ctx: Ctx,
    day: Annotated[Day, Query(description="In the publisher's time zone.", examples=["2027-01-30"])],
    after: NotificationId | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> NotificationsOut:
    """List what readers will be told on a day, the earliest first."""
    page = await notifications.scheduled_on(ctx, day, after=after, limit=limit)
    return NotificationsOut(data=[NotificationOut.of(one) for one in page.items], next=page.next)


_SIGNED: dict[str, Any] = {  # written by hand: FastAPI would answer a missing header with 422, not 401
    "parameters": [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": description,
            "schema": {"type": "string"},
            "example": example,
        }
        for name, description, example in (
            (
                "webhook-id",
                "ID of a signed report. A report with the same ID counts once.",
                "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
            ),
            ("webhook-timestamp", "When it was signed, in seconds since 1970: at most 5 minutes ago.", "1772388000"),
        )
    ]
}
_REPORTER = "email-provider"  # who sends signed reports


@router.post(
    "/email-bounces", responses=problems(NotFound, InvalidSignature, KeyReused, KeyInUse), openapi_extra=_SIGNED
)
async def report_email_bounce(
    body: BounceIn, signed: SignedReportId, request: Request, ctx: Ctx, now: RealNow
) -> NotificationOut:
    """
    Report that a message came back. Staff see it in the work queue. A repeated report changes nothing.

    A report has either an API key or a signature, as Standard Webhooks prescribes, with one of `NEWSSTAND_BOUNCE_SECRETS`.
    """
    reason = f"{body.kind}: {body.reason}" if body.reason else body.kind

    async def record(_: str = "") -> tuple[int, dict[str, object]]:
        known = await notifications.record_bounce(
            ctx, body.message_id, permanent=body.kind != "temporary", reason=reason, real_now=now
        )
        return 200, {"notification": known.id}

    if signed is None:
        _, recorded = await record()
    else:  # what is kept has no personal data
        kept = await idempotency.once(
            ctx,
            caller=_REPORTER,
            route=f"{request.method} {request.url.path}",
            key=signed,
            body=await request.body(),
            new_object_id=new_id("bnc"),
            work=record,
        )
        recorded = dict(kept.body)
    return NotificationOut.of(await notifications.by_id(ctx, str(recorded["notification"])))


@router.post("/notifications/{notification_id}/unsubscribe", status_code=204, responses=problems(NotFound))
async def unsubscribe_from_notifications(notification_id: str, ctx: Ctx) -> None:
    """
    Unsubscribe from messages of this kind, in one click.

    Email programs call it, as `List-Unsubscribe` says (RFC 8058). Only messages that no law and no payment needs have
    this header.
    """
    await notifications.unsubscribe(ctx, notification_id)
