"""
Sessions of staff, as the pages see them.

The browser has an encrypted cookie with the session's ID and the time of last use. Everything else is in the database, so
any process can serve any page, and a session can be ended from outside.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request

from app.domain.staff_sessions import StoredSession
from app.pages.cookies import CookieCipher
from app.pages.forms import earlier_tokens

SCOPE_KEY = "newsstand.staff"  # where the middleware puts the session in the ASGI scope
RENEW_AFTER = timedelta(minutes=1)  # the cookie is renewed at most this often


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCookie:
    """The content of the session cookie."""

    id: str
    sub: str
    form_token: str  # in every form of this session, against cross-site request forgery
    last_used_at: datetime
    earlier: str = ""  # the form tokens of the person's sessions before, whose pages may sign out

    @classmethod
    def start(cls, stored: StoredSession, *, before: "SessionCookie | None" = None) -> "SessionCookie":
        """
        Return the cookie of a new session.

        :param before: the cookie that the browser had, if any.
        """
        return cls(
            id=stored.id,
            sub=stored.sub,
            form_token=secrets.token_urlsafe(24),
            last_used_at=stored.started_at,
            earlier=earlier_tokens(before.form_token, before.earlier) if before and before.sub == stored.sub else "",
        )

    def to_value(self, cipher: CookieCipher, *, now: datetime) -> str:
        """Return the value of the cookie, with ``now`` as the time of last use."""
        content: dict[str, Any] = {
            "id": self.id,
            "sub": self.sub,
            "form_token": self.form_token,
            "seen": now.timestamp(),
            "earlier": self.earlier,
        }
        return cipher.encrypt(content, now=now)

    @classmethod
    def from_value(cls, value: str, cipher: CookieCipher, *, idle: timedelta, now: datetime) -> "SessionCookie | None":
        """Return the content of a cookie. None: it is invalid, of another release, or was not used for ``idle``."""
        content = cipher.decrypt(value, max_age=idle, now=now)
        if content is None:
            return None
        texts = [content.get(name) for name in ("id", "sub", "form_token")]
        if not all(isinstance(text, str) for text in texts):
            return None  # of another release
        try:
            last_used_at = datetime.fromtimestamp(content["seen"], UTC)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return None
        return cls(
            id=str(texts[0]),
            sub=str(texts[1]),
            form_token=str(texts[2]),
            last_used_at=last_used_at,
            earlier=str(content.get("earlier", "")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffSession:
    """The open session of a member of staff."""

    cookie: SessionCookie
    sub: str
    name: str
    roles: frozenset[str]  # includes implied roles; never empty
    signed_in_at: datetime | None  # when the person entered their credentials; None: the provider doesn't say
    acr: str | None

    @classmethod
    def of(cls, stored: StoredSession, cookie: SessionCookie) -> "StaffSession":
        """Return the session of a cookie."""
        return cls(
            cookie=cookie,
            sub=stored.sub,
            name=stored.name,
            roles=stored.roles,
            signed_in_at=stored.signed_in_at,
            acr=stored.acr,
        )

    @property
    def form_token(self) -> str:
        """The token in every form of this session."""
        return self.cookie.form_token

    @property
    def actor(self) -> str:
        """The person's name in the audit log."""
        return f"staff:{self.sub}"

    def has_role(self, role: str) -> bool:
        """Tell whether the person has a role."""
        return role in self.roles


def session_of(request: Request) -> StaffSession | None:
    """Return the session of a request. None: the person is not signed in."""
    session = request.scope.get(SCOPE_KEY)
    return session if isinstance(session, StaffSession) else None
