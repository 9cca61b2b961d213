"""
The feed of revocations: subscribers who lost access.

Clients ask for revocations after a number, so numbers must become visible in order. Concurrent transactions would commit
them out of order, so each holds an advisory lock until its commit. The lock is taken last, and few transactions revoke.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, select, update

from app.db.engine.change_feed import REVOCATIONS
from app.db.engine.session import Session
from app.db.models import Revocation as Row
from app.domain.revocations import Revocation

EXPIRED = "expired"  # instead of the ``sub`` of the last revocation once it has no effect anymore
LOCK_ID = 6_207_110  # of the advisory lock; any number that no other lock uses


async def add(session: Session, sub: str, version: int) -> None:
    """Append a revocation, in the transaction that reduces the access."""
    await session.execute(select(func.pg_advisory_xact_lock(LOCK_ID)))
    session.add(Row(sub=sub, version=version))
    await session.flush()
    await session.execute(select(func.pg_notify(REVOCATIONS, "")))


async def after(session: Session, number: int, *, limit: int) -> Sequence[Revocation]:
    """Return the revocations after a number, in order."""
    rows = await session.scalars(select(Row).where(Row.id > number).order_by(Row.id).limit(limit))
    return [Revocation(id=row.id, sub=row.sub, version=row.version, at=row.at) for row in rows]


async def prune(session: Session, *, kept_for: timedelta) -> None:
    """
    Delete revocations that are older than any valid token.

    The last one stays, so that the numbers continue. It forgets whom it was about.
    """
    newest, is_old = select(func.max(Row.id)).scalar_subquery(), Row.at < func.now() - kept_for
    await session.execute(delete(Row).where(is_old, Row.id < newest))
    await session.execute(update(Row).where(is_old, Row.sub != EXPIRED).values(sub=EXPIRED))
