"""Views of readers. A view that was recorded a moment ago is not written again, which makes recording cheap."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import any_, bindparam, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.orm import aliased

from app.db.engine.fast_reads import FastReads
from app.db.engine.session import Session
from app.db.models import ReaderView as Row
from app.domain.reader_views import COUNTED_ONCE, ReaderView, Viewer

_ADD = """
INSERT INTO reader_views (subscriber_id, viewer, place, slot)
SELECT id, $2, $3, date_bin($4, now(), 'epoch') FROM unnest($1::text[]) AS seen (id) ORDER BY id
ON CONFLICT (subscriber_id, slot, viewer, place) DO NOTHING
"""


async def add(reads: FastReads, subscriber_ids: Sequence[str], viewer: Viewer) -> None:
    """Record that somebody sees these readers, unless the same was recorded within the last minutes."""
    await reads.fetch(_ADD, list(subscriber_ids), viewer.actor, viewer.place, COUNTED_ONCE)


async def page(
    session: Session,
    *,
    subscriber_id: str | None,
    viewer: str | None,
    since: datetime | None,
    until: datetime | None,
    before: int | None,
    limit: int,
) -> list[ReaderView]:
    """Return the views before the one with an ID, newest first. None matches all."""
    query = select(Row).order_by(Row.at.desc(), Row.id.desc()).limit(limit)
    cursor = aliased(Row)
    position = select(cursor.at).where(cursor.id == before).scalar_subquery()
    for condition in (
        Row.subscriber_id == subscriber_id if subscriber_id is not None else None,
        Row.viewer == viewer if viewer is not None else None,
        Row.at >= since if since is not None else None,
        Row.at < until if until is not None else None,
        tuple_(Row.at, Row.id) < tuple_(position, before) if before is not None else None,
    ):
        if condition is not None:
            query = query.where(condition)
    return [
        ReaderView(id=row.id, subscriber_id=row.subscriber_id, viewer=row.viewer, place=row.place, at=row.at)
        for row in await session.scalars(query)
    ]


async def prune(session: Session, *, kept_for: timedelta, limit: int) -> int:
    """Delete up to ``limit`` views that are older than ``kept_for``. Return how many there were."""
    oldest = select(Row.id, Row.at).order_by(Row.id).limit(limit).subquery()
    old = select(oldest.c.id).where(oldest.c.at < func.now() - bindparam("kept_for", kept_for, type_=INTERVAL))
    gone = await session.scalars(delete(Row).where(Row.id == any_(func.array(old.scalar_subquery()))).returning(Row.id))
    return len(gone.all())
