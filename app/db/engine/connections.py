"""Connections that do not wait long for a silent server."""

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg

from app.db.engine.outages import outages

if TYPE_CHECKING:
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection

CONNECT_TIMEOUT = 5.0  # seconds
CANCEL_TIMEOUT = 1.0  # seconds in which the server must confirm that it canceled a statement
CLOSE_TIMEOUT = 0.5  # seconds in which the server must close a connection too: a process that stops closes many
# Seconds after which a statement of a session is given up here, because a frozen server ends none. Requests wait longer than
# for a lock (see ServerTimeouts), so that the server's own time-out says first that it is only busy.
REQUEST_TIMEOUT = 15.0
JOB_TIMEOUT = 60.0
_statement_timeout: ContextVar[float] = ContextVar("statement_timeout", default=JOB_TIMEOUT)


class Connection(_Base):
    """
    A connection that is closed if the server does not confirm a cancellation.

    When a statement takes too long or its task is canceled, asyncpg asks the server to cancel it, and every later use of
    the connection waits for the reply, its release included. A silent server sends none.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        outages.answered()

    def _cancel_current_command(self, waiter: Any, *rest: Any) -> None:  # asyncpg's own hook
        super()._cancel_current_command(waiter, *rest)  # type: ignore[misc]  # not in the stubs
        asyncio.get_running_loop().call_later(CANCEL_TIMEOUT, self._terminate_if_unconfirmed)

    def _terminate_if_unconfirmed(self) -> None:
        if not self.is_closed() and self._protocol._is_cancelling():  # type: ignore[attr-defined]
            self.terminate()

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as asyncpg has it
        """Close the connection. A server that does not answer is not waited for."""
        try:
            await super().close(timeout=min(timeout or CLOSE_TIMEOUT, CLOSE_TIMEOUT))
        except TimeoutError:
            self.terminate()

    def apply_statement_timeout(self) -> None:
        """Use the time-out of the current work until the connection is used for other work."""
        seconds = _statement_timeout.get()
        if self._config.command_timeout != seconds:  # type: ignore[has-type]  # not in the stubs
            self._config = self._config._replace(command_timeout=seconds)  # type: ignore[has-type]


def limit_statements(seconds: float) -> None:
    """
    Set the time-out of each statement of sessions in the current request, job or command.

    Without it, the time-out is that of jobs.
    """
    _statement_timeout.set(seconds)


TRY_ANOTHER = (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, asyncpg.InternalClientError)
_last_host: dict[str, tuple[str, int]] = {}  # the one that answered last, by DSN


async def connect(dsn: str, *, name: str | None = None, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
    """
    Connect to the database, to the first of several hosts that answers and has the wanted role.

    asyncpg's own time-out is for all hosts together, so a silent first one would use it up. Here each host has its share,
    and the one that answered last is tried first.

    :param name: of the connection, as ``pg_stat_activity`` shows it. None: the one in the URL, if any.
    :param options: as asyncpg takes them.
    """
    if name is not None:
        options["server_settings"] = {**(options.get("server_settings") or {}), "application_name": name}
    timeout = float(options.pop("timeout", CONNECT_TIMEOUT))
    options.setdefault("connection_class", Connection)
    hosts = hosts_of(dsn)
    connection: asyncpg.Connection[asyncpg.Record]
    if len(hosts) < 2:
        connection = await asyncpg.connect(dsn, timeout=timeout, **options)
        return connection
    failure: Exception | None = None
    for host, port in sorted(hosts, key=lambda one: one != _last_host.get(dsn)):
        try:
            connection = await asyncpg.connect(dsn, host=host, port=port, timeout=timeout / len(hosts), **options)
        except TRY_ANOTHER as error:
            failure = error
            continue
        _last_host[dsn] = host, port
        return connection
    assert failure is not None
    raise failure


def hosts_of(dsn: str) -> list[tuple[str, int]]:
    """Return the hosts and ports of a URL that names several hosts by comma; none if asyncpg must find them."""
    hosts = []
    for one in urlsplit(dsn).netloc.rpartition("@")[2].split(","):
        name, _, port = one.rpartition(":") if one.rpartition(":")[2].isdigit() else (one, "", "5432")
        if not name:
            return []
        hosts.append((name.strip("[]"), int(port)))
    return hosts
