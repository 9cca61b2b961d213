"""
The connection to the publisher's mail server: SMTP with STARTTLS or TLS, a few connections that are kept for a while.

A message is handed over command by command, so that the result says whether the server may have it: until the message itself
was transmitted, it can't have it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from enum import StrEnum
from ipaddress import ip_address
from time import monotonic
from urllib.parse import unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
)

from app.domain.text import storable

KEPT = 30.0  # seconds for which an idle connection is kept: servers close theirs after some minutes
PORTS = {"smtp": 587, "smtps": 465}
PERMANENT = 500  # the first code of a refusal for good


class Delivery(StrEnum):
    """What became of a message."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # for good: this message or this recipient
    POSTPONED = "postponed"  # the server did not take it, and may do so later
    UNKNOWN = "unknown"  # the connection failed after the message was transmitted: the server may have it


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a message, and what the server said, in a form that can be stored."""

    delivery: Delivery
    said: str

    def __post_init__(self) -> None:
        """Make what the server said storable: its bytes need not be UTF-8."""
        object.__setattr__(self, "said", storable(self.said))


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message to one recipient."""

    message_id: str  # with angle brackets
    sender: str  # an address, with or without a name
    reply_to: str | None
    to: str
    subject: str
    text: str
    html: str
    at: datetime
    unsubscribe: str | None = None  # the URL to which an email program posts

    def as_bytes(self) -> bytes:
        """Return the message as it is transmitted. It is the same each time, so that a repeated one can be recognized."""
        made = EmailMessage(policy=SMTP_POLICY)
        name, address = parseaddr(self.sender)
        made["From"] = Address(display_name=name, addr_spec=address)
        made["To"] = Address(addr_spec=self.to)
        if self.reply_to is not None:
            made["Reply-To"] = self.reply_to
        made["Subject"] = self.subject
        made["Date"] = format_datetime(self.at)
        made["Message-ID"] = self.message_id
        made["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's vacation message answers it
        if self.unsubscribe is not None:
            made["List-Unsubscribe"] = f"<{self.unsubscribe}>"
            made["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        made.set_content(self.text)
        made.add_alternative(self.html, subtype="html")
        boundary = f"=_{self.message_id.strip('<>').partition('@')[0]}"
        made.set_boundary(boundary)
        return made.as_bytes()


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server: where it listens, and how to sign in."""

    host: str
    port: int
    use_tls: bool  # from the first byte
    start_tls: bool | None  # None: if the server offers it
    user: str | None
    password: str | None


def server_of(url: str) -> Server:
    """
    Return the mail server of a URL: ``smtp://host:587`` or ``smtps://…``, with ``user:password@`` if it requires a sign-in.

    ``smtp`` needs STARTTLS, except on this machine, where it is used if the server offers it.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return Server(
        host=host,
        port=parts.port or PORTS[parts.scheme],
        use_tls=parts.scheme == "smtps",
        start_tls=(None if is_loopback(host) else True) if parts.scheme == "smtp" else False,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Mailer:
    """Hands messages to a mail server."""

    def __init__(
        self,
        url: str,
        *,
        connections: int,
        timeout: timedelta,
        wait_for_turn: Callable[[], Awaitable[None]] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """
        Create a mailer. It connects when a message is sent.

        :param wait_for_turn: waits until a message may be sent, so that the server's rate limit is respected.
        :param tls: for a server whose certificate is not one of the system's.
        """
        self._server, self._timeout, self._tls = server_of(url), timeout.total_seconds(), tls
        self._wait_for_turn = wait_for_turn
        self._free = asyncio.Semaphore(connections)
        self._idle: list[tuple[SMTP, float]] = []

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """
        Wait until a message may be sent, by the limits of connections and of the rate.

        It is before :meth:`send` and apart from it, so that nothing says that a message is being sent while it only waits.
        """
        async with self._free:
            if self._wait_for_turn is not None:
                await self._wait_for_turn()
            yield

    async def send(self, message: Message) -> Result:
        """Hand a message over, in a :meth:`turn`. Never fails: the result says what happened."""
        transmitted = False
        try:
            content = message.as_bytes()
            async with self._connection() as client:
                await client.mail(parseaddr(message.sender)[1])
                await client.rcpt(message.to)
                transmitted = True
                reply = await client.data(content)
        except SMTPAuthenticationError as wrong:  # the settings are wrong, not the message
            return Result(Delivery.POSTPONED, f"sign-in refused: {wrong.code} {wrong.message}")
        except (SMTPRecipientRefused, SMTPDataError) as refusal:
            delivery = Delivery.REFUSED if refusal.code >= PERMANENT else Delivery.POSTPONED
            return Result(delivery, f"{refusal.code} {refusal.message}")
        except (
            SMTPResponseException
        ) as refusal:  # of the connection or the sender: neither this message nor its recipient
            delivery = Delivery.UNKNOWN if transmitted else Delivery.POSTPONED
            return Result(delivery, f"{refusal.code} {refusal.message}")
        except (SMTPException, OSError, TimeoutError) as failure:
            delivery = Delivery.UNKNOWN if transmitted else Delivery.POSTPONED
            return Result(delivery, f"{type(failure).__name__}: {failure}")
        except (ValueError, IndexError, MessageError) as wrong:
            return Result(Delivery.REFUSED, f"the message can't be sent: {wrong}")
        return Result(Delivery.ACCEPTED, f"{reply.code} {reply.message}")

    async def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            client, _ = self._idle.pop()
            client.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[SMTP]:
        """Provide a connection, an idle one if there is one. It is kept unless it failed."""
        client = await self._reused() or await self._connected()
        try:
            yield client
        except SMTPResponseException as refusal:
            await self._keep(client, is_gone=refusal.code == 421)
            raise
        except BaseException:
            client.close()
            raise
        await self._keep(client, is_gone=False)

    async def _reused(self) -> SMTP | None:
        """Return an idle connection that still works."""
        while self._idle:
            client, since = self._idle.pop()
            if client.is_connected and monotonic() - since < KEPT:
                try:
                    await client.rset()
                except (SMTPException, OSError, TimeoutError):
                    client.close()
                    continue
                return client
            client.close()
        return None

    async def _connected(self) -> SMTP:
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.use_tls,
            start_tls=server.start_tls,
            tls_context=self._tls,
            timeout=self._timeout,
        )
        await client.connect()
        return client

    async def _keep(self, client: SMTP, *, is_gone: bool) -> None:
        if is_gone or not client.is_connected:
            client.close()
        else:
            self._idle.append((client, monotonic()))
