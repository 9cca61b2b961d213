"""The keys that sign entitlement tokens, shared by all processes. Private keys are stored encrypted."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select, update

from app.db.engine.session import Session
from app.db.models import SigningKey as Row
from app.domain.signing_keys import SigningKey

LOCK_ID = 6_207_111  # of the advisory lock; any number that no other lock uses


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key with its encrypted private key."""

    key: SigningKey
    private: str


async def lock(session: Session) -> None:
    """Let only one process at a time create or replace keys."""
    await session.execute(select(func.pg_advisory_xact_lock(LOCK_ID)))


async def list_all(session: Session) -> list[StoredKey]:
    """Return all keys, oldest first."""
    rows = await session.scalars(select(Row).order_by(Row.signs_from, Row.id))
    return [
        StoredKey(
            key=SigningKey(
                id=row.id,
                public=row.public,
                signs_from=row.signs_from,
                signs_until=row.signs_until,
                withdrawn_at=row.withdrawn_at,
            ),
            private=row.sealed,
        )
        for row in rows
    ]


async def add(session: Session, new: StoredKey) -> None:
    """Store a new key."""
    key = new.key
    session.add(Row(id=key.id, public=dict(key.public), sealed=new.private, signs_from=key.signs_from))
    await session.flush()


async def retire_others(session: Session, key_id: str, *, at: datetime) -> None:
    """Let all other keys stop signing at a time, unless they stop earlier."""
    later = or_(Row.signs_until.is_(None), Row.signs_until > at)
    await session.execute(update(Row).where(Row.id != key_id, later).values(signs_until=at))


async def withdraw_others(session: Session, key_id: str, *, at: datetime) -> None:
    """Make all other keys invalid as of a time."""
    await session.execute(
        update(Row).where(Row.id != key_id, Row.withdrawn_at.is_(None)).values(withdrawn_at=at, signs_until=at)
    )
