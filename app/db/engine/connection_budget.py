"""
How many connections a process opens at most, and whether the server allows them.

Each process opens its pools and listeners by itself, so the sum over all processes must fit into the server's
``max_connections``. Whatever exceeds it fails under load, when the pools are full.
"""

from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import structlog

from app.db.engine.dsn import listen_dsn
from app.db.engine.session import DRIVER_FAILURES
from app.settings import PREFIX, Settings

ASK_TIMEOUT = timedelta(seconds=3)
# What one process may open: the server's connections without the reserved ones, and the limits of the database and the role.
_ALLOWED = """
SELECT least(
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int,
    (SELECT CASE WHEN datconnlimit >= 0 THEN datconnlimit END FROM pg_database WHERE datname = current_database()),
    (SELECT CASE WHEN rolconnlimit >= 0 THEN rolconnlimit END FROM pg_roles WHERE rolname = current_user)),
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())
"""
log = structlog.get_logger()


class TooManyConnections(Exception):
    """One process could open more connections than the server allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionBudget:
    """The most connections that a process opens."""

    sessions: int  # of the pool for everything else
    hot_routes: int
    listeners: int  # they bypass a transaction pooler

    @property
    def total(self) -> int:
        """All of them together."""
        return self.sessions + self.hot_routes + self.listeners


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCapacity:
    """The most connections that the server allows, and how many clients have now."""

    allowed: int
    in_use: int


def budget_of(settings: Settings, *, api: bool, worker: bool) -> ConnectionBudget:
    """Return the budget of a process with the API, a worker, or both."""
    size = settings.database_pool_size
    return ConnectionBudget(sessions=2 * size, hot_routes=size, listeners=api + worker)


def warning(budget: ConnectionBudget, capacity: ServerCapacity, *, pooler: bool) -> str | None:
    """
    Return what is wrong if a process opens its connections beside those that others have now, or None.

    :param pooler: whether a transaction pooler shares the server's connections; then only the listeners count.
    :raises TooManyConnections: this process alone exceeds what is allowed.
    """
    needed = budget.listeners if pooler else budget.total
    if needed > capacity.allowed:
        raise TooManyConnections(
            f"This process may open {needed} connections, but the server allows {capacity.allowed}. Lower "
            f"{PREFIX}DATABASE_POOL_SIZE, or raise max_connections (or the limit of the role or the database)."
        )
    if capacity.in_use + needed > capacity.allowed:
        return (
            f"Others have {capacity.in_use} of {capacity.allowed} connections, so the {needed} of this process may not be "
            f"available. Lower {PREFIX}DATABASE_POOL_SIZE or raise max_connections."
        )
    return None


async def check(settings: Settings, dsn: str, *, api: bool, worker: bool) -> None:
    """
    Log the budget of this process in one line, and compare it with the server's limits if the server can be reached.

    :raises TooManyConnections: this process alone exceeds what is allowed.
    """
    budget = budget_of(settings, api=api, worker=worker)
    capacity = await _capacity(listen_dsn(settings, dsn))
    log.info(
        "connection_budget",
        total=budget.total,
        sessions=budget.sessions,
        hot_routes=budget.hot_routes,
        listeners=budget.listeners,
        pooler=settings.database_pooler,
        server_allows=capacity.allowed if capacity else None,
        in_use=capacity.in_use if capacity else None,
    )
    if capacity is not None and (words := warning(budget, capacity, pooler=settings.database_pooler)) is not None:
        log.warning("connection_budget_tight", reason=words)


async def _capacity(dsn: str) -> ServerCapacity | None:
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=ASK_TIMEOUT.total_seconds(),
            command_timeout=ASK_TIMEOUT.total_seconds(),
            statement_cache_size=0,
        )
    except DRIVER_FAILURES:
        return None  # the process starts anyway, and waits
    try:
        row = await connection.fetchrow(_ALLOWED)
    except DRIVER_FAILURES:
        return None
    finally:
        connection.terminate()
    return ServerCapacity(allowed=row[0], in_use=row[1]) if row is not None else None
