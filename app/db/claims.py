"""Claims of copies. See :mod:`app.domain.claims`."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, func, select, tuple_, update

from app.db.engine.session import Session
from app.db.models import ApprovalRequest, Label, LabelRun, Subscription, table_of
from app.db.models import Claim as Row
from app.domain.approvals import ApprovalKind, ApprovalStatus
from app.domain.claims import Claim, ClaimableCopy, ClaimResolution, ClaimSelection
from app.domain.label_runs import Flag, LabelKind

_AFTER = table_of(Row).alias("after")
_IS_REJECTED = func.coalesce(ApprovalRequest.status, "") == ApprovalStatus.REJECTED


async def sent_copies(
    session: Session, issue_number: int, *, subscription_id: str | None = None, subscriber_id: str | None = None
) -> list[ClaimableCopy]:
    """Return the copies of an issue that a subscription or a subscriber was sent, the newest subscription first."""
    query = (
        select(Label, LabelRun, Subscription.subscriber_id)
        .join(LabelRun, LabelRun.id == Label.run_id)
        .join(Subscription, Subscription.id == Label.subscription_id)
        .where(Label.issue_number == issue_number, Label.kind == LabelKind.COPY)
        .order_by(Subscription.created_at.desc(), Subscription.id)
    )
    if subscription_id is not None:
        query = query.where(Label.subscription_id == subscription_id)
    if subscriber_id is not None:
        query = query.where(Subscription.subscriber_id == subscriber_id)
    return [
        ClaimableCopy(
            subscription_id=label.subscription_id,
            subscriber_id=owner,
            term=label.term,
            issue_number=label.issue_number,
            run_number=run.number,
            address_id=label.address_id,
            run_as_of=run.as_of,
            run_mail_date=run.mail_date,
            is_grace=bool(label.flags & Flag.GRACE),
        )
        for label, run, owner in await session.execute(query)
    ]


async def insert(session: Session, claim: Claim) -> None:
    """Insert a claim. The caller holds the subscriber's lock and knows that the copy is not claimed yet."""
    session.add(
        Row(
            id=claim.id,
            subscriber_id=claim.subscriber_id,
            subscription_id=claim.subscription_id,
            term=claim.term,
            issue_number=claim.issue_number,
            run_number=claim.run_number,
            address_id=claim.address_id,
            reason=claim.reason,
            resolution=claim.resolution,
            note=claim.note,
            claimed_by=claim.claimed_by,
            created_at=claim.created_at,
            granted_at=claim.granted_at,
        )
    )
    await session.flush()


async def grant(session: Session, claim_id: str, *, now: datetime) -> None:
    """Grant a claim that waited for a second person."""
    await session.execute(update(Row).where(Row.id == claim_id).values(granted_at=now))


async def by_id(session: Session, claim_id: str) -> Claim | None:
    """Return a claim."""
    return await _first(session, _select().where(Row.id == claim_id))


async def of_copy(session: Session, subscription_id: str, issue_number: int) -> Claim | None:
    """Return the claim of a subscription's copy."""
    return await _first(
        session, _select().where(Row.subscription_id == subscription_id, Row.issue_number == issue_number)
    )


async def page(session: Session, wanted: ClaimSelection, *, after: str | None, limit: int) -> list[Claim]:
    """Return claims after an ID, the newest first."""
    query = _select().order_by(Row.created_at.desc(), Row.id.desc()).limit(limit)
    if wanted.subscriber_id is not None:
        query = query.where(Row.subscriber_id == wanted.subscriber_id)
    if wanted.issue_number is not None:
        query = query.where(Row.issue_number == wanted.issue_number)
    if wanted.awaiting_approval:
        waiting = select(ApprovalRequest.id).where(
            ApprovalRequest.status == ApprovalStatus.AWAITING_APPROVAL, ApprovalRequest.kind == ApprovalKind.CLAIM
        )
        query = query.where(Row.id.in_(waiting), Row.granted_at.is_(None))
    if after is not None:  # a range of the index; with a join, each page would read all those before it
        position = select(_AFTER.c.created_at).where(_AFTER.c.id == after).scalar_subquery()
        query = query.where(tuple_(Row.created_at, Row.id) < tuple_(position, after))
    return _claims((await session.execute(query)).all())


async def count_to(session: Session, subscriber_id: str, *, since: datetime | None) -> int:
    """Return how many copies a reader has claimed, without rejected claims."""
    query = (
        select(func.count())
        .select_from(Row)
        .join(ApprovalRequest, ApprovalRequest.id == Row.id, isouter=True)
        .where(Row.subscriber_id == subscriber_id, ~_IS_REJECTED)
    )
    if since is not None:
        query = query.where(Row.created_at >= since)
    return int(await session.scalar(query) or 0)


async def count_by(session: Session, actor: str, *, since: datetime) -> int:
    """Return how many claims a person made that needed no second person."""
    return int(
        await session.scalar(
            select(func.count())
            .select_from(Row)
            .where(
                Row.claimed_by == actor,
                Row.created_at >= since,
                ~select(ApprovalRequest.id).where(ApprovalRequest.id == Row.id).exists(),
            )
        )
        or 0
    )


def _select() -> "Select[Row, str | None, int | None]":
    # Looked up for each row that is returned: with a join, the labels of all would be read.
    approval = select(ApprovalRequest.status).where(ApprovalRequest.id == Row.id).scalar_subquery()
    replacement = (
        select(LabelRun.number)
        .join(Label, Label.run_id == LabelRun.id)
        .where(
            Label.subscription_id == Row.subscription_id,
            Label.issue_number == Row.issue_number,
            Label.kind == LabelKind.REPLACEMENT,
            Label.claim_id == Row.id,
        )
        .scalar_subquery()
    )
    return select(Row, approval, replacement).execution_options(populate_existing=True)


async def _first(session: Session, query: "Select[Row, str | None, int | None]") -> Claim | None:
    return next(iter(_claims((await session.execute(query)).all())), None)


def _claims(rows: Sequence[tuple[Row, str | None, int | None]]) -> list[Claim]:
    return [
        Claim(
            id=row.id,
            subscriber_id=row.subscriber_id,
            subscription_id=row.subscription_id,
            term=row.term,
            issue_number=row.issue_number,
            run_number=row.run_number,
            address_id=row.address_id,
            reason=row.reason,
            resolution=ClaimResolution(row.resolution),
            note=row.note,
            claimed_by=row.claimed_by,
            created_at=row.created_at,
            granted_at=row.granted_at,
            approval=approval,
            replacement_number=replacement,
        )
        for row, approval, replacement in rows
    ]
