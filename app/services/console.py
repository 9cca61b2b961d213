"""What the console does for itself: it notes who came in and what was refused, reads the audit log, and replays events."""

from dataclasses import dataclass

from app.db import audit
from app.db import console as rows
from app.db.console import Entry, Stuck
from app.db.session import Sessions
from app.domain.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Some of the audit log, and where it goes on."""

    entries: list[Entry]
    next: int | None


async def note(sessions: Sessions, *, by: str, action: str, what: str, reason: str | None = None) -> None:
    """Append to the audit log what happened at the console and to no reader."""
    async with sessions.begin() as session:
        await audit.record(session, actor=by, action=action, object_id=what, reason=reason)


async def log(sessions: Sessions, *, actor: str, action: str, about: str, before: int | None, limit: int) -> Log:
    """Return entries of the audit log by filters, the newest first."""
    async with sessions.begin() as session:
        found = await rows.entries(session, actor=actor, action=action, about=about, before=before, limit=limit + 1)
    return Log(entries=found[:limit], next=found[limit - 1].id if len(found) > limit else None)


async def stuck(sessions: Sessions, states: list[str], *, limit: int) -> list[Stuck]:
    """Return events that could not be applied so far."""
    async with sessions.begin() as session:
        return await rows.stuck(session, states, limit=limit)


async def replay(sessions: Sessions, event_id: str, *, by: str) -> None:
    """
    Have an event looked at again. Its object is fetched afresh, so that does no harm.

    :raises NotFound: it does not wait for that: it was applied meanwhile, or there is none.
    """
    async with sessions.begin() as session:
        if not await rows.replay(session, event_id):
            raise NotFound("there is no such event that failed: it may have been applied meanwhile")
        await audit.record(session, actor=by, action="event.replay", object_id=event_id)
