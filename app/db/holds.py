"""Holds of readers. Callers that change one hold the subscriber's lock. See :mod:`app.domain.holds`."""

from datetime import date, datetime

from sqlalchemy import select, update

from app.db.engine.session import Session
from app.db.models import Hold as Row
from app.domain.holds import Hold, SavedHold


async def of_subscriber(session: Session, subscriber_id: str) -> list[SavedHold]:
    """Return a reader's holds, the latest first."""
    rows = await session.scalars(
        select(Row).where(Row.subscriber_id == subscriber_id).order_by(Row.starts_on.desc(), Row.id),
        execution_options={"populate_existing": True},
    )
    return [_saved(row) for row in rows]


async def add(session: Session, saved: SavedHold, *, over_by: date, now: datetime) -> None:
    """
    Insert a hold.

    :param over_by: a day by which it is over, however the calendar changes.
    """
    session.add(
        Row(
            id=saved.id,
            subscriber_id=saved.subscriber_id,
            starts_on=saved.hold.starts_on,
            until=saved.hold.until,
            issues=saved.hold.issues,
            keeps_digital=saved.hold.keeps_digital,
            over_by=over_by,
            created_by=saved.created_by,
            created_at=now,
        )
    )
    await session.flush()


async def lift(session: Session, hold_id: str, *, ended_on: date) -> None:
    """Record that a hold was lifted."""
    await session.execute(update(Row).where(Row.id == hold_id).values(ended_on=ended_on))


def _saved(row: Row) -> SavedHold:
    return SavedHold(
        id=row.id,
        subscriber_id=row.subscriber_id,
        hold=Hold(
            starts_on=row.starts_on,
            until=row.until,
            issues=row.issues,
            keeps_digital=row.keeps_digital,
            ended_on=row.ended_on,
        ),
        created_by=row.created_by,
    )
