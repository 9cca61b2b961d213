"""Raw HTTP over a socket: what no well-behaved client sends."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.timeouts import TIMEOUT

CHUNK = 64 * 1024


@dataclass(frozen=True)
class Response:
    """A response, as far as it was received."""

    status: int  # 0: the connection was closed without a response
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the value of a header."""
        return next((value for found, value in self.headers if found == name.lower()), None)


@dataclass
class Connection:
    """A connection to a server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes) -> bool:
        """Send parts one after the other. Return False if the server closed the connection meanwhile."""
        try:
            for part in parts:
                self.writer.write(part)
                await self.writer.drain()
        except OSError:
            return False
        return True

    async def read(self) -> Response:
        """Read a response."""
        async with asyncio.timeout(TIMEOUT):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, OSError):
                return Response(0, [], b"")
            first, *lines = head.decode("latin-1").strip().split("\r\n")
            headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
            length = next((int(value) for name, value in headers if name == "content-length"), 0)
            status = int(first.split(" ")[1])
            return Response(status, headers, await self.reader.readexactly(length))

    async def ask(self, *parts: bytes) -> Response:
        """Send a request and read the response, which may come before all of it was sent."""
        sending = asyncio.create_task(self.send(*parts))
        try:
            return await self.read()
        finally:
            sending.cancel()

    async def is_closed(self) -> bool:
        """Wait until the server closes the connection."""
        async with asyncio.timeout(TIMEOUT):
            try:
                while await self.reader.read(CHUNK):
                    pass
            except OSError:
                pass
        return True


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[Connection]:
    """Open a connection to the server at a URL."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=16 * 1024 * 1024)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def pieces(data: bytes, size: int) -> Iterable[bytes]:
    """Split data into pieces of a size."""
    return (data[start : start + size] for start in range(0, len(data), size))


async def ask(url: str, *parts: Any) -> Response:
    """Send a request on a connection of its own and read the response."""
    async with connection(url) as opened:
        return await opened.ask(*parts)
