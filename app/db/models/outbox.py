"""The outbox: what happened to readers, for everybody outside who acts on it."""

from datetime import datetime

from sqlalchemy import Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base


class OutboxEvent(Base):
    """
    Something that happened to a reader, recorded in the transaction of the change. Only its reader's ``sub`` ever changes.

    No foreign keys: the event of an erased reader outlives them, and a million copies would be checked one by one.
    """

    __tablename__ = "outbox_events"
    id: Mapped[str] = mapped_column(primary_key=True)  # obx_…
    sequence: Mapped[int] = mapped_column(Identity(always=True))  # the order of the events of each reader
    type: Mapped[str]
    version: Mapped[int]  # of the data, for its type
    subscriber_id: Mapped[str | None]  # NULL: it is about none
    sub: Mapped[str | None]  # NULL: not claimed yet, or erased and announced
    data: Mapped[JSON]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    queued_at: Mapped[datetime | None]  # when its deliveries were queued, if there are any
    __table_args__ = (
        Index("outbox_events_sequence_idx", "sequence", unique=True),
        Index("outbox_events_unqueued_idx", "sequence", postgresql_where=text("queued_at IS NULL")),
        Index("outbox_events_subscriber_id_idx", "subscriber_id", "sequence"),
        Index("outbox_events_created_at_idx", "created_at"),
        Index(
            "outbox_events_erased_idx",
            "created_at",
            postgresql_where=text("type = 'reader.erased' AND sub IS NOT NULL"),
        ),
    )
