"""Changes of the print edition within a term."""

from datetime import datetime

from sqlalchemy import DateTime, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base, Due


class PrintChange(Base, Due):
    """
    A requested change of the print edition, stored before Stripe is asked. ``due_at`` is set until it is decided.

    Its refunds are stored with it, and it has the group of the first.
    """

    __tablename__ = "print_changes"
    id: Mapped[str] = mapped_column(primary_key=True)  # pch_…
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    kind: Mapped[str]  # add, drop
    status: Mapped[str]  # processing, awaiting_payment, completed, failed
    issues: Mapped[int]
    first_issue: Mapped[int | None]
    price: Mapped[int]  # before tax
    total: Mapped[int]  # with tax; of a removal, what is refunded
    tax: Mapped[int]
    due: Mapped[int]  # what is charged
    currency: Mapped[str]
    price_id: Mapped[str | None]  # Stripe's, for the renewals
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    requested_by: Mapped[str]
    created_at: Mapped[datetime]  # policy time
    invoice_id: Mapped[str | None]  # in_…
    pay_url: Mapped[str | None]
    failure_reason: Mapped[str | None]
    to_balance: Mapped[JSON]  # of a removal, by invoice: how much is returned to the balance once all of it is
    dropped_at: Mapped[list[datetime]] = mapped_column(ARRAY(DateTime(timezone=True)), server_default=text("'{}'"))
    # Of an addition, until it is decided: where the copies will go.
    address: Mapped[JSON | None] = mapped_column(JSONB(none_as_null=True))
    __table_args__ = (
        Index(
            "print_changes_one_undecided_idx",
            "subscription_id",
            unique=True,
            postgresql_where=text("status IN ('processing', 'awaiting_payment')"),
        ),
        Index("print_changes_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("print_changes_work_key_idx", "work_key", postgresql_where=text("due_at IS NOT NULL")),
    )
