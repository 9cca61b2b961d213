"""What is out of order, for staff to look at."""

from app.db import anomalies
from app.db.engine.session import Sessions
from app.domain.anomalies import Anomaly


async def every(sessions: Sessions, *, after: str | None, limit: int) -> tuple[list[Anomaly], str | None]:
    """Return what is out of order now, and where the list goes on."""
    async with sessions.begin() as session:
        found = await anomalies.open_ones(session, after=after, limit=limit + 1)
    return [one for _, one in found[:limit]], found[limit - 1][0] if len(found) > limit else None
