"""
Send webhooks to the publisher's endpoints, signed as Standard Webhooks prescribes.

The URL was typed by somebody, and its name may lead anywhere: to the cloud's metadata service, or to the database. So the
address is checked in the moment in which the socket is made, and exactly that address is connected to. A name that has
another address a moment later changes nothing. Redirects are not followed, and no proxy or cookie is used.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from ipaddress import ip_address
from time import monotonic
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook

from app.domain.text import storable
from app.domain.webhook_deliveries import RESPONSE_BYTES, TIMEOUT, EndpointResponse, wait_asked_for
from app.domain.webhook_endpoints import MOST_ENDPOINTS, Network, PrivateAddress, check_address

CONNECT_SECONDS = 5.0
LONGEST_ERROR = 200  # characters
Lookup = Callable[..., list[tuple[Any, ...]]]  # :func:`socket.getaddrinfo`


class _Refused(OSError):
    """The address must not be connected to."""


class _Resolver(AbstractResolver):
    """Looks names up in threads of its own, so that a slow name server delays nothing else of the process."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(MOST_ENDPOINTS, thread_name_prefix="webhook-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._lookup, host, port, family, socket.SOCK_STREAM)
        return [
            ResolveResult(
                hostname=host,
                host=address[4][0],
                port=address[4][1],
                family=address[0],
                proto=address[2],
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class WebhookSender:
    """Sends webhooks over connections that are kept open."""

    def __init__(
        self, *, allowed: Sequence[Network], timeout: timedelta = TIMEOUT, lookup: Lookup = socket.getaddrinfo
    ) -> None:
        """
        Create a sender. It connects when it is first used.

        :param allowed: networks that are not public, and may be connected to all the same.
        :param timeout: for the whole attempt.
        :param lookup: finds the addresses of a name.
        """
        self._allowed, self._timeout, self._lookup = allowed, timeout, lookup
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, url: str, *, event_id: str, body: str, secrets: Sequence[str], now: datetime
    ) -> EndpointResponse:
        """
        Send an event and return the response. Never raises, so that every attempt is recorded.

        :param event_id: the same for each attempt, so that the receiver knows what it has.
        :param secrets: each signs; several while one is replaced.
        :param now: real time.
        """
        began = monotonic()
        try:
            async with self._get_session().post(
                url, data=body.encode(), headers=signed(event_id, body, secrets, now=now), allow_redirects=False
            ) as response:
                beginning = await response.content.read(RESPONSE_BYTES)
                if not response.content.at_eof():
                    response.close()  # the rest is not read, so the connection can't be used again
            text = storable(beginning.decode(errors="replace"))
            took, asked = timedelta(seconds=monotonic() - began), response.headers.get("Retry-After")
            wait = wait_asked_for(response.status, asked, now=now)
            return EndpointResponse(response.status, None, text, took, wait)
        except Exception as failure:  # a delivery that raises would be neither tried later nor given up
            return EndpointResponse(None, _describe(failure, self._timeout), "", timedelta(seconds=monotonic() - began))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _get_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,  # how many are sent at the same time is decided by who calls
                resolver=_Resolver(self._lookup),
                use_dns_cache=False,
                socket_factory=self._make_socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._timeout.total_seconds(), sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _make_socket(self, address: tuple[Any, ...]) -> socket.socket:
        """
        Return a socket for an address that may be connected to.

        :raises OSError: it must not.
        """
        family, kind, protocol, _, target = address
        try:
            check_address(ip_address(str(target[0]).partition("%")[0]), allowed=self._allowed)
        except PrivateAddress as refusal:
            raise _Refused(str(refusal)) from None
        return socket.socket(family, kind, protocol)


def signed(event_id: str, body: str, secrets: Sequence[str], *, now: datetime) -> Mapping[str, str]:
    """Return the headers of a webhook, with a signature of each secret."""
    signatures = [Webhook(secret).sign(event_id, now, body) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": "Newsstand",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _describe(failure: Exception, timeout: timedelta) -> str:
    """Return what went wrong, for the log of deliveries."""
    if isinstance(failure, TimeoutError):
        return f"No response within {timeout.total_seconds():g} seconds"
    if isinstance(failure, aiohttp.ClientConnectorError):
        return storable(f"Couldn't connect: {failure.os_error}")[:LONGEST_ERROR]
    return storable(f"{type(failure).__name__}: {failure}")[:LONGEST_ERROR]
