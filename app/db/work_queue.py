"""
The work queue: a query for each kind of item, and what staff said about items.

Each query has a partial index in the order of the queue, so reading and counting cost what is open, not what ever was.

========================  ==============================  ====================  ====================
kind                      code                            why                   detail
========================  ==============================  ====================  ====================
dispute, dispute_concern  status at Stripe                the bank's reason     concern
refund_failed             status                          Stripe's reason       basis
approval                  refund, comp or extension       reason                basis, or plan
fraud_warning             what the policy did             Stripe's type         --
credit_note               what staff must check           --                    basis
notification              state                           what the server said  kind
declaration               withdrawal, cancellation        acknowledgment        how it arrived
event                     type                            last error            --
anomaly                   code                            reason in words       object at Stripe
========================  ==============================  ====================  ====================
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert

from app.db import attention
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import (
    DUE_BY,
    Anomaly,
    ApprovalRequest,
    Declaration,
    Dispute,
    Event,
    FraudWarning,
    Notification,
    Refund,
)
from app.db.models import WorkItemMarks as Row
from app.db.work_item_columns import code_of, item_of
from app.domain.approvals import ApprovalKind, ApprovalStatus
from app.domain.events import EventState
from app.domain.work_queue import MOST_COUNTED, ItemKind, Marks, Selection, WorkItem

_INFINITY: ColumnElement[datetime] = literal_column("'infinity'::timestamptz", DateTime(timezone=True))


def _sources() -> Mapping[ItemKind, Sequence[Select[Any]]]:
    """Return the queries of each kind."""
    disputed: dict[str, Any] = {"code": Dispute.status, "why": Dispute.reason, "detail": Dispute.concern}
    dispute_state = (Dispute.status, Dispute.concern, Dispute.due_by)
    needs_attention = attention.items()
    return {
        ItemKind.DISPUTE: [
            select(
                *item_of(
                    Dispute,
                    DUE_BY,
                    kind=ItemKind.DISPUTE,
                    since=Dispute.opened_at,
                    state=dispute_state,
                    **disputed,
                )
            ).where(Dispute.closed_at.is_(None))
        ],
        ItemKind.REFUND_FAILED: [
            needs_attention[attention.REFUND].with_only_columns(
                *item_of(
                    Refund,
                    Refund.created_at,
                    kind=ItemKind.REFUND_FAILED,
                    code=Refund.status,
                    why=Refund.failure_reason,
                    detail=Refund.basis,
                    state=(Refund.status, Refund.failure_reason),
                )
            )
        ],
        ItemKind.APPROVAL: [
            select(
                *item_of(
                    Refund,
                    Refund.created_at,
                    kind=ItemKind.APPROVAL,
                    code=code_of(ApprovalKind.REFUND),
                    why=Refund.reason,
                    detail=Refund.basis,
                    state=(Refund.status,),
                )
            ).where(Refund.status == code_of(ApprovalStatus.AWAITING_APPROVAL)),
            select(
                *item_of(
                    ApprovalRequest,
                    ApprovalRequest.created_at,
                    kind=ItemKind.APPROVAL,
                    code=ApprovalRequest.kind,
                    why=ApprovalRequest.reason,
                    detail=ApprovalRequest.plan,
                    state=(ApprovalRequest.status,),
                )
            ).where(ApprovalRequest.status == code_of(ApprovalStatus.AWAITING_APPROVAL)),
        ],
        ItemKind.FRAUD_WARNING: [
            needs_attention[attention.WARNING].with_only_columns(
                *item_of(
                    FraudWarning,
                    FraudWarning.created_at,
                    kind=ItemKind.FRAUD_WARNING,
                    code=FraudWarning.acted_as,
                    why=FraudWarning.fraud_type,
                    state=(FraudWarning.acted_as,),
                )
            )
        ],
        ItemKind.DISPUTE_CONCERN: [
            needs_attention[attention.DISPUTE]
            .with_only_columns(
                *item_of(Dispute, Dispute.opened_at, kind=ItemKind.DISPUTE_CONCERN, state=dispute_state, **disputed)
            )
            .where(Dispute.closed_at.is_not(None))
        ],
        ItemKind.CREDIT_NOTE: [
            needs_attention[attention.NOTE].with_only_columns(
                *item_of(
                    Refund,
                    Refund.created_at,
                    kind=ItemKind.CREDIT_NOTE,
                    code=Refund.attention,
                    detail=Refund.basis,
                    state=(Refund.attention,),
                )
            )
        ],
        ItemKind.NOTIFICATION: [
            needs_attention[attention.NOTIFICATION].with_only_columns(
                *item_of(
                    Notification,
                    Notification.settled_at,
                    kind=ItemKind.NOTIFICATION,
                    code=Notification.status,
                    why=func.coalesce(Notification.bounce, Notification.result),
                    detail=Notification.kind,
                    state=(Notification.status, Notification.bounce),
                )
            )
        ],
        ItemKind.DECLARATION: [
            needs_attention[attention.DECLARATION].with_only_columns(
                *item_of(
                    Declaration,
                    Declaration.received_at,
                    kind=ItemKind.DECLARATION,
                    code=Declaration.kind,
                    why=Declaration.acknowledgment,
                    detail=Declaration.channel,
                    state=(Declaration.status,),
                )
            )
        ],
        ItemKind.EVENT: [
            select(
                *item_of(
                    Event,
                    Event.received_at,
                    kind=ItemKind.EVENT,
                    code=Event.type,
                    why=Event.last_error,
                    state=(Event.last_error,),
                )
            ).where(Event.state == code_of(EventState.DEAD))
        ],
        ItemKind.ANOMALY: [
            select(
                *item_of(
                    Anomaly,
                    Anomaly.seen_at,
                    kind=ItemKind.ANOMALY,
                    code=Anomaly.code,
                    why=Anomaly.reason,
                    detail=Anomaly.object_id,
                    state=(Anomaly.seen_at, Anomaly.reason),
                )
            ).where(Anomaly.gone_at.is_(None))
        ],
    }


_SOURCES = _sources()


def _asleep(item: Any) -> ColumnElement[bool]:
    """Return whether an item is snoozed and unchanged. NULL, which is not true, if nobody said anything about it."""
    until = bindparam("now", type_=DateTime(timezone=True))
    return and_(Row.snoozed_until > until, Row.snoozed_state == item.c.state)


def _awake(item: Any) -> ColumnElement[bool]:
    return func.coalesce(_asleep(item), False).is_(False)


async def page(
    session: Session,
    wanted: Selection,
    *,
    after: tuple[ItemKind, datetime | None, str] | None,
    limit: int,
    now: datetime,
) -> list[WorkItem]:
    """
    Return the selected items after a position, the most urgent first.

    :param after: the kind, the ``at`` and the ID of the last item before.
    """
    found: list[WorkItem] = []
    kinds = wanted.kinds
    if after is not None:
        kinds = tuple(kind for kind in kinds if list(ItemKind).index(kind) >= list(ItemKind).index(after[0]))
    for kind in kinds:  # mostly the first kinds fill the page, and an empty kind costs one look into its index
        position = after[1:] if after is not None and after[0] == kind else None
        rows = await session.execute(_page(kind, wanted, position, limit - len(found)), {"now": now})
        found += [_work_item(row) for row in rows]
        if len(found) >= limit:
            break
    return found


def _page(kind: ItemKind, wanted: Selection, position: tuple[datetime | None, str] | None, limit: int) -> Select[Any]:
    each = [_marked(source, wanted, position).limit(limit) for source in _SOURCES[kind]]
    if len(each) == 1:
        return each[0]
    together = union_all(*(select(one.subquery()) for one in each)).subquery()
    return select(together).order_by(together.c.at, together.c.object_id).limit(limit)


def _marked(source: Select[Any], wanted: Selection, position: tuple[datetime | None, str] | None) -> Select[Any]:
    item_id, at = source.selected_columns["object_id"], _at(source)
    if position is not None:
        last = _INFINITY if position[0] is None else literal(position[0], DateTime(timezone=True))
        source = source.where(tuple_(at, item_id) > tuple_(last, literal(position[1])))
    item = source.subquery("item")
    query = select(item, *_MARKS).outerjoin(Row, Row.object_id == item.c.object_id)
    query = query.where(_asleep(item) if wanted.asleep else _awake(item))
    if wanted.assigned_to is not None:
        query = query.where(Row.assigned_to == wanted.assigned_to)
    if wanted.unassigned:
        query = query.where(Row.assigned_to.is_(None))
    return query.order_by(item.c.at, item.c.object_id)


def _at(source: Select[Any]) -> ColumnElement[Any]:
    """Return what a source is ordered by, without its label."""
    column: Any = source.selected_columns["at"]
    found: ColumnElement[Any] = getattr(column, "element", column)
    return found


async def counts(read: Reads, kinds: Sequence[ItemKind], *, now: datetime) -> dict[ItemKind, int]:
    """Return the number of items that are not asleep, by kind: counting stops after :data:`MOST_COUNTED` + 1."""
    if not kinds:
        return {}
    (row,) = await read.execute(_counts(tuple(kinds)), {"now": now})
    return {kind: getattr(row, kind.value) for kind in kinds}


@cache
def _counts(kinds: tuple[ItemKind, ...]) -> Select[Any]:
    columns = []
    for kind in kinds:
        each = []
        for source in _SOURCES[kind]:
            item = source.subquery("item")
            open_ = select(literal(1).label("one")).select_from(item)
            open_ = open_.outerjoin(Row, Row.object_id == item.c.object_id).where(_awake(item))
            open_ = open_.order_by(
                item.c.at, item.c.object_id
            )  # of the index: otherwise the planner may scan the table
            each.append(select(open_.limit(MOST_COUNTED + 1).subquery().c.one))
        together = (union_all(*each) if len(each) > 1 else each[0]).subquery()
        columns.append(
            select(func.least(func.count(), MOST_COUNTED + 1)).select_from(together).scalar_subquery().label(kind.value)
        )
    return select(*columns)


async def find(session: Session, item_id: str) -> WorkItem | None:
    """Return an item by the ID of its object, asleep or not; None if it is not in the queue."""
    for kind in ItemKind:
        for source in _SOURCES[kind]:
            item = source.where(source.selected_columns["object_id"] == item_id).subquery("item")
            query = select(item, *_MARKS).outerjoin(Row, Row.object_id == item.c.object_id)
            row = (await session.execute(query)).one_or_none()
            if row is not None:
                return _work_item(row)
    return None


async def save(session: Session, item_id: str, marks: Marks, *, now: datetime) -> bool:
    """
    Store what staff say about an item, if it is still at the version that ``marks`` was read at.

    :return: False if someone else changed it in the meantime.
    """
    values = {
        "version": marks.version + 1,
        "assigned_to": marks.assigned_to,
        "snoozed_until": marks.snoozed_until,
        "snoozed_state": marks.snoozed_state,
        "note": marks.note,
        "changed_at": now,
    }
    saved = await session.scalar(
        insert(Row)
        .values(object_id=item_id, **values)
        .on_conflict_do_update(index_elements=[Row.object_id], set_=values, where=Row.version == marks.version)
        .returning(Row.version)
    )
    return saved is not None


_MARKS = (Row.version, Row.assigned_to, Row.snoozed_until, Row.snoozed_state, Row.note)


def _work_item(row: Record) -> WorkItem:
    is_last = row.kind == ItemKind.DISPUTE and row.due_by is None
    return WorkItem(
        id=row.object_id,
        kind=ItemKind(row.kind),
        code=row.code or "",
        why=row.why,
        detail=row.detail,
        subscriber_id=row.subscriber_id,
        payment_id=row.payment_id,
        amount=row.amount,
        currency=row.currency,
        requested_by=row.requested_by,
        since=row.since,
        due_by=row.due_by,
        at=None if is_last else row.at,
        state=row.state,
        marks=Marks(
            version=row.version or 0,
            assigned_to=row.assigned_to,
            snoozed_until=row.snoozed_until,
            snoozed_state=row.snoozed_state,
            note=row.note,
        ),
    )
