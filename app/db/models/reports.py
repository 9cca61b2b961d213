"""Reports: the closed months of the liability report, and what is entered by hand for the circulation statement."""

from datetime import date, datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base


class LiabilityClosing(Base):
    """A closed month, with the totals from the beginning until its end, by currency. Never changed."""

    __tablename__ = "liability_closings"
    month: Mapped[date] = mapped_column(primary_key=True)  # its first day
    totals: Mapped[JSON]  # currency to figures: see app.domain.liability.Totals
    closed_at: Mapped[datetime]  # policy time
    closed_by: Mapped[str]


class LiabilityEntry(Base):
    """
    What a subscription added to the totals in a closed month. Never changed. Nothing was added: no row.

    No foreign key, because a million would be checked one by one. The first closed month has a second one before it, with
    everything since the beginning.
    """

    __tablename__ = "liability_entries"
    subscription_id: Mapped[str] = mapped_column(primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    sold: Mapped[int]
    earned: Mapped[int]
    reversed: Mapped[int]
    refunded: Mapped[int]
    __table_args__ = (Index("liability_entries_month_idx", "month", "subscription_id", "currency"),)


class IssueCirculation(Base):
    """The circulation figures of an issue that staff enter."""

    __tablename__ = "issue_circulation"
    issue_number: Mapped[int] = mapped_column(ForeignKey("issues.number"), primary_key=True, autoincrement=False)
    press_run: Mapped[int]
    dealer_sales: Mapped[int]
    single_copies_mailed: Mapped[int]
    free_outside_mail: Mapped[int]
    entered_at: Mapped[datetime]  # policy time
    entered_by: Mapped[str]
