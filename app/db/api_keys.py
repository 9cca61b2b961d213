"""API keys. Only their hash is stored, unsalted: the keys are 256 random bits, so a hash can't be reversed."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update

from app.db.engine.session import Session
from app.db.models import ApiKey as Row
from app.domain.callers import ServerKey


async def create(session: Session, key_id: str, *, hashed: str, name: str, scopes: tuple[str, ...]) -> None:
    """Store a new key."""
    session.add(Row(id=key_id, hash=hashed, name=name, scopes=list(scopes)))
    await session.flush()


async def find(session: Session, hashed: str) -> ServerKey | None:
    """Return the key with a hash, unless it was revoked."""
    found = await session.execute(select(Row.id, Row.scopes).where(Row.hash == hashed, Row.revoked_at.is_(None)))
    row = found.one_or_none()
    return ServerKey(id=row.id, scopes=frozenset(row.scopes)) if row else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedKey:
    """A key in a list. The key itself is not stored."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


async def list_all(session: Session) -> list[ListedKey]:
    """Return all keys, oldest first."""
    rows = await session.scalars(select(Row).order_by(Row.created_at, Row.id))
    return [
        ListedKey(
            id=row.id,
            name=row.name,
            scopes=tuple(row.scopes),
            created_at=row.created_at,
            revoked_at=row.revoked_at,
        )
        for row in rows
    ]


async def revoke(session: Session, key_id: str) -> bool:
    """Revoke a key. Return False if it does not exist or was revoked before."""
    done = await session.scalar(
        update(Row).where(Row.id == key_id, Row.revoked_at.is_(None)).values(revoked_at=func.now()).returning(Row.id)
    )
    return done is not None
