"""API keys. Only their hash is stored, unsalted: the keys are over 200 random bits, so a hash can't be reversed."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, or_, select, update

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Session
from app.db.models import ApiKey as Row
from app.db.models import table_of
from app.domain.api_keys import USE_RECORDED_EVERY, ApiKey
from app.domain.callers import ServerKey

_ROWS = table_of(Row)
_FIND = select(_ROWS.c.id, _ROWS.c.scopes, _ROWS.c.expires_at, _ROWS.c.last_used_at).where(
    _ROWS.c.hash == bindparam("hash"),
    _ROWS.c.revoked_at.is_(None),
    or_(_ROWS.c.expires_at.is_(None), _ROWS.c.expires_at > func.now()),
)


async def create(
    session: Session,
    key_id: str,
    *,
    hashed: str,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
    by: str,
) -> None:
    """Store a new key."""
    session.add(Row(id=key_id, hash=hashed, name=name, scopes=list(scopes), expires_at=expires_at, created_by=by))
    await session.flush()


async def find(session: Reads, hashed: str) -> ServerKey | None:
    """Return the key with a hash, unless it was revoked or has expired."""
    row = next(iter(await session.execute(_FIND, {"hash": hashed})), None)
    if row is None:
        return None
    return ServerKey(id=row.id, scopes=frozenset(row.scopes), expires_at=row.expires_at, last_used_at=row.last_used_at)


async def record_use(session: Session, key_id: str) -> None:
    """Store that a key was used just now, unless that was stored minutes ago."""
    await session.execute(
        update(Row)
        .where(Row.id == key_id, or_(Row.last_used_at.is_(None), Row.last_used_at < func.now() - USE_RECORDED_EVERY))
        .values(last_used_at=func.now())
    )


async def list_all(session: Session) -> list[ApiKey]:
    """Return all keys, oldest first."""
    rows = await session.scalars(select(Row).order_by(Row.created_at, Row.id))
    return [_key(row) for row in rows]


async def lock(session: Session, key_id: str) -> ApiKey | None:
    """Lock a key that was not revoked, and return it."""
    row = await session.scalar(select(Row).where(Row.id == key_id, Row.revoked_at.is_(None)).with_for_update())
    return _key(row) if row else None


async def replace(session: Session, key_id: str, *, by_key: str, expires_at: datetime) -> None:
    """Store which key replaces another, and until when the old one stays valid."""
    await session.execute(update(Row).where(Row.id == key_id).values(replaced_by=by_key, expires_at=expires_at))


async def revoke(session: Session, key_id: str) -> bool:
    """Revoke a key. Return False if it does not exist or was revoked before."""
    done = await session.scalar(
        update(Row).where(Row.id == key_id, Row.revoked_at.is_(None)).values(revoked_at=func.now()).returning(Row.id)
    )
    return done is not None


def _key(row: Row) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        replaced_by=row.replaced_by,
        revoked_at=row.revoked_at,
    )
