"""
``/healthz``, ``/readyz``, ``/metrics``: probes and metrics for operators.

Not ready means only that the process is about to stop, that a migration is missing, or that the database is unreachable and
the process remembers no readers. A backlog in the inbox, a read-only database, and one that is unreachable for less than
the outage allowance are reported as degraded: if a load balancer removed every replica for it, paying readers would be
locked out.

They have connections of their own: requests that hold all others say nothing about the database, and a busy process that
left the balancer would only move its load to the next one.
"""

import asyncio
from datetime import timedelta
from typing import Any, Literal

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from pydantic import Field
from starlette.applications import Starlette

from app.api import internal_pages
from app.api.deps import Api, ApiState
from app.api.models import ApiModel
from app.api.openapi import Described
from app.db import attention, health
from app.db.engine.outages import outages
from app.db.engine.session import Sessions
from app.domain.errors import DatabaseUnavailable

DATABASE_TIMEOUT = timedelta(seconds=3)  # time-out for the database
PROMPT_TIMEOUT = timedelta(seconds=0.8)  # if the answer isn't needed: balancers wait for a second or two

OLDEST = Gauge(
    "newsstand_oldest_unapplied_event_seconds", "Age of the oldest event that is not applied yet; 0 if there is none"
)
WRITABLE = Gauge("newsstand_database_writable", "1 if the database accepts writes, 0 if it is read-only")
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
        default=False,
        description="Whether events are overdue, have failed permanently and need attention, or can't be applied "
        "because the database is read-only or not responding.",
        examples=[False],
    )
    writable: bool | None = Field(
        default=None,
        description="Whether the database accepts writes; null if unknown. During a failover it may be read-only.",
        examples=[True],
    )
    oldest_unapplied_event: float | None = Field(
        default=None,
        description="Age in seconds of the oldest event that is not applied yet; 0 if there is none, null if unknown.",
        examples=[0.0],
    )
    email: Literal["on", "off"] | None = Field(
        default=None,
        description="Whether notifications are delivered by email. `off`: no mail server is set, so nothing is delivered.",
        examples=["on"],
    )
    why: str | None = Field(
        default=None,
        description="Why the service is not ready, or that it only answers checks from memory.",
        examples=[None],
    )


_UNREADY: dict[int | str, dict[str, Any]] = {
    503: {
        "model": ReadinessOut,
        "description": "The process is stopping, migrations are missing, or the database is unreachable and no checks "
        "can be answered from memory",
    }
}
_EXPOSITION: dict[int | str, dict[str, Any]] = {
    **internal_pages.RESPONSES,
    200: {
        "description": "Prometheus text format",
        "content": {
            "text/plain": {
                "schema": {"type": "string"},
                "example": 'newsstand_events{state="pending"} 0.0\nnewsstand_oldest_unapplied_event_seconds 0.0\n',
            }
        },
    },
}


@router.get("/healthz")
async def healthz() -> HealthOut:
    """Liveness probe. It checks nothing else, so that an outage of another system restarts nothing."""
    return HealthOut()


@router.get("/readyz", response_model=ReadinessOut, responses=_UNREADY)
async def readyz(api: Api, request: Request) -> JSONResponse:
    """
    Readiness probe. It also reports a backlog of events, and a database that is read-only or not responding, as degraded.

    While checks of readers with recent access are answered from memory, the service stays ready. Everything but ``status``
    is for operators (`NEWSSTAND_INTERNAL_PAGES`); others don't receive it.
    """
    ready = _unready("the process is stopping") if is_draining(request.app) else await _readiness(api)
    shown = None if await internal_pages.has_access(request) else {"status"}
    return JSONResponse(ready.model_dump(include=shown), 200 if ready.status == "ok" else 503)


def drain(app: Starlette) -> None:
    """Make the readiness probe fail, so that load balancers send no more requests."""
    app.state.draining = True


def end_long_polls(app: Starlette) -> None:
    """Answer the requests that wait for changes, so that they don't delay the end of the process."""
    state: ApiState | None = getattr(app.state, "api", None)  # None if the start-up failed
    if state is not None:
        state.end_long_polls()


def is_draining(app: Starlette) -> bool:
    """Return whether the process is about to stop."""
    return bool(getattr(app.state, "draining", False))


def _unready(why: str) -> ReadinessOut:
    return ReadinessOut(status="unavailable", degraded=True, writable=None, oldest_unapplied_event=None, why=why)


async def _readiness(api: ApiState) -> ReadinessOut:
    ctx = api.ctx
    # Only a database that does not answer takes as long: nothing but probes uses these connections.
    timeout = PROMPT_TIMEOUT if api.entitlements.remembers else DATABASE_TIMEOUT
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            seen = await _read_twice(ctx.probes)
    except (DatabaseUnavailable, TimeoutError) as failure:
        outages.failed("readiness", failure.__cause__ or failure)
        if api.entitlements.remembers:
            why = "the database is not responding; checks are answered from memory"
            return ReadinessOut(status="ok", degraded=True, writable=None, oldest_unapplied_event=None, why=why)
        return _unready("the database is not responding")
    if seen is None:
        return _unready("migrations are missing")
    if seen.writable:
        outages.answered()
    age = seen.oldest_unapplied or timedelta(0)
    degraded = age > ctx.settings.degraded_after or seen.has_dead_events or not seen.writable
    return ReadinessOut(
        status="ok",
        degraded=degraded,
        writable=seen.writable,
        oldest_unapplied_event=age.total_seconds(),
        email="on" if ctx.settings.smtp_url is not None else "off",
        why=None,
    )


async def _read_twice(sessions: Sessions) -> health.Readiness | None:
    """Return what the probe reports. If a failover cut its connection, ask on another one."""
    try:
        return await health.read_readiness(sessions)
    except DatabaseUnavailable:
        return await health.read_readiness(sessions)


@router.get("/metrics", response_class=Response, responses=_EXPOSITION)
async def metrics(_: internal_pages.Operator, api: Api) -> Response:
    """Metrics for Prometheus, for operators. Values from the database are NaN while it is unreachable."""
    try:
        # One at a time, so that the readiness probe has a connection.
        async with asyncio.timeout(DATABASE_TIMEOUT.total_seconds()), api.scrape:
            seen = await health.read_backlog(api.ctx.probes)
    except (DatabaseUnavailable, TimeoutError):
        seen = None
    age = seen.oldest_unapplied or timedelta(0) if seen else None
    OLDEST.set(age.total_seconds() if age is not None else float("nan"))
    for state in health.OPEN_STATES:
        EVENTS.labels(state).set(seen.events[state] if seen else float("nan"))
    WRITABLE.set(seen.writable if seen else float("nan"))
    DISPUTES.set(seen.open_disputes if seen else float("nan"))
    for kind in attention.KINDS:
        ATTENTION.labels(kind).set(seen.attention[kind] if seen else float("nan"))
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
