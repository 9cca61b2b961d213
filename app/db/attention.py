"""Items that need attention because no policy decides them, until staff dismiss them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Exists,
    Select,
    Text,
    cast,
    exists,
    func,
    literal,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, aliased

from app.db.engine.session import Session
from app.db.models import NEEDS_ATTENTION, Declaration, Dismissal, Dispute, FraudWarning, Notification, Refund

DISPUTE, WARNING, REFUND, NOTE = "dispute", "fraud_warning", "refund_failed", "credit_note"
NOTIFICATION = "notification"  # a message that did not reach its reader
DECLARATION = "declaration"  # a withdrawal or a cancellation that staff have to act on
MOST_COUNTED = 1_000  # of a kind
KINDS = (DISPUTE, WARNING, REFUND, NOTE, NOTIFICATION, DECLARATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item that needs attention."""

    object_id: str
    kind: str
    why: str
    subscriber_id: str | None
    payment_id: str | None
    since: datetime


def _codes(*codes: str) -> list[ColumnElement[str]]:
    """Return codes as literals, so that a prepared statement can use the partial indexes with any plan."""
    return [literal_column(f"'{code}'") for code in codes]


def items() -> Mapping[str, Select[*tuple[Any, ...]]]:
    """Return the query of each kind. Each has a partial index."""
    later = aliased(Refund)
    given_after_all = select(later.id).where(  # looked up for each failed refund; NOT EXISTS would scan all refunds
        later.payment_id == Refund.payment_id,
        later.id != Refund.id,
        later.created_at >= Refund.created_at,
        later.status.in_(_codes("processing", "pending", "requires_action", "succeeded")),
    )
    found = (
        select(
            Dispute.id.label("object_id"),
            literal(DISPUTE).label("kind"),
            func.coalesce(Dispute.concern, "").label("why"),
            Dispute.subscriber_id.label("subscriber_id"),
            Dispute.payment_id.label("payment_id"),
            Dispute.opened_at.label("since"),
        ).where(Dispute.concern.is_not(None), ~_dismissed(Dispute.id)),
        select(
            FraudWarning.id,
            literal(WARNING),
            func.coalesce(FraudWarning.acted_as, ""),
            FraudWarning.subscriber_id,
            FraudWarning.payment_id,
            FraudWarning.created_at,
        ).where(
            FraudWarning.actionable,
            FraudWarning.acted_as.in_(_codes("kept", "not_refundable")),
            ~_dismissed(FraudWarning.id),
        ),
        # The requester of a refund that failed at once was informed; a refund by policy has no requester.
        select(
            Refund.id,
            literal(REFUND),
            func.coalesce(Refund.failure_reason, Refund.status),
            Refund.subscriber_id,
            Refund.payment_id,
            Refund.created_at,
        ).where(
            Refund.status.in_(_codes("failed", "canceled")),
            (Refund.recorded_at.is_not(None)) | (Refund.requested_by == "policy"),
            given_after_all.limit(1).scalar_subquery().is_(None),
            ~_dismissed(Refund.id),
        ),
        # The refund succeeded, but Stripe refuses its credit note.
        select(
            Refund.id,
            literal(NOTE),
            func.coalesce(Refund.attention, ""),
            Refund.subscriber_id,
            Refund.payment_id,
            Refund.created_at,
        ).where(
            Refund.attention.is_not(None), Refund.status.not_in(_codes("failed", "canceled")), ~_dismissed(Refund.id)
        ),
        select(
            Notification.id,
            literal(NOTIFICATION),
            func.coalesce(Notification.bounce, Notification.result, Notification.status),
            Notification.subscriber_id,
            cast(null(), Text),
            func.coalesce(Notification.settled_at, Notification.send_at),
        ).where(NEEDS_ATTENTION, ~_dismissed(Notification.id)),
        select(
            Declaration.id,
            literal(DECLARATION),
            Declaration.kind,
            Declaration.subscriber_id,
            cast(null(), Text),
            Declaration.received_at,
        ).where(Declaration.status == literal_column("'queued'"), ~_dismissed(Declaration.id)),
    )
    return dict(zip(KINDS, found, strict=True))


def _dismissed(object_id: InstrumentedAttribute[str]) -> Exists:
    return exists().where(Dismissal.object_id == object_id)


async def list_page(session: Session, *, after: str | None, limit: int) -> list[Item]:
    """Return items after an ID, in the order of their IDs."""
    each = []
    for query in items().values():  # the first ones of each kind, so that no kind is read as a whole
        object_id = query.selected_columns[0]
        each.append(select(query.where(object_id > (after or "")).order_by(object_id).limit(limit).subquery()))
    found = union_all(*each).subquery()
    rows = await session.execute(select(found).order_by(found.c.object_id).limit(limit))
    return [Item(**row._mapping) for row in rows]


async def counts(session: Session) -> dict[str, int]:
    """Return the number of items by kind, at most :data:`MOST_COUNTED` of each: a backlog may have any number."""
    counted = (
        select(func.count()).select_from(query.limit(MOST_COUNTED).subquery()).scalar_subquery()
        for query in items().values()
    )
    row = (await session.execute(select(*counted))).one()
    return dict(zip(KINDS, row, strict=True))


async def find(session: Session, object_id: str) -> Item | None:
    """Return the item of an object, or None."""
    found = union_all(*items().values()).subquery()
    row = (await session.execute(select(found).where(found.c.object_id == object_id))).one_or_none()
    return Item(**row._mapping) if row is not None else None


async def is_dismissed(session: Session, object_id: str) -> bool:
    """Return whether the item of an object was dismissed."""
    return await session.get(Dismissal, object_id) is not None


async def dismiss(session: Session, object_id: str, *, by: str, reason: str, now: datetime) -> bool:
    """Dismiss an item. Return False if it was dismissed before."""
    done = await session.scalar(
        insert(Dismissal)
        .values(object_id=object_id, dismissed_at=now, dismissed_by=by, reason=reason)
        .on_conflict_do_nothing(index_elements=[Dismissal.object_id])
        .returning(Dismissal.object_id)
    )
    return done is not None
