"""Issues: the calendar, and the issues that terms owe."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base


class Issue(Base):
    """One number of the magazine. Dates are those of the publisher's calendar."""

    __tablename__ = "issues"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str]
    cover_date: Mapped[date]
    planned_mail_date: Mapped[date]
    actual_mail_date: Mapped[date | None]
    label_cutoff: Mapped[date]
    counts_as: Mapped[int]
    frozen_at: Mapped[datetime | None]  # as of when its label run was frozen: the end of the cut-off day
    __table_args__ = (
        CheckConstraint("counts_as IN (0, 1, 2)", name="counts_as_known"),
        CheckConstraint("label_cutoff <= coalesce(actual_mail_date, planned_mail_date)", name="cutoff_before_mailing"),
    )


class CalendarEdition(Base):
    """One row: the edition of the calendar and the offers. Each change writes a new token, so that processes notice it."""

    __tablename__ = "calendar_edition"
    id: Mapped[bool] = mapped_column(primary_key=True, server_default="true")
    token: Mapped[str]
    __table_args__ = (CheckConstraint("id", name="one_row"),)


class IssueDelay(Base):
    """A mail date that moved: the one that readers know, and the one that is planned now. One row for each issue."""

    __tablename__ = "issue_delays"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    planned_on: Mapped[date]
    expected_on: Mapped[date]
    known_at: Mapped[datetime]  # policy time


class IssueAdjustment(Base):
    """A change of the number of issues that a term owes: positive or negative. Append-only."""

    __tablename__ = "issue_adjustments"
    id: Mapped[str] = mapped_column(primary_key=True)  # adj_…
    invoice_id: Mapped[str] = mapped_column(ForeignKey("terms.invoice_id"), index=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    kind: Mapped[str]  # extension, grace_copies, claim
    issues: Mapped[int]
    reason: Mapped[str]
    note: Mapped[str | None]
    by: Mapped[str]
    created_at: Mapped[datetime]  # policy time
    __table_args__ = (
        CheckConstraint("issues <> 0", name="issues_not_zero"),
        Index("issue_adjustments_by_idx", "by", "created_at"),  # what one person gave in a day
    )
