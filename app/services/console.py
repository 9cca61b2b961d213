"""What the console does for itself: it notes who came in, and what was refused."""

from app.db import audit
from app.db.session import Sessions


async def note(
    sessions: Sessions, *, by: str, action: str, what: str, reason: str | None = None, about: str | None = None
) -> None:
    """
    Append to the audit log what happened at the console.

    :param about: the reader whom it concerns, if it concerns one.
    """
    async with sessions.begin() as session:
        await audit.record(session, actor=by, action=action, object_id=what, subscriber_id=about, reason=reason)
