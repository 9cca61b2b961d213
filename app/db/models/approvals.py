"""Approvals: requests that wait for a second person."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base


class ApprovalRequest(Base):
    """
    A request for complimentary access, an extension or a claim above the limit, and the decision.

    Refunds that wait are rows of ``refunds``, because their amount is reserved. The ID becomes that of what is given, so
    what a second person approved is known by it.
    """

    __tablename__ = "approval_requests"
    id: Mapped[str] = mapped_column(primary_key=True)  # cmp_…, adj_…, clm_…
    kind: Mapped[str]  # comp, extension, claim
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"))  # of an extension or a claim
    amount: Mapped[int]  # days of access, issues, or the copy of a claim
    plan: Mapped[str | None]  # of complimentary access, like the next
    until: Mapped[datetime | None]
    issues: Mapped[int | None]
    reason: Mapped[str]
    note: Mapped[str | None]
    requested_by: Mapped[str]
    status: Mapped[str]  # awaiting_approval, approved, rejected
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]  # policy time
    decision_note: Mapped[str | None]
    created_at: Mapped[datetime]  # policy time
    __table_args__ = (Index("approval_requests_status_idx", "status", "created_at", "id"),)
