"""Readers, their grants and their entitlements."""

from datetime import datetime

from sqlalchemy import ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base


class Subscriber(Base):
    """A person known by the identity provider's ``sub``, with at most one Stripe customer."""

    __tablename__ = "subscribers"
    id: Mapped[str] = mapped_column(primary_key=True)  # rdr_…
    sub: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str | None]
    name: Mapped[str | None]
    stripe_customer_id: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


LAST_NAME = func.lower(func.regexp_replace(Subscriber.name, r"^.*\s", ""))


Index("subscribers_last_name_idx", LAST_NAME.label("last_name"), postgresql_ops={"last_name": "text_pattern_ops"})


for _found_by in (Subscriber.email, Subscriber.name):  # by their beginning, in any case
    Index(
        f"subscribers_{_found_by.key}_prefix_idx",
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


class Entitlement(Base):
    """The union of a subscriber's grants, by ``sub``. Written when a grant changes, and read by every check."""

    __tablename__ = "entitlements"
    sub: Mapped[str] = mapped_column(primary_key=True)
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), unique=True)
    version: Mapped[int]
    access: Mapped[JSON]


class Revocation(Base):
    """Revocations in the order of their commits: only one transaction at a time assigns IDs."""

    __tablename__ = "revocations"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    sub: Mapped[str]
    version: Mapped[int]  # of the entitlement, since the revocation
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), index=True)
