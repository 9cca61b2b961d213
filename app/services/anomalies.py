"""What is out of order, for staff to look at."""

from app.context import Context
from app.db import anomalies
from app.domain.anomalies import Anomaly


async def every(ctx: Context, *, after: str | None, limit: int) -> tuple[list[Anomaly], str | None]:
    """Return what is out of order now, and where the list goes on."""
    async with ctx.sessions.begin() as session:
        found = await anomalies.open_ones(session, after=after, limit=limit + 1)
    return [one for _, one in found[:limit]], found[limit - 1][0] if len(found) > limit else None
