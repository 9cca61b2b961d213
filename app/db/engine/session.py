"""Connections to PostgreSQL, and the transactions that services open."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

import asyncpg
from asyncpg.exceptions import InsufficientPrivilegeError, UndefinedColumnError, UndefinedTableError
from sqlalchemy import Row, event
from sqlalchemy.engine import AdaptedConnection, ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InterfaceError, InvalidatePoolError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session as SyncSession
from sqlalchemy.pool import ConnectionPoolEntry

from app.db.engine import connections
from app.db.engine.outages import BUSY, POOL_FILTER, is_busy, is_exhausted

T = TypeVar("T")
QUERY_TIMEOUT = 2.0  # seconds, for queries that a page view waits for
POOL_TIMEOUT = timedelta(seconds=10)  # for a free connection, when more requests arrive than the process can handle
PATIENCE = 0.5  # seconds, for queries whose last result may be used instead: the database counts as silent afterwards


class DatabaseUnreachable(OSError):
    """The database can't be reached or does not answer."""


# asyncpg raises InternalClientError, which is not one of its usual classes, when a connection ends in the middle of a call
# (MagicStack/asyncpg, issue 1069).
CONNECTION_LOST = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,  # only a new connection is refused
    asyncpg.InternalClientError,
)
# Raised for a closed connection; for invalid input too, but then the error is a ValueError as well.
CLOSED = (*CONNECTION_LOST, asyncpg.InterfaceError)
UNAVAILABLE = (OSError, OperationalError, InterfaceError, PoolExhausted)  # the database is at fault, not the statement
DRIVER_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
DATABASE_FAILURES = (*DRIVER_FAILURES, SQLAlchemyError)  # everything that a query can raise
Sessions = async_sessionmaker[AsyncSession]
Session = AsyncSession
Notification = tuple[str, str]  # channel and payload
Record = Row[*tuple[Any, ...]]  # the row of a statement on columns, which costs half as much as a mapped class


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTimeouts:
    """
    Time-outs that the server applies to a connection, so that one client that hangs doesn't delay the others.

    A transaction pooler refuses them as start-up options. Set them for the role then: see the deployment guide.
    """

    idle_in_transaction: timedelta = timedelta(seconds=30)  # a client that sleeps with locks in hand
    lock: timedelta = timedelta(seconds=10)
    statement: timedelta = timedelta(minutes=5)

    def as_options(self) -> dict[str, str]:
        """Return the start-up options, in milliseconds."""
        named = {
            "idle_in_transaction_session_timeout": self.idle_in_transaction,
            "lock_timeout": self.lock,
            "statement_timeout": self.statement,
        }
        return {name: str(int(value / timedelta(milliseconds=1))) for name, value in named.items()}


def make_engine(
    dsn: str,
    *,
    pool_size: int = 10,
    pooler: bool = False,
    timeouts: ServerTimeouts | None = None,
    idle_after: timedelta = timedelta(seconds=5),
    pool_timeout: timedelta = POOL_TIMEOUT,
) -> AsyncEngine:
    """
    Return an engine over asyncpg for any libpq-style DSN, including TLS settings and several hosts.

    :param pooler: whether a transaction pooler stands in between; then no prepared statement outlives its use.
    :param timeouts: None: those of the server, and none here. Otherwise statements are also limited here, because a
        server that is silent ends none: see :func:`app.db.engine.connections.limit_statements`.
    :param idle_after: a connection that was not used for longer is tested before it is used.
    :param pool_timeout: how long a transaction waits for a free connection.
    """
    cached = 0 if pooler else 100
    options = timeouts.as_options() if timeouts is not None and not pooler else None

    async def connect(*_: object, **__: object) -> "asyncpg.Connection[asyncpg.Record]":
        try:
            return await connections.connect(
                dsn,
                statement_cache_size=cached,
                server_settings=options,
            )
        except DRIVER_FAILURES as error:
            raise unreachable(error) from error

    engine = create_async_engine(
        "postgresql+asyncpg://" + ("?prepared_statement_cache_size=0" if pooler else ""),
        async_creator=connect,
        # None overflows: it would be closed after its use, and the next one would have to parse all statements again.
        pool_size=2 * pool_size,
        max_overflow=0,
        pool_use_lifo=True,  # most of the time, few are used, and these have parsed the statements
        pool_timeout=pool_timeout.total_seconds(),
        hide_parameters=True,  # errors are logged, and a parameter may be a name or an address
    )
    logging.getLogger(f"sqlalchemy.pool.impl.{type(engine.pool).__name__}").addFilter(POOL_FILTER)
    event.listen(engine.sync_engine, "handle_error", _mark_disconnect, retval=True)
    event.listen(engine.sync_engine, "checkin", _remember_use)
    event.listen(engine.sync_engine, "checkout", partial(_test_if_idle, idle_after))
    if timeouts is not None:
        event.listen(engine.sync_engine, "checkout", _limit_statements)
    return engine


def _remember_use(_: object, record: ConnectionPoolEntry) -> None:
    record.info["used_at"] = time.monotonic()


def _limit_statements(connection: DBAPIConnection, *_: object) -> None:
    cast("AdaptedConnection", connection).driver_connection.apply_statement_timeout()


def _test_if_idle(idle_after: timedelta, connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
    """
    Replace a pooled connection that was lost.

    Most losses are known without asking. A query that tests the connection would double the round trips of a small
    transaction, so only idle connections are tested: meanwhile, a firewall may have dropped them without a word.

    :raises InvalidatePoolError: if it is lost. The pool then replaces all connections that are as old.
    """
    adapted = cast("AdaptedConnection", connection)
    if adapted.driver_connection.is_closed():
        raise InvalidatePoolError
    used_at = record.info.get("used_at")
    if used_at is not None and time.monotonic() - used_at > idle_after.total_seconds():
        try:
            adapted.run_async(lambda driver: driver.execute("SELECT 1", timeout=QUERY_TIMEOUT))
        except Exception as error:  # whatever it is, see _is_closed
            raise InvalidatePoolError from error


def _mark_disconnect(context: ExceptionContext) -> DatabaseUnreachable | None:
    """
    Treat every error of a lost connection as a disconnect, so that the pool discards its connections. A read-only server
    counts as lost: after a failover, another one accepts writes. After a time-out of the server or a deadlock, trying
    again helps too, but the connection is kept.

    A cancellation ends a connection as well, but stays a cancellation: as an error it would be handled, and the task that
    was to end would go on.
    """
    if not isinstance(context.original_exception, Exception):
        return None
    cause = context.original_exception.__cause__ or context.original_exception
    context.is_disconnect = context.is_disconnect or loses_connection(cause) or _is_closed(context)
    if isinstance(cause, BUSY) or context.is_disconnect:
        return unreachable(cause)
    return None


def loses_connection(error: BaseException) -> bool:
    """Return whether a connection is of no use after an error of the driver. See also :func:`_is_closed`."""
    return isinstance(error, (*CONNECTION_LOST, TimeoutError)) or is_read_only(error)


def unreachable(error: BaseException) -> DatabaseUnreachable:
    """Return what we raise from an error of the driver for which the database is at fault, and not the statement."""
    return DatabaseUnreachable(f"{type(error).__name__}: {error}")


def is_read_only(error: BaseException) -> bool:
    """
    Return whether the server refused a write because it is read-only, as a standby or during a failover.

    A standby also refuses unlogged tables, as a feature that is not supported during recovery.
    """
    if isinstance(error, asyncpg.FeatureNotSupportedError):
        return "recovery" in str(error)
    return isinstance(error, asyncpg.ReadOnlySQLTransactionError)


def _is_closed(context: ExceptionContext) -> bool:
    """Return whether the connection is closed: asyncpg then fails with any error, even an AttributeError."""
    connection = context.connection
    if connection is None or connection.closed or connection.invalidated:
        return False
    driver = connection.connection.driver_connection
    return driver is not None and driver.is_closed()


def is_unreachable(error: BaseException) -> bool:
    """Return whether the database can't be reached, or all connections are in use; not whether the statement was wrong."""
    return isinstance(error, DatabaseUnreachable | OperationalError | InterfaceError | PoolExhausted)


def remedy(error: BaseException) -> str | None:
    """Return what an operator can do about a database error, or None if the error is a bug."""
    if is_exhausted(error):
        return f"All connections of this process are in use: {error}. Try again."
    if is_busy(error):
        return f"The database is busy: {error}. Try again."
    if is_unreachable(error):
        where = "NEWSSTAND_DATABASE_URL, or for newsstand migrate NEWSSTAND_MIGRATION_DATABASE_URL"
        return f"The database is unreachable: {error}. Check {where}."
    cause = getattr(getattr(error, "orig", error), "sqlstate", None)
    if cause in (UndefinedTableError.sqlstate, UndefinedColumnError.sqlstate):
        return "The database lacks tables of this release. Run newsstand migrate."
    if cause == InsufficientPrivilegeError.sqlstate:
        return f"The database role lacks a privilege: {getattr(error, 'orig', error)}."
    return None


async def with_timeout(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """
    Return the result of ``work``.

    ``asyncio.timeout`` does not suffice, because canceling a query on a hung connection hangs as well. So ``work`` is
    abandoned, and ends by itself.

    :raises DatabaseUnreachable: if it takes longer than ``seconds``.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if done:
        return task.result()
    task.cancel()
    task.add_done_callback(lambda late: late.cancelled() or late.exception())  # marks its exception as retrieved
    raise DatabaseUnreachable(f"No response within {seconds} seconds")


class _Announcing(SyncSession):
    """A session that hands over its notifications after the commit; see :func:`notify_after_commit`."""


_PENDING, _SEND = "notifications", "send"  # in the info of a session


@event.listens_for(_Announcing, "after_commit")
def _hand_over(session: SyncSession) -> None:
    pending, send = session.info.pop(_PENDING, None), session.info.get(_SEND)
    if pending and send is not None:
        send(pending)


@event.listens_for(_Announcing, "after_rollback")
def _forget(session: SyncSession) -> None:
    session.info.pop(_PENDING, None)


def notify_after_commit(session: Session, channel: str, payload: str = "") -> None:
    """
    Send a notification after this transaction is committed, together with those of others.

    A NOTIFY inside the transaction would take a lock that serializes all commits that notify. If the process is killed
    after the commit, the notification is lost: whoever listens must look by itself as well.
    """
    session.info.setdefault(_PENDING, set()).add((channel, payload))


def make_sessions(engine: AsyncEngine, *, send: Callable[[Collection[Notification]], None] | None = None) -> Sessions:
    """
    Return the factory of transactions: ``async with sessions.begin() as session``.

    :param send: sends the notifications of a committed transaction; None: they are not sent, and listeners find out when
        they look.
    """
    info = {_SEND: send}
    return async_sessionmaker(
        engine, expire_on_commit=False, autoflush=False, sync_session_class=_Announcing, info=info
    )


def new_id(prefix: str) -> str:
    """Return an opaque ID: ``prefix``, an underscore and 120 random bits."""
    return f"{prefix}_{secrets.token_hex(15)}"


def is_id(text: str, prefix: str) -> bool:
    """Return whether a text has the form of an ID with this prefix."""
    return re.fullmatch(rf"{prefix}_[0-9a-f]{{30}}", text) is not None
