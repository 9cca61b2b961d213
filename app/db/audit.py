"""What a person, or a policy in a person's stead, did to someone's money or access. Appended to, and never changed."""

from collections.abc import Mapping

from sqlalchemy import select
from structlog.contextvars import get_contextvars

from app.db.models import AuditEntry
from app.db.session import Session
from app.domain.timelines import Noted


async def record(
    session: Session,
    *,
    actor: str,
    action: str,
    object_id: str,
    subscriber_id: str | None = None,
    reason: str | None = None,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """
    Append one entry, in the transaction that does what it tells of.

    :param actor: ``reader:<sub>``, ``staff:<sub>``, ``key:<id>``, ``stripe`` or ``policy``.
    """
    request_id = get_contextvars().get("request_id")
    session.add(
        AuditEntry(
            actor=actor,
            action=action,
            object_id=object_id,
            subscriber_id=subscriber_id,
            reason=reason,
            before=dict(before) if before is not None else None,
            after=dict(after) if after is not None else None,
            request_id=str(request_id) if request_id is not None else None,
        )
    )
    await session.flush()


async def story_of(session: Session, subscriber_id: str, *, limit: int = 500) -> list[Noted]:
    """Return what was noted of a reader, the newest ``limit`` of it."""
    rows = await session.execute(
        select(AuditEntry.at, AuditEntry.actor, AuditEntry.action, AuditEntry.reason)
        .where(AuditEntry.subscriber_id == subscriber_id)
        .order_by(AuditEntry.id.desc())
        .limit(limit)
    )
    return [Noted(at=row.at, actor=row.actor, action=row.action, reason=row.reason) for row in rows]
