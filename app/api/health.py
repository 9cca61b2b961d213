"""
``/healthz``, ``/readyz``, ``/metrics``: for operators and their machines.

Not ready means that the database is away or a migration is missing, and nothing else: an inbox that falls behind
is told of, but a balancer that took every replica out for it would lock out those who paid.
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
from app.domain.events import DEAD

PATIENCE = timedelta(seconds=3)  # with a database that does not answer

OLDEST = Gauge("newsstand_oldest_unapplied_event_seconds", "Age of the oldest event that waits to be applied; 0: none")
DISPUTES = Gauge("newsstand_open_disputes", "Disputes that no bank has decided yet")
ATTENTION = Gauge("newsstand_attention", "What staff have to decide themselves, by kind", ["kind"])
EVENTS = Gauge("newsstand_events", "Events that are still open, by state", ["state"])

log = structlog.get_logger()
router = APIRouter(tags=["operation"], route_class=Described)


class Alive(ApiModel):
    """The process answers."""

    status: Literal["ok"] = Field(default="ok", examples=["ok"])


class Ready(ApiModel):
    """Whether requests can be served."""

    status: Literal["ok", "unavailable"] = Field(examples=["ok"])
    degraded: bool = Field(
        description="Events wait longer than they should, or were given up: someone has to look.", examples=[False]
    )
    oldest_unapplied_event: float | None = Field(
        description="Its age in seconds. 0: none waits. null: nobody knows.", examples=[0.0]
    )
    why: str | None = Field(description="Why requests cannot be served.", examples=[None])


_UNREADY: dict[int | str, dict[str, Any]] = {
    503: {"model": Ready, "description": "No database, or migrations are missing"}
}
_EXPOSITION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus's text format",
        "content": {
            "text/plain": {
                "schema": {"type": "string"},
                "example": 'newsstand_events{state="pending"} 0.0\nnewsstand_oldest_unapplied_event_seconds 0.0\n',
            }
        },
    }
}


@router.get("/healthz")
async def healthz() -> Alive:
    """Tell that the process lives. Asks nothing else, so that no fault of another's has it restarted."""
    return Alive()


@router.get(
    "/readyz",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "No database, or migrations are missing"}},
)
async def readyz(ctx: Ctx) -> JSONResponse:
    """Tell whether requests can be served, and whether work piles up."""
    ready = await _look(ctx)
    return JSONResponse(ready.model_dump(), 200 if ready.status == "ok" else 503)


async def _look(ctx: Context) -> Ready:
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            seen = await health.look(ctx.sessions)
    except (DatabaseUnavailable, TimeoutError) as failure:
        log.warning("database_unavailable", error=str(failure) or type(failure).__name__)
        why = "the database does not answer"
        return Ready(status="unavailable", degraded=True, oldest_unapplied_event=None, why=why)
    if seen is None:
        return Ready(status="unavailable", degraded=True, oldest_unapplied_event=None, why="migrations are missing")
    age = seen.oldest_unapplied or timedelta(0)
    degraded = age > ctx.settings.degraded_after or seen.events[DEAD] > 0
    return Ready(status="ok", degraded=degraded, oldest_unapplied_event=age.total_seconds(), why=None)


@router.get("/metrics", response_class=Response, responses=_EXPOSITION)
async def metrics(ctx: Ctx) -> Response:
    """Return the metrics, as Prometheus reads them. What only the database knows is NaN while it is away."""
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            seen = await health.look(ctx.sessions)
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
