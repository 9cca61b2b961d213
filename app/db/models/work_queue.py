"""The work queue: what staff said about its items. The items themselves are rows of other tables."""

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base


class WorkItemMarks(Base):
    """Who works on an item, until when it sleeps, and a note."""

    __tablename__ = "work_item_marks"
    object_id: Mapped[str] = mapped_column(primary_key=True)  # of the dispute, the refund, the event, …
    version: Mapped[int]  # a change states the version that its author saw
    assigned_to: Mapped[str | None]  # the `sub` of a member of staff
    snoozed_until: Mapped[datetime | None]  # policy time
    snoozed_state: Mapped[str | None]  # a hash of the item's state when it was snoozed: it wakes up if that changes
    note: Mapped[str | None]
    changed_at: Mapped[datetime]  # policy time
    __table_args__ = (
        Index("work_item_marks_assigned_to_idx", "assigned_to", postgresql_where=text("assigned_to IS NOT NULL")),
        Index("work_item_marks_changed_at_idx", "changed_at"),
    )
