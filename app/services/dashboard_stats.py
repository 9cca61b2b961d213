"""The numbers of the console's dashboard: computed by a worker after they were viewed, if they are old."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.context import Context
from app.db import dashboard_stats, derivations, health
from app.db.derivations import Run
from app.domain.dashboard_stats import DashboardStats, first_monday


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """The numbers of the dashboard. Those of events are current."""

    figures: DashboardStats | None  # None: they are being computed for the first time
    age: timedelta | None  # of the figures
    is_updating: bool
    events: dict[str, int]  # pending ones, by state
    oldest_event: timedelta | None
    changes: Sequence[Run]  # of the calendar and the catalogue that are being applied


async def get(ctx: Context) -> Dashboard:
    """Return the last numbers, and request new ones if they are old."""
    async with ctx.sessions.begin() as session:
        stored = await dashboard_stats.read(session)
        requested = await dashboard_stats.request_refresh(session)
        return Dashboard(
            figures=stored.figures,
            age=stored.age,
            is_updating=stored.being_counted or requested,
            events=await health.events_by_state(session),
            oldest_event=await health.oldest_unapplied_age(session),
            changes=await derivations.unfinished(session),
        )


async def figures(ctx: Context) -> DashboardStats | None:
    """Return the last figures, for a chart."""
    async with ctx.sessions.begin() as session:
        return (await dashboard_stats.read(session)).figures


async def event_counts(ctx: Context) -> dict[str, int]:
    """Return the number of pending events by state."""
    async with ctx.sessions.begin() as session:
        return await health.events_by_state(session)


async def update(ctx: Context, *, now: datetime) -> None:
    """Compute and store the numbers."""
    async with ctx.sessions.begin() as session:
        counted = await dashboard_stats.count(
            session, first=first_monday(now, ctx.rules.zone), zone=ctx.rules.zone, now=now
        )
        await dashboard_stats.save(session, counted)
