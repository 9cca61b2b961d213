"""
Sessions of readers. A session is an encrypted cookie, so any process can serve any page.

It ends after the same time as a session at the console. A sign-out, here or at the identity provider, ends every session of
the reader, also one whose cookie somebody has copied: the time of the last sign-out is in the database.
"""

import base64
import binascii
import json
import secrets
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response

from app.account import cookies
from app.account.state import account_of
from app.domain.callers import Reader
from app.pages.forms import earlier_tokens

SCOPE_KEY = "newsstand.reader"  # where the middleware puts the session in the ASGI scope
COOKIE = "session"
RENEW_AFTER = timedelta(minutes=1)  # the cookie is renewed at most this often


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSession:
    """The session of a reader."""

    sub: str
    email: str | None
    email_verified: bool
    name: str | None
    form_token: str  # in every form of this session, against cross-site request forgery
    started_at: datetime
    last_used_at: datetime
    earlier: str = ""  # the form tokens of the reader's sessions before, whose pages may sign out

    @classmethod
    def start(cls, reader: Reader, *, now: datetime, before: "ReaderSession | None" = None) -> "ReaderSession":
        """
        Start a session of a person who has signed in.

        :param before: the session that the browser had, if any.
        """
        return cls(
            sub=reader.sub,
            email=reader.email,
            email_verified=reader.email_verified,
            name=reader.name,
            form_token=secrets.token_urlsafe(24),
            started_at=now,
            last_used_at=now,
            earlier=earlier_tokens(before.form_token, before.earlier) if before and before.sub == reader.sub else "",
        )

    @property
    def reader(self) -> Reader:
        """The person, as services know them."""
        return Reader(sub=self.sub, email=self.email, name=self.name, email_verified=self.email_verified)

    @property
    def shown_name(self) -> str:
        """The person's name on the pages."""
        return self.name or self.email or "Reader"

    def pack(self) -> dict[str, str]:
        """Return the content of the cookie, compressed: a name can have hundreds of characters."""
        content = [
            self.sub,
            self.email,
            self.email_verified,
            self.name,
            self.form_token,
            self.started_at.timestamp(),
            self.last_used_at.timestamp(),
        ]
        packed = zlib.compress(json.dumps(content, ensure_ascii=False).encode())
        return {"session": base64.b64encode(packed).decode(), "earlier": self.earlier}

    @classmethod
    def unpack(cls, content: dict[str, str]) -> "ReaderSession | None":
        """Return the session of a cookie. None: it is of another release."""
        try:
            sub, email, verified, name, token, started_at, last_used_at = json.loads(
                zlib.decompress(base64.b64decode(content["session"]))
            )
            return cls(
                sub=str(sub),
                email=email,
                email_verified=verified is True,
                name=name,
                form_token=str(token),
                started_at=datetime.fromtimestamp(started_at, UTC),
                last_used_at=datetime.fromtimestamp(last_used_at, UTC),
                earlier=str(content.get("earlier", "")),
            )
        except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, OverflowError, OSError):
            return None


def session_of(request: Request) -> ReaderSession | None:
    """Return the session of a request. None: the person is not signed in."""
    session = request.scope.get(SCOPE_KEY)
    return session if isinstance(session, ReaderSession) else None


def load(request: Request) -> ReaderSession | None:
    """Return the session of the request's cookie, unless it was idle for too long."""
    found, ctx = expired(request), account_of(request).ctx
    idle = found is not None and ctx.clock.real() - found.last_used_at > ctx.settings.session_idle
    return None if idle else found


def expired(request: Request, *, max_age: timedelta | None = None) -> ReaderSession | None:
    """
    Return the session of a cookie, even if it has ended.

    :param max_age: since its start; by default the length of a session.
    """
    account = account_of(request)
    max_age, now = max_age or account.ctx.settings.session_lifetime, account.ctx.clock.real()
    content = cookies.read(request, COOKIE, account.session_cipher, max_age=max_age)
    found = ReaderSession.unpack(content) if content is not None else None
    return found if found is not None and now - found.started_at <= max_age else None


def save(request: Request, response: Response, session: ReaderSession) -> None:
    """Store the session in the browser. A name that is too long for a cookie is left out."""
    cipher = account_of(request).session_cipher
    value = cookies.encrypted(request, cipher, session.pack())
    value = value or cookies.encrypted(request, cipher, replace(session, name=None).pack())
    cookies.set_value(request, response, COOKIE, value or "")


def renew(request: Request, session: ReaderSession, headers: MutableHeaders) -> None:
    """Update the session's time of last use, unless the response starts or ends a session itself."""
    ctx = account_of(request).ctx
    now, name = ctx.clock.real(), cookies.name_of(request, COOKIE)
    is_set = any(cookie.startswith(f"{name}=") for cookie in headers.getlist("set-cookie"))
    if is_set or now - session.last_used_at < min(RENEW_AFTER, ctx.settings.session_idle / 4):
        return
    renewed = Response()
    save(request, renewed, replace(session, last_used_at=now))
    headers.append("set-cookie", renewed.headers["set-cookie"])
