"""Webhook endpoints of the publisher's systems, and the deliveries of events to them."""

from datetime import datetime

from sqlalchemy import Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base, Due


class WebhookEndpoint(Base):
    """Where events are sent. Its secrets are encrypted with a secret from the settings."""

    __tablename__ = "webhook_endpoints"
    id: Mapped[str] = mapped_column(primary_key=True)  # whe_…
    name: Mapped[str]
    url: Mapped[str]
    types: Mapped[list[str]]  # empty: all
    encrypted_secret: Mapped[str]
    previous_encrypted_secret: Mapped[str | None]  # requests are signed with both until …
    previous_secret_expires_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    created_by: Mapped[str]
    failing_since: Mapped[datetime | None]  # the first failure since the last success, or since a day without attempts
    last_failed_at: Mapped[datetime | None]
    resting_until: Mapped[datetime | None]  # because it fails, or the receiver asked for it
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]  # staff, failing, gone


class WebhookDelivery(Base):
    """An event for an endpoint, and the last attempt to deliver it. No foreign keys: they would lock hot rows."""

    __tablename__ = "webhook_deliveries"
    endpoint_id: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # of the event
    event_id: Mapped[str]
    type: Mapped[str]
    subscriber_id: Mapped[str | None]
    lane: Mapped[str]  # the ID of its lane
    status: Mapped[str]  # pending, delivered, failed, canceled
    attempts: Mapped[int] = mapped_column(server_default="0")  # counted before the try
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    first_tried_at: Mapped[datetime | None]
    last_tried_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    response_status: Mapped[int | None]
    error: Mapped[str | None]
    response_body: Mapped[str | None]  # its beginning
    duration_ms: Mapped[int | None]
    __table_args__ = (
        Index("webhook_deliveries_lane_idx", "lane", "sequence", postgresql_where=text("status = 'pending'")),
        Index("webhook_deliveries_status_idx", "endpoint_id", "status", "sequence"),
        Index("webhook_deliveries_event_id_idx", "event_id"),
        Index("webhook_deliveries_subscriber_id_idx", "subscriber_id"),
        Index("webhook_deliveries_created_at_idx", "created_at"),
    )


class WebhookLane(Base, Due):
    """The pending deliveries of a reader to an endpoint, one after the other. A lane without any is deleted."""

    __tablename__ = "webhook_lanes"
    id: Mapped[str] = mapped_column(primary_key=True)  # <endpoint>:<reader>
    endpoint_id: Mapped[str]
    __table_args__ = (
        Index("webhook_lanes_endpoint_id_idx", "endpoint_id", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    )
