"""What the console writes down of itself: who came in, and what was refused."""

from app.db import audit
from app.db.session import Sessions


async def note(sessions: Sessions, *, by: str, action: str, what: str, reason: str | None = None) -> None:
    """Append to the audit log what happened at the console and to no reader."""
    async with sessions.begin() as session:
        await audit.record(session, actor=by, action=action, object_id=what, reason=reason)
