"""
``/healthz``, ``/readyz``, ``/metrics``: probes and metrics for operators.

Not ready means only that the database is unreachable or a migration is missing. A backlog in the inbox is reported as
degraded: if a load balancer removed every replica for it, paying readers would be locked out.
"""

import asyncio
from datetime import timedelta
from typing import Any, Literal

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from pydantic import Field

from app.api.deps import Ctx
from app.api.models import ApiModel
from app.api.openapi import Described
from app.context import Context
from app.db import attention, health
from app.domain.errors import DatabaseUnavailable
from app.domain.events import EventState

DATABASE_TIMEOUT = timedelta(seconds=3)  # time-out for the database

OLDEST = Gauge(
    "newsstand_oldest_unapplied_event_seconds", "Age of the oldest event that is not applied yet; 0 if there is none"
)
DISPUTES = Gauge("newsstand_open_disputes", "Open disputes")
ATTENTION = Gauge("newsstand_attention", "Items that need a decision by staff, by kind", ["kind"])
EVENTS = Gauge("newsstand_events", "Events that are not settled yet, by state", ["state"])

log = structlog.get_logger()
router = APIRouter(tags=["operation"], route_class=Described)


class HealthOut(ApiModel):
    """The process is alive."""

    status: Literal["ok"] = Field(default="ok", examples=["ok"])


class ReadinessOut(ApiModel):
    """Whether the service can handle requests."""

    status: Literal["ok", "unavailable"] = Field(examples=["ok"])
    degraded: bool = Field(
        description="Whether events are overdue or have failed permanently and need attention.", examples=[False]
    )
    oldest_unapplied_event: float | None = Field(
        description="Age in seconds of the oldest event that is not applied yet; 0 if there is none, null if unknown.",
        examples=[0.0],
    )
    why: str | None = Field(description="Why the service is not ready.", examples=[None])


_UNREADY: dict[int | str, dict[str, Any]] = {
    503: {"model": ReadinessOut, "description": "The database is unreachable, or migrations are missing"}
}
_EXPOSITION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus text format",
        "content": {
            "text/plain": {
                "schema": {"type": "string"},
                "example": 'newsstand_events{state="pending"} 0.0\nnewsstand_oldest_unapplied_event_seconds 0.0\n',
            }
        },
    }
}


@router.get("/healthz")
async def healthz() -> HealthOut:
    """Liveness probe. It checks nothing else, so that an outage of another system restarts nothing."""
    return HealthOut()


@router.get(
    "/readyz",
    response_model=ReadinessOut,
    responses={503: {"model": ReadinessOut, "description": "The database is unreachable, or migrations are missing"}},
)
async def readyz(ctx: Ctx) -> JSONResponse:
    """Readiness probe. It also reports a backlog of events as degraded."""
    ready = await _readiness(ctx)
    return JSONResponse(ready.model_dump(), 200 if ready.status == "ok" else 503)


async def _readiness(ctx: Context) -> ReadinessOut:
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT.total_seconds()):
            seen = await health.read_inbox(ctx.sessions)
    except (DatabaseUnavailable, TimeoutError) as failure:
        log.warning("database_unavailable", error=str(failure) or type(failure).__name__)
        why = "the database is not responding"
        return ReadinessOut(status="unavailable", degraded=True, oldest_unapplied_event=None, why=why)
    if seen is None:
        return ReadinessOut(
            status="unavailable", degraded=True, oldest_unapplied_event=None, why="migrations are missing"
        )
    age = seen.oldest_unapplied or timedelta(0)
    degraded = age > ctx.settings.degraded_after or seen.events[EventState.DEAD] > 0
    return ReadinessOut(status="ok", degraded=degraded, oldest_unapplied_event=age.total_seconds(), why=None)


@router.get("/metrics", response_class=Response, responses=_EXPOSITION)
async def metrics(ctx: Ctx) -> Response:
    """Metrics for Prometheus. Values from the database are NaN while it is unreachable."""
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT.total_seconds()):
            seen = await health.read_inbox(ctx.sessions)
    except (DatabaseUnavailable, TimeoutError):
        seen = None
    age = seen.oldest_unapplied or timedelta(0) if seen else None
    OLDEST.set(age.total_seconds() if age is not None else float("nan"))
    for state in health.OPEN_STATES:
        EVENTS.labels(state).set(seen.events[state] if seen else float("nan"))
    DISPUTES.set(seen.open_disputes if seen else float("nan"))
    for kind in attention.KINDS:
        ATTENTION.labels(kind).set(seen.attention[kind] if seen else float("nan"))
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
