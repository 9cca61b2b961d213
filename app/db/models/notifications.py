"""Notifications: what readers are told by mail."""

from datetime import datetime

from sqlalchemy import Identity, Index, func
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base, Due

NEEDS_ATTENTION = sql("(status IN ('refused', 'failed', 'uncertain') OR bounced_at IS NOT NULL)")


class NotificationPolicies(Base):
    """The history of the catalogue's policy for notifications. Append-only."""

    __tablename__ = "notification_policies"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    content: Mapped[JSON]  # {"entries": [...]}; see app.domain.notification_policies.dump
    since: Mapped[datetime]  # policy time


class NotificationOptOut(Base):
    """A kind of notification that a reader doesn't want. Only of kinds that no law and no payment needs."""

    __tablename__ = "notification_opt_outs"
    subscriber_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(server_default=func.now())


class Notification(Base, Due):
    """
    A notification, and its text once it was rendered. ``send_at`` is policy time; ``due_at`` is the same time by the
    database's clock, and then that of the next attempt.
    """

    __tablename__ = "notifications"
    id: Mapped[str] = mapped_column(primary_key=True)  # ntf_…
    kind: Mapped[str]
    about: Mapped[str]  # a term, an invoice, a refund, …: one notification of each kind
    subscriber_id: Mapped[str | None]  # no foreign keys: what was told is kept, whatever becomes of the rest
    subscription_id: Mapped[str | None]
    recipient: Mapped[str | None]  # NULL: the reader's address at the time of sending
    locale: Mapped[str | None]
    data: Mapped[JSON]  # what its text says
    event_at: Mapped[datetime | None]  # when what it tells happens; like the next, policy time
    send_at: Mapped[datetime]
    template: Mapped[str | None]  # NULL: the kind's
    status: Mapped[str]
    channel: Mapped[str]
    subject: Mapped[str | None]
    text: Mapped[str | None]
    html: Mapped[str | None]
    rendered_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]  # when the status became final
    result: Mapped[str | None]
    bounced_at: Mapped[datetime | None]
    bounce: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        Index("notifications_kind_about_idx", "kind", "about", unique=True),
        Index("notifications_subscriber_id_idx", "subscriber_id", "send_at", "id"),
        Index("notifications_subscription_id_idx", "subscription_id"),
        Index("notifications_due_at_idx", "due_at", postgresql_where=sql("due_at IS NOT NULL")),
        Index("notifications_work_key_idx", "work_key", postgresql_where=sql("due_at IS NOT NULL")),
        Index("notifications_attention_idx", "settled_at", "id", postgresql_where=NEEDS_ATTENTION),
        Index("notifications_scheduled_idx", "send_at", "id", postgresql_where=sql("status = 'scheduled'")),
    )
