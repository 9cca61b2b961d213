"""A webhook never leads into our own network: no connection is attempted, whatever the URL, DNS or a redirect says."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web

from app.domain.text import is_storable
from app.domain.webhook_deliveries import EndpointResponse
from app.gateway.webhook_deliveries import WebhookSender
from tests.support.webhook_receiver import LOOPBACK, receiving

SECRET = "whsec_" + "c2VjcmV0IG9mIGEgdGVzdCB0aGF0IGlzIHB1YmxpYw=="
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Trap:
    """A server that must not be connected to."""

    port: int
    connections: int = 0


@asynccontextmanager
async def trapping(host: str = "127.0.0.1") -> AsyncIterator[Trap]:
    """Listen on loopback, and count connections."""
    trap = Trap(0)

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trap.connections += 1
        writer.close()

    server = await asyncio.start_server(connected, host, 0)
    trap.port = server.sockets[0].getsockname()[1]
    async with server:
        yield trap


async def send(url: str, sender: WebhookSender) -> EndpointResponse:
    try:
        return await sender.send(url, event_id="obx_1", body="{}", secrets=[SECRET], now=NOW)
    finally:
        await sender.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost"])
async def test_no_private_address_is_connected_to(host: str) -> None:
    async with trapping() as trap:
        answer = await send(f"http://{host}:{trap.port}/", WebhookSender(allowed=()))

    assert answer.status is None
    assert trap.connections == 0
    assert "not a public address" in (answer.error or "")


async def test_no_connection_to_the_metadata_service_is_attempted(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[object] = []

    class Spy(socket.socket):
        def __init__(self, *arguments: Any) -> None:
            attempts.append(arguments)
            super().__init__(*arguments)

    sender = WebhookSender(allowed=())
    monkeypatch.setattr("app.gateway.webhook_deliveries.socket.socket", Spy)
    answer = await send("http://169.254.169.254/latest/meta-data/", sender)

    assert answer.error == "Couldn't connect: 169.254.169.254 is not a public address"
    assert attempts == []  # there was not even a socket


async def test_a_name_that_leads_to_a_private_address_is_not_connected_to() -> None:
    async with trapping() as trap:

        def lookup(*_: object) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", trap.port))]

        answer = await send(f"http://hooks.example.com:{trap.port}/", WebhookSender(allowed=(), lookup=lookup))

    assert (answer.status, trap.connections) == (None, 0)


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    asked: list[object] = []

    async def respond(_: Mapping[str, Any]) -> web.Response:
        response = web.Response(status=204)
        response.force_close()  # so that the next webhook needs another connection
        return response

    async with receiving(respond) as site, trapping("127.0.0.2") as trap:
        port = int(site.url.rsplit(":", 1)[1].partition("/")[0])

        def lookup(host: str, *_: object) -> list[tuple[Any, ...]]:
            asked.append(host)
            answer = ("127.0.0.1", port) if len(asked) == 1 else ("127.0.0.2", trap.port)  # rebound at once
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", answer)]

        only = WebhookSender(allowed=[ip_network("127.0.0.1/32")], lookup=lookup)
        first = await only.send(
            f"http://hooks.example.com:{port}/hook", event_id="obx_1", body="{}", secrets=[SECRET], now=NOW
        )
        again = await send(f"http://hooks.example.com:{port}/hook", only)

    assert (first.status, again.status) == (204, None)
    assert asked == ["hooks.example.com"] * 2  # once for each connection
    assert trap.connections == 0


async def test_a_redirect_is_not_followed() -> None:
    async with trapping() as trap:

        async def respond(_: Mapping[str, Any]) -> web.Response:
            return web.Response(status=307, headers={"Location": f"http://127.0.0.1:{trap.port}/latest/meta-data/"})

        async with receiving(respond) as site:
            answer = await send(site.url, WebhookSender(allowed=LOOPBACK))

    assert (answer.status, answer.is_success, trap.connections) == (307, False, 0)


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with trapping() as trap, receiving() as site:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{trap.port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{trap.port}")
        answer = await send(site.url, WebhookSender(allowed=LOOPBACK))

    assert (answer.status, trap.connections) == (204, 0)


async def test_a_name_without_an_address_is_a_failure_with_its_reason() -> None:
    def lookup(*_: object) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    answer = await send("https://hooks.example.com/", WebhookSender(allowed=(), lookup=lookup))

    assert answer.status is None
    assert "Name or service not known" in (answer.error or "")


@pytest.mark.parametrize(
    "answered",
    [
        pytest.param(b"HTTP/1.1 503 No\r\nRetry-After: Mon, 01 Jan 2024 00:00:00 +" + b"9" * 20, id="endless zone"),
        pytest.param(b"HTTP/1.1 503 No\r\nRetry-After: \xff\xfe", id="header that is not UTF-8"),
        pytest.param(b"HTTP/1.1 503 No\0\xff\r\nX: \0", id="NUL characters"),
        pytest.param(b"\0\xff\xfe", id="no HTTP"),
        pytest.param(b"HTTP/1.1 " + b"9" * 5000, id="endless status"),
        pytest.param(b"HTTP/1.1 503 No\r\nContent-Length: " + b"9" * 5000, id="endless length"),
    ],
)
async def test_whatever_a_receiver_answers_is_a_failure_that_can_be_stored(answered: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answered + b"\r\n\r\nno")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        response = await send(f"http://127.0.0.1:{port}/", WebhookSender(allowed=LOOPBACK))

    assert not response.is_success
    assert is_storable((response.error or "") + response.body)


async def test_an_error_that_nobody_thought_of_is_a_failure_too() -> None:
    def lookup(*_: object) -> list[tuple[Any, ...]]:
        raise OverflowError("\ud800 too \0 large")

    answer = await send("https://hooks.example.com/", WebhookSender(allowed=(), lookup=lookup))

    assert (answer.status, answer.error) == (None, "OverflowError: ? too  large")
