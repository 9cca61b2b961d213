"""Postal addresses: where copies are sent."""

from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import Base, Due


class PostalAddress(Base, Due):
    """
    An address of a reader. A change is a new row, so that a label run finds the address of its cut-off.

    The columns of the address are NULL once it is erased. ``due_at`` is set until Stripe's customer has it.
    """

    __tablename__ = "postal_addresses"
    id: Mapped[str] = mapped_column(primary_key=True)  # adr_…
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    checkout_id: Mapped[str | None] = mapped_column(unique=True)  # the checkout that collected it
    name: Mapped[str | None]
    company: Mapped[str | None]
    line1: Mapped[str | None]
    line2: Mapped[str | None]
    district: Mapped[str | None]
    city: Mapped[str | None]
    region: Mapped[str | None]
    postal_code: Mapped[str | None]
    country: Mapped[str]
    lines: Mapped[list[str] | None]  # as on a label
    problems: Mapped[list[str]]  # <field>:<code>
    is_usable: Mapped[bool]
    since: Mapped[date | None]  # of a temporary address: its first day, and the day after the last
    until: Mapped[date | None]
    saved_at: Mapped[datetime]  # policy time, like the next
    replaced_at: Mapped[datetime | None]
    __table_args__ = (
        CheckConstraint("(since IS NULL) = (until IS NULL) AND since < until", name="period_complete"),
        Index(
            "postal_addresses_permanent_idx",
            "subscriber_id",
            unique=True,
            postgresql_where=text("since IS NULL AND replaced_at IS NULL"),
        ),
        Index("postal_addresses_temporary_idx", "subscriber_id", "since", postgresql_where=text("since IS NOT NULL")),
        # Where copies can't be sent: doubtful addresses, and those in countries that aren't served.
        Index(
            "postal_addresses_unusable_idx",
            "subscriber_id",
            postgresql_where=text("replaced_at IS NULL AND NOT is_usable"),
        ),
        Index("postal_addresses_country_idx", "country", postgresql_where=text("replaced_at IS NULL")),
        Index("postal_addresses_over_idx", "replaced_at", postgresql_where=text("replaced_at IS NOT NULL")),
        Index("postal_addresses_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("postal_addresses_work_key_idx", "work_key", postgresql_where=text("due_at IS NOT NULL")),
    )
