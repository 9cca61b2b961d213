"""The audit log and its chain of seals."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.models.base import JSON, Base, Due


class AuditEntry(Base):
    """The audit log: who did what, when and why, with the state before and after. Only IDs, no names. Append-only."""

    __tablename__ = "audit_log"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[str]
    action: Mapped[str]
    object_id: Mapped[str]
    subscriber_id: Mapped[str | None]
    reason: Mapped[str | None]
    before: Mapped[JSON | None]
    after: Mapped[JSON | None]
    request_id: Mapped[str | None]
    note_hash: Mapped[str | None]  # salted; see app.domain.audit
    __table_args__ = (  # each filter of the list, in the order of the list
        Index("audit_log_at_id_idx", "at", "id"),
        Index("audit_log_actor_action_idx", "actor", "action", "at", "id"),
        Index("audit_log_action_idx", "action", "at", "id"),
        Index("audit_log_object_id_at_idx", "object_id", "at", "id"),
        Index("audit_log_subscriber_id_at_idx", "subscriber_id", "at", "id"),
    )


class AuditNote(Base):
    """The free text of a reason, stored outside the chain so that it can be erased. The chain has its salted hash."""

    __tablename__ = "audit_notes"
    audit_id: Mapped[int] = mapped_column(ForeignKey("audit_log.id"), primary_key=True, autoincrement=False)
    words: Mapped[str]
    salt: Mapped[str | None]  # NULL: recorded by a release that did not hash notes


class AuditUnsealed(Base, Due):
    """An entry that waits for its seal. A trigger inserts it together with the entry."""

    __tablename__ = "audit_unsealed"
    id: Mapped[str] = mapped_column(primary_key=True)  # the entry's
    __table_args__ = (Index("audit_unsealed_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),)


class AuditSeal(Base):
    """
    The chain: one seal for each entry, in the order of sealing. Append-only; see app.domain.audit.

    The release before this one reads and writes it through the view ``audit_seals``. The next release drops the view.
    """

    __tablename__ = "audit_chain"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    audit_id: Mapped[int] = mapped_column(unique=True)
    hash: Mapped[bytes]
    previous: Mapped[bytes]
    __table_args__ = (
        CheckConstraint("octet_length(hash) = 32", name="hash_size"),
        CheckConstraint("octet_length(previous) = 32", name="previous_size"),
    )
