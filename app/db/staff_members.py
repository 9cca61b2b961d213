"""Staff who have signed in to the console, with their names and email addresses."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import StaffMember as Row
from app.db.models import table_of
from app.domain.callers import Reader
from app.domain.staff_members import StaffMember

_ROWS = table_of(Row)
_NEWEST = (
    select(_ROWS.c.sub, _ROWS.c.name, _ROWS.c.email, _ROWS.c.roles, _ROWS.c.seen_at)
    .order_by(_ROWS.c.seen_at.desc(), _ROWS.c.sub)
    .limit(bindparam("most"))
)


async def save(session: Session, person: Reader, *, at: datetime) -> None:
    """
    Store what the identity provider said about a member of staff. An older answer changes nothing.

    An answer without an email address keeps the one that is known: not every client's tokens have it.
    """
    made = insert(Row).values(
        sub=person.sub,
        name=person.name or person.email or person.sub,
        email=person.email,
        roles=sorted(person.roles),
        seen_at=at,
    )
    await session.execute(
        made.on_conflict_do_update(
            index_elements=[Row.sub],
            set_={
                "name": made.excluded.name,
                "email": func.coalesce(made.excluded.email, Row.email),
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
    return StaffMember(sub=row.sub, name=row.name, email=row.email, roles=frozenset(row.roles), seen_at=row.seen_at)
