"""The mail dates of issues that moved."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.session import Session
from app.db.models import Issue
from app.db.models import IssueDelay as Row
from app.domain.issue_delays import IssueDelay


async def of_issues(session: Session, numbers: Sequence[int]) -> dict[int, IssueDelay]:
    """Return the delays of issues, by number."""
    found = await session.execute(
        select(Row, Issue.title).join(Issue, Issue.number == Row.number).where(Row.number.in_(numbers))
    )
    return {
        row.number: IssueDelay(
            number=row.number,
            title=title,
            planned_on=row.planned_on,
            expected_on=row.expected_on,
            known_at=row.known_at,
        )
        for row, title in found
    }


async def save(session: Session, delay: IssueDelay) -> None:
    """Store a delay in place of the one before."""
    values = {"planned_on": delay.planned_on, "expected_on": delay.expected_on, "known_at": delay.known_at}
    made = insert(Row).values(number=delay.number, **values)
    await session.execute(made.on_conflict_do_update(index_elements=[Row.number], set_=values))
