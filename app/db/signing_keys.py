"""Keys that sign entitlement tokens, shared by every process. What is secret of them comes and goes sealed."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select, update

from app.db.engine.session import Session
from app.db.models import SigningKey as Row
from app.domain.signing_keys import SigningKey

_ONE_AT_A_TIME = 6_207_111  # the advisory lock's number, of no other meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A key with its secret half, as it is kept."""

    key: SigningKey
    secret: str


async def lock(session: Session) -> None:
    """Let one process at a time make or follow keys."""
    await session.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))


async def every(session: Session) -> list[Sealed]:
    """Return all keys, the oldest first."""
    rows = await session.scalars(select(Row).order_by(Row.signs_from, Row.id))
    return [
        Sealed(
            key=SigningKey(
                id=row.id,
                public=row.public,
                signs_from=row.signs_from,
                signs_until=row.signs_until,
                withdrawn_at=row.withdrawn_at,
            ),
            secret=row.sealed,
        )
        for row in rows
    ]


async def add(session: Session, made: Sealed) -> None:
    """Keep a new key."""
    key = made.key
    session.add(Row(id=key.id, public=dict(key.public), sealed=made.secret, signs_from=key.signs_from))
    await session.flush()


async def follow(session: Session, *, at: datetime, but: str) -> None:
    """Have every other key sign no longer than until ``at``."""
    later = or_(Row.signs_until.is_(None), Row.signs_until > at)
    await session.execute(update(Row).where(Row.id != but, later).values(signs_until=at))


async def withdraw(session: Session, *, at: datetime, but: str) -> None:
    """Have no other key count, from now on."""
    await session.execute(
        update(Row).where(Row.id != but, Row.withdrawn_at.is_(None)).values(withdrawn_at=at, signs_until=at)
    )
