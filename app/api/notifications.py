"""``…/notifications``: what readers were told and will be told; and ``/v1/email-bounces``, for emails that came back."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import BounceReporter, Ctx, RealNow, SubscriberViewer, seen_by
from app.api.listed_values import NotificationChannel, NotificationKindText, NotificationStatusText
from app.api.models import STORABLE, ApiModel, Day
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import NotFound
from app.domain.notifications import Notification
from app.services import notifications

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


@router.post("/email-bounces", responses=problems(NotFound))
async def report_email_bounce(body: BounceIn, _: BounceReporter, ctx: Ctx, now: RealNow) -> NotificationOut:
    """Report that a message came back. Staff see it in the work queue. A repeated report changes nothing."""
    reason = f"{body.kind}: {body.reason}" if body.reason else body.kind
    known = await notifications.record_bounce(
        ctx, body.message_id, permanent=body.kind != "temporary", reason=reason, real_now=now
    )
    return NotificationOut.of(known)


@router.post("/notifications/{notification_id}/unsubscribe", status_code=204, responses=problems(NotFound))
async def unsubscribe_from_notifications(notification_id: str, ctx: Ctx) -> None:
    """
    Unsubscribe from messages of this kind, in one click.

    Email programs call it, as `List-Unsubscribe` says (RFC 8058). Only messages that no law and no payment needs have
    this header.
    """
    await notifications.unsubscribe(ctx, notification_id)
