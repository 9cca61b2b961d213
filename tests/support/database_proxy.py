"""The way to PostgreSQL, which a test can break: cut, so that nobody answers, or silent, so that nobody says a word."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

from tests.support.shop import free_socket


class DatabaseProxy:
    """Goes between a client and the server of ``dsn``. ``url`` is where the client goes."""

    def __init__(self, dsn: str, port: int) -> None:
        parts = urlsplit(dsn)
        self._there = parse_qs(parts.query).get("host", [parts.hostname or ""])[0], parts.port or 5432
        self._url = parts._replace(netloc=f"{parts.username or 'postgres'}@127.0.0.1:{port}", query="").geturl()
        self._open: set[asyncio.StreamWriter] = set()
        self._cut = False
        self._heard = asyncio.Event()
        self._heard.set()

    @property
    def url(self) -> str:
        """Where a client finds the server."""
        return self._url

    def cut(self) -> None:
        """Break every connection, and take no new one."""
        self._cut = True
        for writer in self._open:
            writer.transport.abort()

    def fall_silent(self) -> None:
        """Keep every connection, take new ones, and let through nothing that the server says."""
        self._heard.clear()

    def mend(self) -> None:
        """Let everything through again."""
        self._cut = False
        self._heard.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self._cut:
            writer.transport.abort()
            return
        host, port = self._there
        there, back = await (
            asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            if host.startswith("/")
            else asyncio.open_connection(host, port)
        )
        self._open |= {writer, back}
        try:
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer, listens=True))
        finally:
            self._open -= {writer, back}

    async def _copy(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, listens: bool = False) -> None:
        with contextlib.suppress(OSError):
            while said := await source.read(65_536):
                if listens:
                    await self._heard.wait()
                to.write(said)
                await to.drain()
        to.close()


@asynccontextmanager
async def database_proxy(dsn: str) -> AsyncIterator[DatabaseProxy]:
    """Lay a way to a server."""
    bound = free_socket()
    wire = DatabaseProxy(dsn, bound.getsockname()[1])
    server = await asyncio.start_server(wire.carry, sock=bound)
    try:
        yield wire
    finally:
        wire.mend()
        wire.cut()
        server.close()
