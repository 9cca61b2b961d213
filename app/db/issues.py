"""The issue calendar, and adjustments of terms. Grants are derived from the calendar: see :mod:`app.db.editions`."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.dialects.postgresql import insert

from app.db import editions
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Session
from app.db.models import Issue as Row
from app.db.models import IssueAdjustment, Term
from app.domain.issues import Calendar, Issue


async def calendar(session: Reads, zone: ZoneInfo) -> Calendar:
    """Return the current calendar, with one small query unless it changed."""
    return (await editions.current(session, zone)).calendar


async def by_number(session: Session, number: int) -> Issue | None:
    """Return the issue with a number."""
    row = await session.get(Row, number, populate_existing=True)
    return editions.issue_of(row) if row is not None else None


async def page(session: Session, *, after: int, limit: int) -> list[Issue]:
    """Return the issues after a number, in order."""
    rows = await session.scalars(select(Row).where(Row.number > after).order_by(Row.number).limit(limit))
    return [editions.issue_of(row) for row in rows]


async def count_copies(session: Session, number: int) -> int:
    """Return how many print subscriptions are owed a copy of an issue."""
    owing = select(func.count(Term.subscription_id.distinct())).where(
        Term.print_edition, Term.copies.op("@>")(cast(number, Integer)), Term.copies_ended_at.is_(None)
    )
    return await session.scalar(owing) or 0


async def save(session: Session, issues: Iterable[Issue]) -> None:
    """Insert or update issues. The caller has locked changes, and publishes the edition."""
    for issue in issues:
        values = {
            "title": issue.title,
            "cover_date": issue.cover_date,
            "planned_mail_date": issue.planned_mail_date,
            "actual_mail_date": issue.actual_mail_date,
            "label_cutoff": issue.label_cutoff,
            "counts_as": issue.counts_as,
        }
        made = insert(Row).values(number=issue.number, **values)
        await session.execute(made.on_conflict_do_update(index_elements=[Row.number], set_=values))


async def add_adjustment(
    session: Session,
    adjustment_id: str,
    *,
    invoice_id: str,
    subscription_id: str,
    kind: str,
    issues: int,
    reason: str,
    note: str | None,
    by: str,
    now: datetime,
) -> bool:
    """Add an adjustment to a term. Return False if it exists already."""
    made = await session.scalar(
        insert(IssueAdjustment)
        .values(
            id=adjustment_id,
            invoice_id=invoice_id,
            subscription_id=subscription_id,
            kind=kind,
            issues=issues,
            reason=reason,
            note=note,
            by=by,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=[IssueAdjustment.id])
        .returning(IssueAdjustment.id)
    )
    return made is not None


async def has_adjustment(session: Session, adjustment_id: str) -> bool:
    """Return whether an adjustment exists."""
    return await session.get(IssueAdjustment, adjustment_id) is not None
