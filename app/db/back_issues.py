"""Orders of back issues."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, func, select, tuple_

from app.db.engine.session import Session
from app.db.models import ApprovalRequest, Label, LabelRun, Subscriber, table_of
from app.db.models import BackIssue as Row
from app.domain.approvals import ApprovalStatus
from app.domain.back_issues import BackIssue
from app.domain.erasures import ERASED
from app.domain.label_runs import LabelKind

_AFTER = table_of(Row).alias("after")


async def insert(session: Session, order: BackIssue) -> None:
    """Insert an order."""
    session.add(
        Row(
            id=order.id,
            subscriber_id=order.subscriber_id,
            subscription_id=order.subscription_id,
            issue_number=order.issue_number,
            note=order.note,
            ordered_by=order.ordered_by,
            created_at=order.created_at,
        )
    )
    await session.flush()


async def by_id(session: Session, order_id: str) -> BackIssue | None:
    """Return an order."""
    found = _orders((await session.execute(_select().where(Row.id == order_id))).all())
    return found[0] if found else None


async def page(
    session: Session, *, subscriber_id: str | None, issue_number: int | None, after: str | None, limit: int
) -> list[BackIssue]:
    """Return orders after an ID, the newest first."""
    query = _select().order_by(Row.created_at.desc(), Row.id.desc()).limit(limit)
    if subscriber_id is not None:
        query = query.where(Row.subscriber_id == subscriber_id)
    if issue_number is not None:
        query = query.where(Row.issue_number == issue_number)
    if after is not None:  # a range of the index
        position = select(_AFTER.c.created_at).where(_AFTER.c.id == after).scalar_subquery()
        query = query.where(tuple_(Row.created_at, Row.id) < tuple_(position, after))
    return _orders((await session.execute(query)).all())


async def count_to(session: Session, subscriber_id: str, *, since: datetime | None) -> int:
    """Return how many back issues were ordered for a reader, without rejected orders."""
    query = (
        select(func.count())
        .select_from(Row)
        .join(ApprovalRequest, ApprovalRequest.id == Row.id, isouter=True)
        .where(
            Row.subscriber_id == subscriber_id,
            func.coalesce(ApprovalRequest.status, "") != ApprovalStatus.REJECTED,
        )
    )
    if since is not None:
        query = query.where(Row.created_at >= since)
    return int(await session.scalar(query) or 0)


async def count_by(session: Session, actor: str, *, since: datetime) -> int:
    """Return how many back issues a person ordered that needed no second person."""
    return int(
        await session.scalar(
            select(func.count())
            .select_from(Row)
            .where(
                Row.ordered_by == actor,
                Row.created_at >= since,
                ~select(ApprovalRequest.id).where(ApprovalRequest.id == Row.id).exists(),
            )
        )
        or 0
    )


def _select() -> "Select[Row, str | None, int | None, bool]":
    approval = select(ApprovalRequest.status).where(ApprovalRequest.id == Row.id).scalar_subquery()
    supplement = (  # looked up for each row that is returned
        select(LabelRun.number)
        .join(Label, Label.run_id == LabelRun.id)
        .where(
            Label.subscription_id == Row.subscription_id,
            Label.issue_number == Row.issue_number,
            Label.kind == LabelKind.BACK_ISSUE,
            Label.claim_id == Row.id,
        )
        .scalar_subquery()
    )
    is_erased = select(Subscriber.sub.startswith(ERASED)).where(Subscriber.id == Row.subscriber_id).scalar_subquery()
    return select(Row, approval, supplement, is_erased).execution_options(populate_existing=True)


def _orders(rows: Sequence[tuple[Row, str | None, int | None, bool]]) -> list[BackIssue]:
    return [
        BackIssue(
            id=row.id,
            subscriber_id=row.subscriber_id,
            subscription_id=row.subscription_id,
            issue_number=row.issue_number,
            note=row.note,
            ordered_by=row.ordered_by,
            created_at=row.created_at,
            approval=approval,
            supplement=supplement,
            is_erased=is_erased,
        )
        for row, approval, supplement, is_erased in rows
    ]
