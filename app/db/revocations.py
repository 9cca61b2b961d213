"""
The feed of revocations: subscribers who lost access.

Clients ask for revocations after a number, so numbers must become visible in order. Concurrent transactions would commit
them out of order, and a lock until the commit would let one sleeping client delay all. So a transaction that reduces access
adds a row without a number. After the commit, the row is published: one short transaction at a time moves such rows to the
feed. The writer does that with its notification; if it is killed in between, whoever reads the feed does it.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, insert, select, text, update

from app.db.engine.change_feed import REVOCATIONS
from app.db.engine.session import Session, notify_after_commit
from app.db.models import PendingRevocation
from app.db.models import Revocation as Row
from app.domain.revocations import Revocation

EXPIRED = "expired"  # instead of the ``sub`` of the last revocation once it has no effect anymore
_PUBLISH = text("SELECT publish_revocations() FROM (SELECT WHERE EXISTS (SELECT FROM pending_revocations)) AS pending")


async def add(session: Session, sub: str, version: int) -> None:
    """Add a revocation, in the transaction that reduces the access."""
    await session.execute(insert(PendingRevocation), {"sub": sub, "version": version})
    notify_after_commit(session, REVOCATIONS)


async def publish(session: Session) -> None:
    """Publish the revocations of committed transactions. It holds a lock until this transaction ends."""
    await session.execute(_PUBLISH)


async def after(session: Session, number: int, *, limit: int) -> Sequence[Revocation]:
    """Return the revocations after a number, in order."""
    rows = await session.scalars(select(Row).where(Row.id > number).order_by(Row.id).limit(limit))
    return [Revocation(id=row.id, sub=row.sub, version=row.version, at=row.at) for row in rows]


async def newest(session: Session) -> int:
    """Return the highest number; 0 if there is none."""
    return await session.scalar(select(func.max(Row.id))) or 0


async def prune(session: Session, *, kept_for: timedelta) -> None:
    """
    Delete revocations that are older than any valid token.

    The last one stays, so that the numbers continue. It forgets whom it was about.
    """
    newest, is_old = select(func.max(Row.id)).scalar_subquery(), Row.at < func.now() - kept_for
    await session.execute(delete(Row).where(is_old, Row.id < newest))
    await session.execute(update(Row).where(is_old, Row.sub != EXPIRED).values(sub=EXPIRED))
