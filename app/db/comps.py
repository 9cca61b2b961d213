"""Comps and their grants. Callers hold the subscriber's lock."""

from datetime import datetime

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import Comp as Row
from app.db.models import Grant as GrantRow
from app.db.models import table_of
from app.domain.comps import Comp
from app.domain.entitlements import Grant, dump_features

_ROWS = table_of(Row)
_OF_SUBSCRIBER = (
    select(*_ROWS.c).where(_ROWS.c.subscriber_id == bindparam("subscriber")).order_by(_ROWS.c.starts_at, _ROWS.c.id)
)


async def add(session: Session, comp: Comp, grant: Grant) -> None:
    """Insert a comp and its grant."""
    session.add(
        Row(
            id=comp.id,
            subscriber_id=comp.subscriber_id,
            plan=comp.plan,
            issues=comp.issues,
            starts_at=comp.starts_at,
            until=comp.until,
            reason=comp.reason,
            given_by=comp.given_by,
        )
    )
    await session.flush()
    await session.execute(
        insert(GrantRow).values(
            id=grant.id, subscriber_id=comp.subscriber_id, source=grant.source, features=dump_features(grant.features)
        )
    )


async def remove(session: Session, comp_id: str, grant_id: str, *, by: str, at: datetime) -> bool:
    """Revoke a comp. Return False if it was revoked before."""
    done = await session.scalar(
        update(Row)
        .where(Row.id == comp_id, Row.removed_at.is_(None))
        .values(removed_at=at, removed_by=by)
        .returning(Row.id)
    )
    await session.execute(delete(GrantRow).where(GrantRow.id == grant_id))
    return done is not None


async def by_id(session: Session, comp_id: str) -> Comp | None:
    """Return the comp with an ID."""
    row = await session.get(Row, comp_id, populate_existing=True)
    return _comp(row) if row is not None else None


async def of_subscriber(session: Reads, subscriber_id: str) -> list[Comp]:
    """Return a reader's comps, earliest first."""
    rows = await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})
    return [_comp(row) for row in rows]


def _comp(row: Row | Record) -> Comp:
    return Comp(
        id=row.id,
        subscriber_id=row.subscriber_id,
        plan=row.plan,
        issues=row.issues,
        starts_at=row.starts_at,
        until=row.until,
        reason=row.reason,
        given_by=row.given_by,
        removed_at=row.removed_at,
        removed_by=row.removed_by,
    )
