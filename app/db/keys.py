"""The keys of servers: each the hash of 256 random bits, so a hash without salt tells nothing of it."""

from sqlalchemy import func, select, update

from app.db.models import ApiKey as Row
from app.db.session import Session
from app.domain.callers import ServerKey


async def create(session: Session, key_id: str, *, hashed: str, name: str, scopes: tuple[str, ...]) -> None:
    """Keep a new key."""
    session.add(Row(id=key_id, hash=hashed, name=name, scopes=list(scopes)))
    await session.flush()


async def find(session: Session, hashed: str) -> ServerKey | None:
    """Return the key of that hash, unless it was revoked."""
    found = await session.execute(select(Row.id, Row.scopes).where(Row.hash == hashed, Row.revoked_at.is_(None)))
    row = found.one_or_none()
    return ServerKey(id=row.id, scopes=frozenset(row.scopes)) if row else None


async def revoke(session: Session, key_id: str) -> bool:
    """Make a key worthless. False: there is none of that id, or it was revoked before."""
    done = await session.scalar(
        update(Row).where(Row.id == key_id, Row.revoked_at.is_(None)).values(revoked_at=func.now()).returning(Row.id)
    )
    return done is not None
