"""Readers, their grants and their entitlements."""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base, Due
from app.domain.reader_names import DASHES


class Subscriber(Base):
    """A person known by the identity provider's ``sub``, with at most one Stripe customer."""

    __tablename__ = "subscribers"
    id: Mapped[str] = mapped_column(primary_key=True)  # rdr_…
    sub: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str | None]
    name: Mapped[str | None]
    stripe_customer_id: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    email_verified: Mapped[bool] = mapped_column(server_default=text("false"))  # according to the identity provider
    contact_as_of: Mapped[datetime | None]  # when the newest token with this contact was issued
    locale: Mapped[str | None]  # of the newest token that named one: in which language they are told something
    indexed_name: Mapped[
        str | None
    ]  # the name whose parts are in ``reader_name_parts``; if it differs, a worker adds them
    joined_name: Mapped[str | None]  # the same for parts without the dashes of a name, which came later
    __table_args__ = (
        Index("subscribers_unindexed_idx", "id", postgresql_where=text("name IS DISTINCT FROM indexed_name")),
        Index(
            "subscribers_unjoined_idx",
            "id",
            postgresql_where=text(f"name ~ '[{DASHES}]' AND name IS DISTINCT FROM joined_name"),
        ),
        Index("subscribers_created_at_idx", "created_at", "id"),
    )


class ReaderNamePart(Base):
    """A part of a reader's present or former name, from some letter to the end of its word: see ``domain/reader_names``."""

    __tablename__ = "reader_name_parts"
    part: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    subscriber_id: Mapped[str] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class ContactChange(Base, Due):
    """A reader's former email address and name. ``due_at`` is set until Stripe's customer has the new ones."""

    __tablename__ = "contact_changes"
    id: Mapped[str] = mapped_column(primary_key=True)  # ctc_…
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    email: Mapped[str | None]
    name: Mapped[str | None]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    __table_args__ = (
        Index("contact_changes_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("contact_changes_work_key_idx", "work_key", postgresql_where=text("due_at IS NOT NULL")),
    )


for _found_by in (Subscriber.email, ContactChange.email):  # by their beginning
    Index(
        f"{_found_by.class_.__tablename__}_{_found_by.key}_prefix_idx",
        func.lower(_found_by).label("beginning"),
        postgresql_ops={"beginning": "text_pattern_ops"},
    )


class Grant(Base):
    """One source of entitlements. ``features``: name to periods ``[from, until, reason]``, in epoch seconds."""

    __tablename__ = "grants"
    id: Mapped[str] = mapped_column(primary_key=True)
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    source: Mapped[str]
    features: Mapped[JSON]


class Comp(Base):
    """Complimentary access. Its grant is in the table of grants until it is revoked."""

    __tablename__ = "comps"
    id: Mapped[str] = mapped_column(primary_key=True)  # cmp_…
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    plan: Mapped[str]
    issues: Mapped[int | None]  # the number of issues, if it was given for issues
    starts_at: Mapped[datetime]  # policy time
    until: Mapped[datetime]
    reason: Mapped[str]
    given_by: Mapped[str]
    removed_at: Mapped[datetime | None]
    removed_by: Mapped[str | None]
    __table_args__ = (
        Index("comps_given_by_idx", "given_by", "starts_at"),  # what one person gave in a day
        Index("comps_until_idx", "until", "id", postgresql_where=text("removed_at IS NULL")),
    )


class Entitlement(Base):
    """The union of a subscriber's grants, by ``sub``. Written when a grant changes, and read by every check."""

    __tablename__ = "entitlements"
    sub: Mapped[str] = mapped_column(primary_key=True)
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), unique=True)
    version: Mapped[int]
    access: Mapped[JSON]
    changed_in: Mapped[int | None]  # the transaction that changed it last; NULL: none since this is recorded
    __table_args__ = (
        # The change feed reads what was committed since it last looked.
        Index("entitlements_changed_in_idx", "changed_in", postgresql_where=text("changed_in IS NOT NULL")),
    )


class PendingRevocation(Base):
    """A revocation that has no number yet. The function ``publish_revocations`` moves it to the feed after its commit."""

    __tablename__ = "pending_revocations"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    sub: Mapped[str]
    version: Mapped[int]


class Erasure(Base, Due):
    """A request to erase a reader, and its result. ``due_at`` is set until the last trace is removed."""

    __tablename__ = "erasures"
    id: Mapped[str] = mapped_column(primary_key=True)  # era_…
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    sub: Mapped[str | None] = mapped_column(index=True)  # the reader's, until the last trace is removed
    customer_ids: Mapped[list[str]]  # at Stripe, until the last trace is removed
    requested_by: Mapped[str]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    report: Mapped[JSON]  # what was erased and what was kept: counts and reasons
    __table_args__ = (
        Index("erasures_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("erasures_one_running_idx", "subscriber_id", unique=True, postgresql_where=text("finished_at IS NULL")),
    )


class ReaderView(Base):
    """A view of a reader by a member of staff. Repeated views within the same slot of time are one row."""

    __tablename__ = "reader_views"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    subscriber_id: Mapped[str]  # no foreign key: recording a view must not wait for the lock of a subscriber
    viewer: Mapped[str]  # staff:<sub>, operator:<user>
    place: Mapped[str]  # console, api, search, export
    slot: Mapped[datetime]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        Index("reader_views_once_idx", "subscriber_id", "slot", "viewer", "place", unique=True),
        Index("reader_views_viewer_at_idx", "viewer", "at", "id"),
        Index("reader_views_at_idx", "at", "id"),
    )


class Revocation(Base):
    """Published revocations. Their numbers are assigned after the commit, one transaction at a time, and never change."""

    __tablename__ = "revocations"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    sub: Mapped[str]
    version: Mapped[int]  # of the entitlement, since the revocation
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), index=True)
