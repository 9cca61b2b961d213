"""When people last signed out, or were signed out, of the console or the hosted account."""

from datetime import datetime

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Session
from app.db.models import SignOut as Row
from app.db.models import table_of

_ROWS = table_of(Row)
_AT = select(_ROWS.c.at).where(_ROWS.c.sub == bindparam("its_sub"))


async def save(session: Session, sub: str, at: datetime) -> None:
    """Store the time of a sign-out, unless a later one is stored."""
    made = insert(Row).values(sub=sub, at=at)
    later = func.greatest(Row.at, made.excluded.at)
    await session.execute(made.on_conflict_do_update(index_elements=[Row.sub], set_={"at": later}))


async def last(read: Reads, sub: str) -> datetime | None:
    """Return the time of the last sign-out, or None."""
    return next((row.at for row in await read.execute(_AT, {"its_sub": sub})), None)
