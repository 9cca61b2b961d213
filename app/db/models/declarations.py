"""Declarations of readers who leave, and what they agreed to when they subscribed. Kept as they are, as proofs."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base, Due


class Declaration(Base, Due):
    """A withdrawal or a cancellation as it was received. A trigger lets only its outcome change.

    ``due_at`` is set until it was looked at, and while the contract is to end early.
    """

    __tablename__ = "declarations"
    id: Mapped[str] = mapped_column(primary_key=True)  # dcl_…
    work_key: Mapped[str] = mapped_column(server_default="")  # of the release that did not look at them
    kind: Mapped[str]
    channel: Mapped[str]
    received_at: Mapped[datetime]  # policy time
    subscriber_id: Mapped[str | None] = mapped_column(ForeignKey("subscribers.id"))
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))
    words: Mapped[JSON]
    place: Mapped[str | None]
    law: Mapped[str | None]
    acknowledgment: Mapped[str]
    status: Mapped[str]
    ends_at: Mapped[datetime | None]
    refund_id: Mapped[str | None]
    settled_by: Mapped[str | None]
    settled_at: Mapped[datetime | None]
    __table_args__ = (
        Index("declarations_subscriber_id_idx", "subscriber_id", "received_at", "id"),
        Index(
            "declarations_withdrawal_once_idx",
            "subscription_id",
            unique=True,
            postgresql_where=text("kind = 'withdrawal'"),
        ),
        Index("declarations_queued_idx", "received_at", "id", postgresql_where=text("status = 'queued'")),
        Index("declarations_received_at_idx", "received_at"),
        Index("declarations_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("declarations_work_key_idx", "work_key", postgresql_where=text("due_at IS NOT NULL")),
        Index("declarations_subscription_id_idx", "subscription_id", "received_at"),
    )


class Consent(Base):
    """What a reader saw and agreed to when they subscribed. A trigger lets nothing of it change."""

    __tablename__ = "consents"
    id: Mapped[str] = mapped_column(primary_key=True)  # cns_…
    checkout_id: Mapped[str]  # no foreign key: abandoned checkouts are deleted
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"))
    agreed_at: Mapped[datetime]  # policy time
    shown: Mapped[JSON]
    digest: Mapped[str]
    ip: Mapped[str | None]
    user_agent: Mapped[str | None]
    terms_version: Mapped[str | None]
    __table_args__ = (
        Index("consents_once_idx", "checkout_id", "digest", unique=True),
        Index("consents_subscriber_id_idx", "subscriber_id", "agreed_at", "id"),
        Index("consents_agreed_at_idx", "agreed_at"),
    )
