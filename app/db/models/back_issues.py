"""Back issues: earlier issues that the desk sends."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base


class BackIssue(Base):
    """
    An order of one earlier issue for a reader. Its copy is a label with its ID.

    One that waits for a second person has a row in ``approval_requests`` with its ID, which has the decision.
    """

    __tablename__ = "back_issues"
    id: Mapped[str] = mapped_column(primary_key=True)  # bki_…
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"))
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"))
    issue_number: Mapped[int] = mapped_column(ForeignKey("issues.number"))
    note: Mapped[str | None]
    ordered_by: Mapped[str]
    created_at: Mapped[datetime]  # policy time
    __table_args__ = (
        Index("back_issues_created_at_idx", "created_at", "id"),
        Index("back_issues_issue_number_idx", "issue_number", "created_at", "id"),
        Index("back_issues_subscriber_id_idx", "subscriber_id", "created_at", "id"),
        Index("back_issues_ordered_by_idx", "ordered_by", "created_at"),  # what one person ordered in a day
    )
