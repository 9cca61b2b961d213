"""
Log a lost database in one line, and its recovery in another: an outage fails everything that runs, many times a second.

The first failure is logged. Those that follow are counted, and the count is logged once a minute and at the end. The outage
has ended when a new connection was opened, or the readiness probe found a writable database, and nothing has failed for a
moment. That every connection of this process is in use is no outage: a waiter opens none, so it would not end.
"""

import asyncio
import logging
import time

import asyncpg
import structlog
from prometheus_client import Counter
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

REPEAT_SECONDS = 60.0  # between two lines about one outage
QUIET_SECONDS = 2.0  # without a failure after a new connection
EXHAUSTED = Counter(
    "newsstand_database_pool_exhausted_total", "Work that got no free connection of its process in time"
)
OUTAGES = Counter("newsstand_database_outages_total", "Outages of the database, as seen by this process")
OUTAGE = (
    OSError,  # DatabaseUnreachable is one
    OperationalError,
    InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it shuts down, or is starting
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
# The server is there, but others were in the way: a lock, or a deadlock. Trying again helps.
BUSY = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
log = structlog.get_logger()


class ConnectionsInUse(TimeoutError):
    """Every connection of a pool of bare connections stayed in use. For sessions, it is SQLAlchemy's ``TimeoutError``."""


def is_exhausted(error: BaseException | None) -> bool:
    """Return whether work failed because all connections of this process were in use. The database may well answer."""
    return _is_caused_by(error, (ConnectionsInUse, PoolExhausted))


def is_busy(error: BaseException | None) -> bool:
    """Return whether a statement failed because of others. Such an error is the cause of what we and SQLAlchemy raise."""
    return _is_caused_by(error, BUSY)


def _is_caused_by(error: BaseException | None, kinds: tuple[type[BaseException], ...]) -> bool:
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            return all(_is_caused_by(one, kinds) for one in error.exceptions)
        if isinstance(error, kinds):
            return True
        error = error.__cause__
    return False


class OutageLog:
    """The state of the database as this process sees it. There is one in each process."""

    def __init__(self) -> None:
        self._since: float | None = None  # monotonic seconds
        self._failed_at = self._logged_at = float("-inf")
        self._failures = 0
        self._exhausted, self._exhausted_logged_at = 0, float("-inf")

    def failed(self, what: str, error: BaseException) -> None:
        """Count a failure that an outage caused, and log it if it is the first one for a while. A busy database is none."""
        if is_exhausted(error):
            self._count_exhausted(what)
            return
        if is_busy(error):
            log.warning("database_busy", during=what, error=f"{type(error).__name__}: {error}"[:300])
            return
        now = time.monotonic()
        self._failures += 1
        self._failed_at = now
        if self._since is None:
            self._since, self._logged_at = now, now
            OUTAGES.inc()
            log.error("database_lost", during=what, error=f"{type(error).__name__}: {error}"[:300])
        elif now - self._logged_at >= REPEAT_SECONDS:
            self._logged_at = now
            log.error("database_still_lost", failures=self._failures, seconds=round(now - self._since))

    def _count_exhausted(self, what: str) -> None:
        EXHAUSTED.inc()
        self._exhausted += 1
        now = time.monotonic()
        if now - self._exhausted_logged_at >= REPEAT_SECONDS:
            log.warning("database_connections_in_use", during=what, failures=self._exhausted)
            self._exhausted, self._exhausted_logged_at = 0, now

    def answered(self) -> None:
        """Note that a connection was opened, or the database answered. The outage has ended unless something fails soon."""
        if self._since is not None:
            asyncio.get_running_loop().call_later(QUIET_SECONDS, self._confirm, self._failures)

    def _confirm(self, failures: int) -> None:
        if self._since is None or failures != self._failures:
            return
        seconds = self._failed_at - self._since
        self._since, self._failures = None, 0
        log.warning("database_back", failures=failures, seconds=round(seconds, 1))


outages = OutageLog()


def is_outage(error: BaseException) -> bool:
    """Return whether an error of code that only uses the database means that the database was lost."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_outage(one) for one in error.exceptions)
    if is_exhausted(error):
        return True  # as far as the caller is concerned; it is counted apart
    return isinstance(error, OUTAGE) and not isinstance(error, ValueError)  # asyncpg reports invalid input so


class PoolFilter(logging.Filter):
    """Drops the tracebacks with which SQLAlchemy's pool logs each connection that was lost, and counts them instead."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not is_outage(error):
            return True
        outages.failed("pooled_connection", error)
        return False


POOL_FILTER = PoolFilter()


def report(event: str, error: BaseException, **facts: object) -> None:
    """Log a failure in one line: by itself, or as part of an outage."""
    if is_outage(error):
        outages.failed(event, error)
    else:
        log.warning(event, error=f"{type(error).__name__}: {error}", **facts)
