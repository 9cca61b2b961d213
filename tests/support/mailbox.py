"""A mail server on this machine that keeps what it receives, and can be told to refuse, to hang up or to wait."""

import asyncio
import email
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.shop import free_socket
from tests.support.timeouts import TIMEOUT

Answer = str | Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Mail:
    """A received message."""

    to: str
    sender: str  # of the envelope
    message: EmailMessage
    encrypted: bool
    user: str | None  # who signed in

    @property
    def subject(self) -> str:
        """The subject."""
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """The plain text."""
        part = self.message.get_body(("plain",))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")

    @property
    def html(self) -> str:
        """The HTML."""
        part = self.message.get_body(("html",))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")


@dataclass
class Mailbox:
    """What a mail server received. ``answers`` are its next answers to a recipient or a message, instead of 250."""

    url: str = ""
    received: list[Mail] = field(default_factory=list)
    to_recipient: list[Answer] = field(default_factory=list)
    to_message: list[Answer] = field(default_factory=list)
    logins: dict[str, str] = field(default_factory=dict)  # passwords by user
    connections: int = 0

    def of(self, address: str) -> list[Mail]:
        """Return the messages to an address."""
        return [mail for mail in self.received if mail.to == address]

    async def wait_for(self, count: int = 1, to: str | None = None) -> Sequence[Mail]:
        """Wait until there are so many messages, and return them."""
        async with asyncio.timeout(TIMEOUT):
            while len(found := self.received if to is None else self.of(to)) < count:
                await asyncio.sleep(0.02)
        return found

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]) -> str:
        """Accept a recipient, or answer as the test wants."""
        answer = await _next(self.to_recipient)
        if answer is None or answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep a message, or answer as the test wants. What is not refused is kept."""
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=default)
        assert isinstance(message, EmailMessage)
        answer = await _next(self.to_message)
        if answer is None or answer.startswith("2"):
            mail = Mail(
                to=str(envelope.rcpt_tos[0]),
                sender=str(envelope.mail_from),
                message=message,
                encrypted=session.ssl is not None,
                user=session.auth_data.decode() if isinstance(session.auth_data, bytes) else None,
            )
            self.received.append(mail)
        return answer or "250 OK, kept"

    def authenticate(self, _: Any, __: Any, ___: Any, mechanism: str, data: Any) -> AuthResult:
        """Check the password of a user."""
        assert isinstance(data, LoginPassword)
        known = self.logins.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=known, handled=known, auth_data=data.login)  # the server answers a failure


async def _next(answers: list[Answer]) -> str | None:
    if not answers:
        return None
    answer = answers.pop(0)
    return answer if isinstance(answer, str) else await answer()


@asynccontextmanager
async def mailbox(*, tls: ssl.SSLContext | None = None, logins: dict[str, str] | None = None) -> AsyncIterator[Mailbox]:
    """
    Run a mail server.

    :param tls: for STARTTLS, which is then required.
    :param logins: passwords by user; then signing in is required.
    """
    box = Mailbox(logins=logins or {})
    bound = free_socket()
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        box.connections += 1
        return SMTP(
            box,
            enable_SMTPUTF8=True,
            tls_context=tls,
            require_starttls=tls is not None,
            authenticator=box.authenticate if logins else None,
            auth_required=bool(logins),
            auth_require_tls=tls is not None,
            loop=loop,
        )

    server = await loop.create_server(protocol, sock=bound)
    box.url = f"smtp://127.0.0.1:{bound.getsockname()[1]}"
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()
