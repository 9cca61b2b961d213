"""Operations: leases, rate limits, webhook events, reconciliation, signing keys and idempotent requests."""

from datetime import datetime

from sqlalchemy import Double, ForeignKey, Identity, Index, false, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base, Due


class Lease(Base):
    """Which worker holds a key, and until when. Leases avoid duplicate work; correctness comes from versions."""

    __tablename__ = "leases"
    key: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    until: Mapped[datetime] = mapped_column(index=True)
    counted: Mapped[str | None]  # the table whose rows' attempts were counted, until the key's job begins


class Bucket(Base):
    """The rate limits for calls to Stripe: one bucket for each endpoint and one for all, shared by all processes.

    The table is unlogged: after a crash the buckets are full, as they would be by then.
    """

    __tablename__ = "buckets"
    name: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[float] = mapped_column(Double)  # at the time ``at``
    at: Mapped[datetime]  # in the future if Stripe requested a pause
    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012 - as SQLAlchemy expects it


class SigningKey(Base):
    """A key that signs entitlement tokens. The private key is encrypted with a secret from the settings."""

    __tablename__ = "signing_keys"
    id: Mapped[str] = mapped_column(primary_key=True)  # the kid
    public: Mapped[JSON]  # the JWK
    sealed: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signs_from: Mapped[datetime]
    signs_until: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]


class Event(Base, Due):
    """The inbox: each verified event once, with its state."""

    __tablename__ = "events"
    id: Mapped[str] = mapped_column(primary_key=True)  # evt_…; knk_… for a refetch of our own
    type: Mapped[str]
    api_version: Mapped[str | None]
    livemode: Mapped[bool | None]
    object_id: Mapped[str | None]
    created_at: Mapped[datetime | None]  # Stripe's, in whole seconds: doesn't determine the order
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    applied_at: Mapped[datetime | None]
    state: Mapped[str]  # received, applied, failed, dead, ignored
    reason: Mapped[str | None]  # why ignored
    payload: Mapped[str]  # JSON
    is_reduced: Mapped[bool] = mapped_column(
        server_default=false()
    )  # to what is used; an earlier release stored it all
    __table_args__ = (
        Index("events_unreduced_idx", "id", postgresql_where=text("NOT is_reduced")),
        Index("events_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("events_key_idx", "work_key"),  # for workers, and to find an object's events
        Index("events_received_at_idx", "received_at"),
        Index("events_object_id_idx", "object_id", postgresql_where=text("object_id IS NOT NULL")),
        Index("events_unapplied_idx", "work_key", postgresql_where=text("state IN ('failed', 'dead')")),
        Index("events_waiting_idx", "state", "received_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("events_state_type_idx", "state", "type", "received_at", "id"),
        Index("events_dead_idx", "received_at", "id", postgresql_where=text("state = 'dead'")),
    )


class Sweep(Base, Due):
    """A reconciliation or an import, and its progress. ``due_at`` is set if it is scheduled."""

    __tablename__ = "sweeps"
    id: Mapped[str] = mapped_column(primary_key=True)  # swp_…
    kind: Mapped[str]  # reconcile, import
    by: Mapped[str]  # schedule, or the user who ran the command
    dry_run: Mapped[bool]
    since: Mapped[datetime | None]  # policy time
    phase: Mapped[str]
    cursor: Mapped[JSON]  # where the phase continues
    counts: Mapped[JSON]  # the number of compared objects
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        Index("sweeps_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index(
            "sweeps_one_scheduled_idx",
            "by",
            unique=True,
            postgresql_where=text("by = 'schedule' AND finished_at IS NULL"),
        ),
    )


class Difference(Base):
    """A difference from Stripe that a sweep found."""

    __tablename__ = "differences"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id"))
    object_id: Mapped[str]
    words: Mapped[str]
    key: Mapped[str | None]  # the refetch that resolves it; NULL: staff must check it
    code: Mapped[str | None]  # of what staff will see after an import; NULL: it is a difference
    __table_args__ = (Index("differences_sweep_id_object_id_idx", "sweep_id", "object_id"),)


class Figures(Base, Due):
    """The figures of the console's front page: one row, counted by a worker when it is due."""

    __tablename__ = "figures"
    id: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[JSON | None]  # NULL until they are counted for the first time
    taken_at: Mapped[datetime | None]
    took: Mapped[float] = mapped_column(server_default="0")  # seconds
    __table_args__ = (Index("figures_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),)


class Recovery(Base):
    """
    A recovery after a backup was restored. Revocations, events and versions of entitlements have numbers above
    ``numbers_from`` since: edge servers and other systems remember those that were given after the backup.
    """

    __tablename__ = "recoveries"
    since: Mapped[datetime] = mapped_column(primary_key=True)  # when the backup was made; like the next, policy time
    began_at: Mapped[datetime]
    numbers_from: Mapped[int]


class RetentionRun(Base, Due):
    """The nightly job that removes personal data without a use: one row, with the counts of the last run."""

    __tablename__ = "retention_runs"
    id: Mapped[str] = mapped_column(primary_key=True)
    removed: Mapped[JSON | None]  # by what was removed; NULL before the first run
    progress: Mapped[JSON | None]  # of the night, and where each table is continued; NULL before the first run
    finished_at: Mapped[datetime | None]
    __table_args__ = (Index("retention_runs_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),)


class IdempotentRequest(Base):
    """A request that moves money, by caller, route and key, with the ID of its object and the first response."""

    __tablename__ = "idempotent_requests"
    caller: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_hash: Mapped[str]
    object_id: Mapped[str]  # chosen before the work, so that a takeover continues the same work
    running_until: Mapped[datetime | None]  # NULL after the response
    status: Mapped[int | None]
    answer: Mapped[JSON | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
