"""Claims: copies that did not arrive, or arrived damaged."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base


class Claim(Base):
    """
    A claimed copy of a label run. Its replacement is a label with its ID; its extension an adjustment with its ID.

    One that waits for a second person has a row in ``approval_requests`` with its ID, which has the decision.
    """

    __tablename__ = "claims"
    id: Mapped[str] = mapped_column(primary_key=True)  # clm_…
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"))
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"))
    term: Mapped[str] = mapped_column(ForeignKey("terms.invoice_id"))
    issue_number: Mapped[int] = mapped_column(ForeignKey("issues.number"))
    run_number: Mapped[int]  # of the label run with the copy
    address_id: Mapped[str]  # where the copy was sent
    reason: Mapped[str]
    resolution: Mapped[str]  # resend, extend
    note: Mapped[str | None]
    claimed_by: Mapped[str]
    created_at: Mapped[datetime]  # policy time, like the next
    granted_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("resolution IN ('resend', 'extend')", name="resolution_known"),
        Index("claims_once_idx", "subscription_id", "issue_number", unique=True),
        Index(
            "claims_replacements_idx",
            "issue_number",
            postgresql_where=text("resolution = 'resend' AND granted_at IS NOT NULL"),
        ),
        Index("claims_created_at_idx", "created_at", "id"),
        Index("claims_issue_number_idx", "issue_number", "created_at", "id"),
        Index("claims_subscriber_id_idx", "subscriber_id", "created_at", "id"),
        Index("claims_claimed_by_idx", "claimed_by", "created_at"),  # what one person granted in a day
    )
