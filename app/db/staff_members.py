"""Staff who have signed in to the console, by name."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import StaffMember as Row
from app.db.models import table_of
from app.domain.staff_members import StaffMember

_ROWS = table_of(Row)
_NEWEST = (
    select(_ROWS.c.sub, _ROWS.c.name, _ROWS.c.roles, _ROWS.c.seen_at)
    .order_by(_ROWS.c.seen_at.desc(), _ROWS.c.sub)
    .limit(bindparam("most"))
)


async def save(session: Session, *, sub: str, name: str, roles: Collection[str], at: datetime) -> None:
    """Store the name and the roles that the identity provider gave. An older answer changes nothing."""
    made = insert(Row).values(sub=sub, name=name, roles=sorted(roles), seen_at=at)
    await session.execute(
        made.on_conflict_do_update(
            index_elements=[Row.sub],
            set_={
                "name": made.excluded.name,
                "roles": made.excluded.roles,
                "seen_at": made.excluded.seen_at,
            },
            where=Row.seen_at <= made.excluded.seen_at,
        )
    )


async def find(session: Session, sub: str) -> StaffMember | None:
    """Return a member of staff, or None if they never signed in."""
    row = await session.get(Row, sub)
    return _member(row) if row is not None else None


async def newest(read: Reads, *, limit: int) -> Sequence[StaffMember]:
    """Return the staff who signed in most recently."""
    rows = await read.execute(_NEWEST, {"most": limit})
    return [_member(row) for row in rows]


def _member(row: Row | Record) -> StaffMember:
    return StaffMember(sub=row.sub, name=row.name, roles=frozenset(row.roles), seen_at=row.seen_at)
