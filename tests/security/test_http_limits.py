"""Denial of service on the wire: long heads, half-sent requests, and connections that only wait."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.cli import http_protocol
from app.cli.http_protocol import OPTIONS, protocol
from app.cli.serve import KEEP_ALIVE
from tests.security.wire import Response, ask, connection, pieces, request
from tests.support.shop import Server, free_socket
from tests.support.timeouts import TIMEOUT

HOOK = "/webhooks/stripe"
SOON = 0.3  # seconds
KB = 1024


class Echo:
    """An application that reads the body of each request and counts how many it was given."""

    def __init__(self) -> None:
        self.started = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.started += 1
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        body = b"%s %s %d" % (scope["method"].encode(), scope["path"].encode(), size)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


class Wire:
    """A server of :class:`Echo`."""

    def __init__(self, url: str, app: Echo) -> None:
        self.url, self.app = url, app


@asynccontextmanager
async def serve(**options: Any) -> AsyncIterator[Wire]:
    bound, app = free_socket(), Echo()
    server = Server(uvicorn.Config(app, lifespan="off", **(OPTIONS | {"timeout_keep_alive": KEEP_ALIVE} | options)))
    running = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        async with asyncio.timeout(TIMEOUT):
            while not server.started:
                await asyncio.sleep(0.01)
        yield Wire(f"http://127.0.0.1:{bound.getsockname()[1]}", app)
    finally:
        server.should_exit = True
        await running


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serve() as running:
        yield running


def header(size: int) -> str:
    return "X-Long: " + "a" * size


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param([request("GET", "/", header(31 * KB))], 200, id="31 KB in one header"),
        pytest.param([request("GET", "/", header(33 * KB))], 431, id="33 KB in one header"),
        pytest.param(list(pieces(request("GET", "/", header(33 * KB)), 1000)), 431, id="33 KB in pieces"),
        pytest.param([request("GET", "/", header(2_000 * KB))], 431, id="2 MB in one header"),
        pytest.param([request("GET", "/", *["a: b"] * 190)], 200, id="190 small headers"),
        pytest.param([request("GET", "/", *["a: b"] * 210)], 431, id="210 small headers"),
        pytest.param([request("GET", "/", *["a: b"] * 3_000)], 431, id="3,000 small headers"),
        pytest.param([request("GET", "/", *["a: b"] * 200_000)], 431, id="200,000 small headers"),
        pytest.param([b"GET / HTTP/1.1\r\n" + b"x" * 3_000_000], 431, id="a header name without end"),
        pytest.param([request("GET", "/" + "a" * 8_000)], 200, id="URL just below 8 KB"),
        pytest.param([request("GET", "/" + "a" * 8_200)], 414, id="URL above 8 KB"),
        pytest.param([request("GET", "/?" + "a" * 500_000)], 414, id="query of 500 KB"),
        pytest.param([b"GET /" + b"a" * 3_000_000], 414, id="URL without end"),
        pytest.param([b"GET " + b"/" * 100 + b"\x01 HTTP/1.1\r\n\r\n"], 400, id="not HTTP"),
        pytest.param([b"POST / HTTP/1.1\r\nContent-Length: 9" + b"9" * 5000 + b"\r\n\r\n"], 400, id="huge length"),
    ],
)
async def test_a_head_that_is_too_long_is_refused(wire: Wire, sent: list[bytes], status: int) -> None:
    answer = await ask(wire.url, *sent)

    assert answer.status == status, answer
    if status != 200:
        assert answer.header("content-type") == "application/problem+json"
        assert answer.header("connection") == "close"
        assert wire.app.started == 0


async def test_a_header_that_never_ends_takes_linear_time(wire: Wire) -> None:
    """The parser alone took 17 seconds for 80 MB, in which it did nothing else."""
    async with connection(wire.url) as attacker:
        flood = asyncio.create_task(attacker.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ", *[b"a" * 256 * KB] * 320))
        worst = 0.0
        for _ in range(50):
            began = time.perf_counter()
            assert (await ask(wire.url, request("GET", "/"))).status == 200
            worst = max(worst, time.perf_counter() - began)
        flood.cancel()
    assert worst < 5, worst  # a busy machine delays each request, but not by seconds


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"G", id="one byte"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n", id="half a head"),
        pytest.param(b"\r\n", id="an empty line"),
    ],
)
async def test_a_request_whose_head_does_not_end_is_closed(first: bytes) -> None:
    async with serve(http=protocol(head_time=SOON)) as wire, connection(wire.url) as slow:
        await slow.send(first)
        assert (await slow.read()).status == 408
        assert await slow.is_closed()


async def test_a_dripping_head_is_closed_although_bytes_keep_coming() -> None:
    async with serve(http=protocol(head_time=SOON)) as wire, connection(wire.url) as slow:
        await slow.send(b"GET / HTTP/1.1\r\nX: ")
        answer = asyncio.create_task(slow.read())
        while not answer.done():
            await slow.send(b"a")
            await asyncio.sleep(SOON / 10)
        assert answer.result().status == 408


@pytest.mark.parametrize("path", ["/v1/plans", HOOK])
async def test_a_dripping_body_is_closed_and_starts_no_request(path: str) -> None:
    async with serve(http=protocol(body_time=SOON)) as wire, connection(wire.url) as slow:
        await slow.send(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n".encode())
        answer = asyncio.create_task(slow.read())
        while not answer.done():
            await slow.send(b"a")
            await asyncio.sleep(SOON / 10)
        assert answer.result().status == 408
        assert wire.app.started == 0


async def test_an_idle_connection_is_kept_longer_than_proxies_keep_it() -> None:
    async with serve(http=protocol(head_time=SOON, body_time=SOON)) as wire, connection(wire.url) as kept:
        for _ in range(2):
            assert (await kept.ask(request("POST", "/", body=b"x" * 100))).status == 200
            await asyncio.sleep(SOON * 2)  # no time-out of a request applies between requests
    assert KEEP_ALIVE == 75


async def test_a_connection_without_any_request_is_closed_when_it_was_idle() -> None:
    async with serve(timeout_keep_alive=SOON) as wire, connection(wire.url) as silent:
        assert await silent.is_closed()


async def test_the_application_starts_when_the_body_has_arrived(wire: Wire) -> None:
    async with connection(wire.url) as slow:
        await slow.send(b"POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n12")
        assert (await ask(wire.url, request("GET", "/"))).status == 200
        assert wire.app.started == 1  # only the other request
        assert (await slow.ask(b"34")).body == b"POST /v1 4"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", id="announced"),
        pytest.param(
            b"POST /v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n11000\r\n" + b"x" * 0x11000,
            id="chunked",
        ),
    ],
)
async def test_a_body_that_is_too_long_is_given_to_the_application_at_once(wire: Wire, sent: bytes) -> None:
    async with connection(wire.url) as opened:
        await opened.send(sent)
        async with asyncio.timeout(TIMEOUT):
            while not wire.app.started:
                await asyncio.sleep(0.01)


async def test_a_long_webhook_is_received_in_pieces(wire: Wire) -> None:
    body = b"x" * 900_000
    answer = await ask(wire.url, *pieces(request("POST", HOOK, body=body), 50_000))

    assert answer.body == b"POST /webhooks/stripe 900000"


async def test_a_client_that_waits_for_permission_to_send_its_body_gets_it(wire: Wire) -> None:
    async with connection(wire.url) as polite:
        await polite.send(b"POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert (await polite.read()).status == 100
        assert (await polite.ask(b"1234")).body == b"POST /v1 4"


async def test_unfinished_bodies_of_all_connections_have_a_limit_together() -> None:
    announced = f"POST {HOOK} HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n".encode()
    async with serve(http=protocol(unfinished_bodies=550_000)) as wire:
        async with connection(wire.url) as one, connection(wire.url) as other:
            await one.send(announced + b"x" * 200_000)
            async with asyncio.timeout(TIMEOUT):
                while http_protocol.BoundedProtocol._unfinished_bodies < 200_000:
                    await asyncio.sleep(0.01)
            answer = await other.ask(announced + b"x" * 400_000)
            assert (answer.status, answer.header("retry-after")) == (503, "2")
            assert (await one.ask(b"x" * 300_000)).status == 200
        assert http_protocol.BoundedProtocol._unfinished_bodies == 0
        assert (await ask(wire.url, announced + b"x" * 200_000, b"x" * 300_000)).status == 200


async def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    first, second = request("POST", "/one", body=b"x" * 50_000), request("POST", "/two", body=b"x" * 50_000)
    async with connection(wire.url) as opened:
        sending = asyncio.create_task(opened.send(*pieces(first + second + request("GET", "/three"), 30_000)))
        answers = [(await opened.read()).body for _ in range(3)]
        await sending
    assert answers == [b"POST /one 50000", b"POST /two 50000", b"GET /three 0"]


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
async def test_an_upgrade_is_ignored(wire: Wire, upgrade: str) -> None:
    headers = [f"Upgrade: {upgrade}", "Connection: Upgrade", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"]
    assert (await ask(wire.url, request("GET", "/", *headers))).status == 200


async def test_no_response_names_the_server(wire: Wire) -> None:
    answers: list[Response] = [await ask(wire.url, request("GET", "/")), await ask(wire.url, b"nonsense\r\n\r\n")]
    assert [answer.header("server") for answer in answers] == [None, None]
