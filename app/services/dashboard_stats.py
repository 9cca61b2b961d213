"""The figures of the front page: shown at once, counted by a worker when somebody looked."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.context import Context
from app.db import dashboard_stats, health
from app.domain.dashboard_stats import DashboardStats, first_monday


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What the front page shows. The events are of this moment, the figures of ``age`` ago."""

    figures: DashboardStats | None  # None: they are being counted for the first time
    age: timedelta | None
    being_counted: bool
    events: dict[str, int]  # those that wait, by state
    oldest_event: timedelta | None


async def front(ctx: Context) -> Front:
    """Return the last figures, and have them counted again when they are old."""
    async with ctx.sessions.begin() as session:
        kept = await dashboard_stats.read(session)
        asked = await dashboard_stats.ask(session)
        return Front(
            figures=kept.figures,
            age=kept.age,
            being_counted=kept.being_counted or asked,
            events=await health.events_by_state(session),
            oldest_event=await health.oldest_unapplied_age(session),
        )


async def last(ctx: Context) -> DashboardStats | None:
    """Return the last figures, for a picture of them."""
    async with ctx.sessions.begin() as session:
        return (await dashboard_stats.read(session)).figures


async def events(ctx: Context) -> dict[str, int]:
    """Return how many events wait at this moment, by state."""
    async with ctx.sessions.begin() as session:
        return await health.events_by_state(session)


async def count(ctx: Context, *, now: datetime) -> None:
    """Count them anew."""
    async with ctx.sessions.begin() as session:
        counted = await dashboard_stats.count(
            session, first=first_monday(now, ctx.rules.zone), zone=ctx.rules.zone, now=now
        )
        await dashboard_stats.keep(session, counted)
