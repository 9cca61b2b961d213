"""A proxy to PostgreSQL that a test can disconnect or stall."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

from tests.support.shop import free_socket


class DatabaseProxy:
    """Forwards connections to the server of ``dsn``. Clients connect to ``url``."""

    def __init__(self, dsn: str, port: int) -> None:
        parts = urlsplit(dsn)
        self._there = parse_qs(parts.query).get("host", [parts.hostname or ""])[0], parts.port or 5432
        self._url = parts._replace(netloc=f"{parts.username or 'postgres'}@127.0.0.1:{port}", query="").geturl()
        self._open: set[asyncio.StreamWriter] = set()
        self._cut = False
        self._heard = asyncio.Event()
        self._heard.set()
        self._sent = asyncio.Event()
        self._sent.set()

    @property
    def url(self) -> str:
        """The URL for clients."""
        return self._url

    def disconnect(self) -> None:
        """Close every connection and refuse new ones."""
        self._cut = True
        for writer in self._open:
            writer.transport.abort()

    def stall(self) -> None:
        """Keep connections open and accept new ones, but forward no data from the server."""
        self._heard.clear()

    def silence(self) -> None:
        """Keep connections open and accept new ones, but forward nothing: like a server that is frozen or cut off."""
        self._heard.clear()
        self._sent.clear()

    def restore(self) -> None:
        """Forward everything again."""
        self._cut = False
        self._heard.set()
        self._sent.set()

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection."""
        if self._cut:
            writer.transport.abort()
            return
        self._open.add(writer)
        host, port = self._there
        there, back = await (
            asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            if host.startswith("/")
            else asyncio.open_connection(host, port)
        )
        if writer.transport.is_closing():  # disconnected meanwhile
            back.transport.abort()
        self._open.add(back)
        try:
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer, listens=True))
        finally:
            self._open -= {writer, back}

    async def _copy(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, listens: bool = False) -> None:
        with contextlib.suppress(OSError):
            while received := await source.read(65_536):
                await (self._heard if listens else self._sent).wait()
                to.write(received)
                await to.drain()
        to.close()


@asynccontextmanager
async def database_proxy(dsn: str) -> AsyncIterator[DatabaseProxy]:
    """Run a proxy to a server."""
    bound = free_socket()
    wire = DatabaseProxy(dsn, bound.getsockname()[1])
    server = await asyncio.start_server(wire.forward, sock=bound)
    try:
        yield wire
    finally:
        wire.restore()
        wire.disconnect()
        server.close()
