"""Holds: no copies for a while."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base


class Hold(Base):
    """A time in which a reader gets no copies. A hold that was lifted stays, because the issues before were skipped."""

    __tablename__ = "holds"
    id: Mapped[str] = mapped_column(primary_key=True)  # hld_…
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    starts_on: Mapped[date]
    until: Mapped[date | None]  # the day from which copies are sent again
    issues: Mapped[int | None]  # instead: how many issues are held
    keeps_digital: Mapped[bool]
    ended_on: Mapped[date | None]  # when it was lifted
    over_by: Mapped[date]  # by then it is over, however the calendar changes: finds those that a change concerns
    created_by: Mapped[str]
    created_at: Mapped[datetime]  # policy time
    __table_args__ = (
        CheckConstraint("(until IS NULL) <> (issues IS NULL)", name="end_known"),
        Index("holds_once_idx", "subscriber_id", "starts_on", unique=True, postgresql_where=text("ended_on IS NULL")),
        Index("holds_over_by_idx", "over_by"),
    )
