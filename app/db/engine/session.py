"""Connections, and the transactions that services open."""

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg
from asyncpg.exceptions import InsufficientPrivilegeError, UndefinedColumnError, UndefinedTableError
from sqlalchemy import Row, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

T = TypeVar("T")
CONNECTING = 10.0  # seconds to connect
PATIENCE = 2.0  # seconds with a database that does not answer: a page waits for it


class DatabaseUnreachable(OSError):
    """The database cannot be reached, or says nothing."""


# A connection that is no more. Asked in the moment in which it ends, asyncpg may only say that it is busy with something
# else, as an error of its own that is none of its usual kinds (MagicStack/asyncpg, issue 1069).
LOST = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InternalClientError,
)
GONE = (*LOST, asyncpg.InterfaceError)  # as asyncpg says of a closed one; and of wrong input, as a ValueError
DATABASE_AWAY = (OSError, OperationalError, InterfaceError)  # it is not what was asked that is wrong
DRIVER_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
DATABASE_FAILURES = (*DRIVER_FAILURES, SQLAlchemyError)  # all that a question to it may raise
Sessions = async_sessionmaker[AsyncSession]
Session = AsyncSession
Record = Row[*tuple[Any, ...]]  # of a statement that names columns and not a mapped class: that costs half


def make_engine(dsn: str, *, pool_size: int = 10, pooler: bool = False) -> AsyncEngine:
    """
    Return an engine over asyncpg for any libpq-style address, TLS settings and several hosts included.

    :param pooler: whether a transaction pooler stands between; then no statement is prepared for longer than its use.
    """
    cached = 0 if pooler else 100

    async def connect(*_: object, **__: object) -> "asyncpg.Connection[asyncpg.Record]":
        try:
            return await asyncpg.connect(dsn, statement_cache_size=cached, timeout=CONNECTING)
        except DRIVER_FAILURES as failure:
            raise DatabaseUnreachable(f"{type(failure).__name__}: {failure}") from failure

    engine = create_async_engine(
        "postgresql+asyncpg://" + ("?prepared_statement_cache_size=0" if pooler else ""),
        async_creator=connect,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,  # errors are logged; what they were about may be a name or an address
    )
    event.listen(engine.sync_engine, "handle_error", _lost, retval=True)
    return engine


def _lost(failed: ExceptionContext) -> DatabaseUnreachable | None:
    """Have a connection that ended known as that whatever was asked when, and not used again."""
    cause = failed.original_exception.__cause__ or failed.original_exception
    failed.is_disconnect = failed.is_disconnect or isinstance(cause, LOST)
    if failed.is_disconnect and not failed.is_pre_ping:
        return DatabaseUnreachable(f"{type(cause).__name__}: {cause}")
    return None


def is_away(error: BaseException) -> bool:
    """Tell whether an error means that the database is gone, and not that something is wrong with what was asked."""
    return isinstance(error, DatabaseUnreachable | OperationalError | InterfaceError)


def remedy(error: BaseException) -> str | None:
    """Return what an operator does about an error of the database's, in words. None: it is a fault of ours."""
    if is_away(error):
        where = "NEWSSTAND_DATABASE_URL, for newsstand migrate NEWSSTAND_MIGRATION_DATABASE_URL"
        return f"The database cannot be used: {error}. Its address is {where}."
    cause = getattr(getattr(error, "orig", error), "sqlstate", None)
    if cause in (UndefinedTableError.sqlstate, UndefinedColumnError.sqlstate):
        return "The database has not the tables of this release: newsstand migrate makes them."
    if cause == InsufficientPrivilegeError.sqlstate:
        return f"The database's role may not do this: {getattr(error, 'orig', error)}."
    return None


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """
    Return what ``work`` returns, if it does so in time.

    A connection that has gone silent holds up even whoever is cancelled, so ``work`` is then left to end by itself.

    :raises DatabaseUnreachable: it does not.
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
    task.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody waits for it any more
    raise DatabaseUnreachable(f"no word within {seconds} seconds")


def make_sessions(engine: AsyncEngine) -> Sessions:
    """Return the factory of transactions: ``async with sessions.begin() as session``."""
    return async_sessionmaker(engine, expire_on_commit=False, autoflush=False)


def new_id(prefix: str) -> str:
    """Return an opaque id: ``prefix``, an underscore and 120 random bits."""
    return f"{prefix}_{secrets.token_hex(15)}"
