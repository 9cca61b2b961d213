"""
The feed of subjects whose access shrank.

Whoever follows it asks for what came after a number, so a number must never appear behind one that was seen. Numbers of
transactions that run side by side would: each writer therefore holds one lock until it is committed. It is taken last, and
few transactions take anything away from anyone.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select

from app.db.engine.change_feed import REVOCATIONS
from app.db.engine.session import Session
from app.db.models import Revocation as Row
from app.domain.revocations import Revocation

_ONE_AT_A_TIME = 6_207_110  # the advisory lock's number, of no other meaning


async def add(session: Session, sub: str, version: int) -> None:
    """Append one, in the transaction that takes the access away."""
    await session.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
    session.add(Row(sub=sub, version=version))
    await session.flush()
    await session.execute(select(func.pg_notify(REVOCATIONS, "")))


async def after(session: Session, number: int, *, limit: int) -> Sequence[Revocation]:
    """Return those that came after ``number``, in their order."""
    rows = await session.scalars(select(Row).where(Row.id > number).order_by(Row.id).limit(limit))
    return [Revocation(id=row.id, sub=row.sub, version=row.version, at=row.at) for row in rows]


async def prune(session: Session, *, kept_for: timedelta) -> None:
    """Forget those that are older than any token; the last one stays, so that numbers go on from it."""
    newest = select(func.max(Row.id)).scalar_subquery()
    await session.execute(delete(Row).where(Row.at < func.now() - kept_for, Row.id < newest))
