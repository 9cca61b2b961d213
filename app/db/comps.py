"""Comps and their grants. Callers hold the subscriber's lock."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, insert

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
_OWNERS = select(_ROWS.c.id, _ROWS.c.subscriber_id).where(_ROWS.c.id == func.any(bindparam("ids", type_=ARRAY(TEXT))))
_OF_SUBSCRIBERS = (
    select(*_ROWS.c)
    .where(_ROWS.c.subscriber_id == func.any(bindparam("subscribers", type_=ARRAY(TEXT))))
    .order_by(_ROWS.c.starts_at, _ROWS.c.id)
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


async def owners(session: Session, comp_ids: Collection[str]) -> dict[str, str]:
    """Return the subscriber of each of these comps that exist."""
    found = await session.execute(_OWNERS, {"ids": list(comp_ids)})
    return {row.id: row.subscriber_id for row in found}


async def of_subscribers(session: Reads, subscriber_ids: Sequence[str]) -> dict[str, list[Comp]]:
    """Return the comps of several readers, earliest first, by reader."""
    found: dict[str, list[Comp]] = {}
    for row in await session.execute(_OF_SUBSCRIBERS, {"subscribers": list(subscriber_ids)}):
        found.setdefault(row.subscriber_id, []).append(_comp(row))
    return found


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
