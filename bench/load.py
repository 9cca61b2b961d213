"""
The load: requests that were built beforehand, over kept connections, one at a time on each.

It does as little as can be done in Python, so that it leaves its core idle where a server of one process is the limit; how
much of the core it wanted is part of what it tells. An answer costs it some 14 microseconds, where a bare ASGI reply costs
uvicorn 22: it is not the bottleneck.
"""

import asyncio
import gc
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

CONNECTIONS = 32
HOST = "127.0.0.1"
PATIENCE = 30.0  # seconds without the end of a run
_LENGTH = b"content-length:"
_NO_BODY = b"204"
_GOOD = frozenset({b"200", _NO_BODY})


class BadAnswer(Exception):
    """A server did not answer as it should: then nothing was measured."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one short run came to."""

    rate: float  # a second
    p99: float  # seconds
    busy: float  # the share of the time in which the load ran, or would have had others not been running


def request(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a POST."""
    said = {"Host": HOST, "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def question(path: str, headers: Mapping[str, str]) -> bytes:
    """Return the bytes of a GET."""
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": HOST, **headers}.items())
    return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()


def run(port: int, requests: Iterable[bytes], seconds: float, *, connections: int = CONNECTIONS) -> Run:
    """
    Keep a server busy for so long, or until there are no more requests.

    :raises BadAnswer: an answer was neither 200 nor 204, or its length was not said.
    """
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(port, iter(requests), seconds, connections))
    finally:
        gc.enable()


def once(port: int, asked: bytes) -> bytes:
    """Ask one request, and return the body of the answer."""
    return asyncio.run(_once(port, asked))


async def _once(port: int, asked: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(asked)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head, len(head)))
    finally:
        writer.close()
    if head[9:12] not in _GOOD:
        raise BadAnswer((head + body).decode(errors="replace"))
    return body


async def _run(port: int, requests: Iterator[bytes], seconds: float, connections: int) -> Run:
    loop = asyncio.get_running_loop()
    load = _Load(requests, loop.create_future())
    kept = [(await loop.create_connection(lambda: _Connection(load), HOST, port))[1] for _ in range(connections)]
    wanted, started = _core_time(), time.perf_counter()
    load.until = started + seconds
    for connection in kept:
        connection.ask()
    async with asyncio.timeout(seconds + PATIENCE):
        await load.ended
    took, wanted = load.last - started, _core_time() - wanted
    for connection in kept:
        connection.close()
    late = sorted(load.latencies)
    if not late:
        raise BadAnswer("there was nothing to ask")
    return Run(rate=len(late) / took, p99=late[int(len(late) * 0.99)], busy=wanted / took)


def _core_time() -> float:
    """Return for how many seconds this thread ran or, where the kernel tells, waited for its core."""
    try:
        ran, waited, _ = Path("/proc/thread-self/schedstat").read_text().split()
    except OSError:
        return time.thread_time()
    return (int(ran) + int(waited)) / 1e9


class _Load:
    """What the connections of a run share."""

    def __init__(self, requests: Iterator[bytes], ended: "asyncio.Future[None]") -> None:
        self.requests, self.ended = requests, ended
        self.until = self.last = 0.0
        self.asking = 0
        self.latencies: list[float] = []

    def fail(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(BadAnswer(why))


class _Connection(asyncio.Protocol):
    """Asks, waits for the whole answer, asks again."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._so_far = b""
        self._asked = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not say that it is one

    def ask(self) -> None:
        load = self._load
        asked = next(load.requests, None)
        if asked is None:
            if not load.asking and not load.ended.done():
                load.ended.set_result(None)
            return
        load.asking += 1
        self._asked = time.perf_counter()
        self._transport.write(asked)

    def data_received(self, data: bytes) -> None:
        load = self._load
        if self._so_far:
            data = self._so_far + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._so_far = data
            return
        try:
            whole = end + 4 + _length(data, end)
        except BadAnswer as bad:
            load.fail(str(bad))
            return
        if len(data) < whole:
            self._so_far = data
            return
        self._so_far = b""
        if data[9:12] not in _GOOD or len(data) > whole:
            load.fail(data.decode(errors="replace"))
            return
        load.last = now = time.perf_counter()
        load.latencies.append(now - self._asked)
        load.asking -= 1
        if now < load.until:
            self.ask()
        elif not load.asking and not load.ended.done():
            load.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.fail(f"the server closed a connection: {exc}")

    def close(self) -> None:
        self._transport.abort()


def _length(data: bytes, end: int) -> int:
    """Return the length of the body that a head announces. Servers differ in how they write the name."""
    if data[9:12] == _NO_BODY:
        return 0
    at = data.find(_LENGTH, 0, end)
    if at < 0:
        at = data[:end].lower().find(_LENGTH)
    if at < 0:
        raise BadAnswer("the answer does not say its length")
    return int(data[at + len(_LENGTH) : data.find(b"\r", at)])
