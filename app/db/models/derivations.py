"""Derivations: what was offered, and the subscriptions whose grants must be derived again after a change."""

from datetime import datetime

from sqlalchemy import Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base, Due


class StoredOffer(Base):
    """What a plan promises, by the fingerprint of its content. Never changed. See app.domain.offers.Offer."""

    __tablename__ = "offers"
    id: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[JSON]


class OfferVersion(Base):
    """The history of a plan's offers. Append-only."""

    __tablename__ = "offer_versions"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    plan: Mapped[str]
    offer: Mapped[str]
    since: Mapped[datetime]  # policy time


class DerivationRun(Base, Due):
    """A change of the calendar or the catalogue. ``due_at`` is set until the affected subscriptions are queued."""

    __tablename__ = "derivation_runs"
    id: Mapped[str] = mapped_column(primary_key=True)  # run_…
    kind: Mapped[str]  # calendar, catalogue
    change: Mapped[JSON]  # the affected terms, or plans
    editions: Mapped[list[str]]  # from which transactions may still derive: they are awaited first
    found: Mapped[int] = mapped_column(server_default="0")  # the number of queued subscriptions
    visited: Mapped[int] = mapped_column(server_default="0")
    changed: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        Index("derivation_runs_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("derivation_runs_created_at_idx", "created_at"),
    )


class CalendarWork(Base, Due):
    """
    The queue of subscriptions and comps whose grants must be derived again.

    The release before this one queues the changes of the calendar here too (``cal_…``).
    """

    __tablename__ = "calendar_work"
    id: Mapped[str] = mapped_column(primary_key=True)  # scr_… or cmp_…
    told: Mapped[int] = mapped_column(server_default="1")  # rises when the work must be repeated
    change: Mapped[
        JSON | None
    ]  # of the release before: the affected terms; see app.domain.calendar_changes.AffectedTerms
    run_id: Mapped[str | None]  # the change that queued it last
    __table_args__ = (
        Index("calendar_work_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("calendar_work_work_key_idx", "work_key"),
    )
