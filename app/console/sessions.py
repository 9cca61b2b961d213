"""
Sessions of staff, kept in an encrypted cookie.

The database only records who signed out, so any process can serve any page.
"""

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from starlette.requests import Request

from app.console.cookies import CookieCipher
from app.domain.callers import Reader

SCOPE_KEY = "newsstand.staff"  # where the middleware puts the session in the ASGI scope
RENEW_AFTER = timedelta(minutes=1)  # the cookie is renewed at most this often


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffSession:
    """The session of a person who signed in to the console."""

    sub: str
    name: str
    roles: frozenset[str]  # includes implied roles; empty for a person without a staff role, who may see nothing
    form_token: str  # in every form of this session, against cross-site request forgery
    started_at: datetime
    last_used_at: datetime

    @classmethod
    def start(cls, person: Reader, *, now: datetime) -> "StaffSession":
        """Start a session."""
        return cls(
            sub=person.sub,
            name=person.name or person.email or person.sub,
            roles=person.roles,
            form_token=secrets.token_urlsafe(24),
            started_at=now,
            last_used_at=now,
        )

    @property
    def actor(self) -> str:
        """The person's name in the audit log."""
        return f"staff:{self.sub}" if self.roles else f"reader:{self.sub}"

    def has_role(self, role: str) -> bool:
        """Tell whether the person has a role."""
        return role in self.roles

    def to_cookie(self, cipher: CookieCipher, *, now: datetime) -> str:
        """Return the value of the session cookie, with ``now`` as the time of last use."""
        used = replace(self, last_used_at=now)
        content = {
            "sub": used.sub,
            "name": used.name,
            "roles": sorted(used.roles),
            "form_token": used.form_token,
            "since": used.started_at.timestamp(),
            "seen": used.last_used_at.timestamp(),
        }
        return cipher.encrypt(content, now=now)

    @classmethod
    def from_cookie(
        cls, value: str, cipher: CookieCipher, *, lifetime: timedelta, idle: timedelta, now: datetime
    ) -> "StaffSession | None":
        """Return the session of a cookie value. None: the value is invalid, or the session has expired."""
        content = cipher.decrypt(value, max_age=idle, now=now)
        if content is None:
            return None
        session = cls(
            sub=content["sub"],
            name=content["name"],
            roles=frozenset(content["roles"]),
            form_token=content["form_token"],
            started_at=datetime.fromtimestamp(content["since"], UTC),
            last_used_at=datetime.fromtimestamp(content["seen"], UTC),
        )
        return session if session.started_at <= now < session.started_at + lifetime else None


def session_of(request: Request) -> StaffSession | None:
    """Return the session of a request. None: the person is not signed in."""
    session = request.scope.get(SCOPE_KEY)
    return session if isinstance(session, StaffSession) else None
