"""
How many connections a process opens at most, and whether the server allows them.

Each process opens its pools and listeners by itself, so the sum over all processes must fit into the server's
``max_connections``. Whatever exceeds it fails under load, when the pools are full.

So that a process knows the sum, each states how many connections it may open in the application name of a listener, which
it keeps as long as it runs. The pools are not made smaller instead, so that more processes would fit by default: a worker
with a concurrency of ten and an API at the rate of a launch need them (docs/operate/high-availability.md).
"""

from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import structlog

from app.db.engine.copying import EXPORTS
from app.db.engine.dsn import listen_dsn
from app.db.engine.session import DRIVER_FAILURES
from app.settings import PREFIX, Settings

PROBES = 2  # connections that nothing but the probes of the API uses
ASK_TIMEOUT = timedelta(seconds=3)
# What one process may open: the server's connections without the reserved ones, and the limits of the database and the role.
_ALLOWED = """
SELECT least(
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int,
    (SELECT CASE WHEN datconnlimit >= 0 THEN datconnlimit END FROM pg_database WHERE datname = current_database()),
    (SELECT CASE WHEN rolconnlimit >= 0 THEN rolconnlimit END FROM pg_roles WHERE rolname = current_user)),
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
      AND (datname IS DISTINCT FROM current_database() OR usename IS DISTINCT FROM current_user)),
  (SELECT coalesce(sum(substring(application_name FROM '^newsstand connections=([0-9]{1,6})$')::bigint), 0)
      FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user)
"""
log = structlog.get_logger()


class TooManyConnections(Exception):
    """One process could open more connections than the server allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionBudget:
    """The most connections that a process opens."""

    sessions: int  # of the pool for everything else
    hot_routes: int
    exports: int
    probes: int
    listeners: int  # they bypass a transaction pooler

    @property
    def total(self) -> int:
        """All of them together."""
        return self.sessions + self.hot_routes + self.exports + self.probes + self.listeners

    def of_server(self, *, pooler: bool) -> int:
        """Those of the server, which a transaction pooler shares among processes. Then only the listeners count."""
        return self.listeners if pooler else self.total


@dataclass(frozen=True, slots=True)
class ServerCapacity:
    """The most connections that the server allows, and how many clients have now or may open."""

    allowed: int
    in_use: int
    in_use_elsewhere: int = 0  # by other roles, or in other databases
    stated: int = 0  # the most that the running processes of this service open


def budget_of(settings: Settings, *, api: bool, worker: bool) -> ConnectionBudget:
    """Return the budget of a process with the API, a worker, or both."""
    size = settings.database_pool_size
    return ConnectionBudget(
        sessions=2 * size,
        hot_routes=size,
        exports=EXPORTS if api else 0,
        probes=PROBES if api else 0,
        listeners=api + worker,
    )


def application_name(settings: Settings, *, api: bool, worker: bool) -> str:
    """Return the name of the connection with which a process states its budget. Its other listener states none."""
    budget = budget_of(settings, api=api, worker=worker).of_server(pooler=settings.database_pooler)
    return f"newsstand connections={budget}"


def warning(budget: ConnectionBudget | None, capacity: ServerCapacity, *, pooler: bool) -> str | None:
    """
    Return what is wrong if all processes, this one included, open as many connections as they may, or None.

    :param budget: of a process that starts. None: all processes run, and have stated theirs.
    :param pooler: whether a transaction pooler shares the server's connections.
    :raises TooManyConnections: this process alone exceeds what is allowed.
    """
    needed = budget.of_server(pooler=pooler) if budget is not None else 0
    if needed > capacity.allowed:
        raise TooManyConnections(
            f"This process may open {needed} connections, but the server allows {capacity.allowed}. Lower "
            f"{PREFIX}DATABASE_POOL_SIZE, or raise max_connections (or the limit of the role or the database)."
        )
    running = max(
        capacity.stated, capacity.in_use - capacity.in_use_elsewhere
    )  # processes of the last release state none
    together = running + capacity.in_use_elsewhere + needed
    if together > capacity.allowed:
        these = f"{running} of the processes that run" + (f", {needed} of this one" if needed else "")
        return (
            f"All processes together may need {together} connections ({these}, {capacity.in_use_elsewhere} of others), "
            f"but the server allows {capacity.allowed}. Lower {PREFIX}DATABASE_POOL_SIZE in each process, "
            f"or raise max_connections."
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
        exports=budget.exports,
        probes=budget.probes,
        listeners=budget.listeners,
        pooler=settings.database_pooler,
        server_allows=capacity.allowed if capacity else None,
        in_use=capacity.in_use if capacity else None,
        stated_by_others=capacity.stated if capacity else None,
    )
    if capacity is not None and (words := warning(budget, capacity, pooler=settings.database_pooler)) is not None:
        log.warning("connection_budget_tight", reason=words)


async def check_running(settings: Settings, dsn: str) -> None:
    """Warn if the processes that run may open more connections than allowed: two that start at once don't see each other."""
    capacity = await _capacity(listen_dsn(settings, dsn))
    if capacity is not None and (words := warning(None, capacity, pooler=settings.database_pooler)) is not None:
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
    return ServerCapacity(*row) if row is not None else None
