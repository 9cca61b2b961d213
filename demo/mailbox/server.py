"""The mail server: it accepts everything and keeps the newest messages in memory."""

import email
from collections import deque
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from typing import cast

from aiosmtpd.smtp import SMTP, Envelope, Session

KEPT = 200  # messages


@dataclass(frozen=True, slots=True)
class Mail:
    """A received message."""

    number: int
    to: str
    subject: str
    sent: str
    text: str
    html: str


@dataclass
class Mailbox:
    """What was received, the newest first."""

    mails: deque[Mail] = field(default_factory=lambda: deque(maxlen=KEPT))
    received: int = 0

    def find(self, number: int) -> Mail | None:
        """Return a message by its number."""
        return next((mail for mail in self.mails if mail.number == number), None)

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:
        """Keep a message."""
        message = email.message_from_bytes(cast("bytes", envelope.content), policy=default)
        self.received += 1
        mail = Mail(
            number=self.received,
            to=", ".join(envelope.rcpt_tos),
            subject=str(message["Subject"] or ""),
            sent=str(message["Date"] or ""),
            text=_body(message, "plain"),
            html=_body(message, "html"),
        )
        self.mails.appendleft(mail)
        return "250 OK"


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part is not None else ""
