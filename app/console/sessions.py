"""Who is signed in. The browser holds it, sealed; we keep only who signed out, so any process serves any page."""

import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request

from app.console.cookies import Seal
from app.domain.callers import Reader

STAFF = "newsstand.staff"  # in the ASGI scope, put there by the guard
FRESH_FOR = timedelta(minutes=1)  # the cookie is written anew no more often than that


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """Somebody with a session."""

    sub: str
    name: str
    roles: frozenset[str]  # implied ones among them; none: they are no staff, and are shown nothing
    form_token: str  # in every form of theirs
    since: datetime
    seen: datetime

    @classmethod
    def of(cls, reader: Reader, *, now: datetime) -> "Staff":
        """Begin a session."""
        return cls(
            sub=reader.sub,
            name=reader.name or reader.email or reader.sub,
            roles=reader.roles,
            form_token=secrets.token_urlsafe(24),
            since=now,
            seen=now,
        )

    @property
    def actor(self) -> str:
        """How the audit log calls them."""
        return f"staff:{self.sub}" if self.roles else f"reader:{self.sub}"

    def may(self, role: str) -> bool:
        """Tell whether they have a role."""
        return role in self.roles

    def sealed(self, seal: Seal, *, now: datetime) -> str:
        """Return the session as the browser keeps it, seen now."""
        kept = asdict(replace(self, seen=now))
        kept |= {"roles": sorted(self.roles), "since": self.since.timestamp(), "seen": now.timestamp()}
        return seal.close(kept, now=now)


def unsealed(sealed: str, seal: Seal, *, lifetime: timedelta, idle: timedelta, now: datetime) -> Staff | None:
    """Return the session that a browser brought, if it is one of ours and neither too old nor idle for too long."""
    kept = seal.open(sealed, within=idle, now=now)
    if kept is None:
        return None
    staff = _staff(kept)
    return staff if staff.since <= now < staff.since + lifetime else None


def _staff(kept: dict[str, Any]) -> Staff:
    return Staff(
        sub=kept["sub"],
        name=kept["name"],
        roles=frozenset(kept["roles"]),
        form_token=kept["form_token"],
        since=datetime.fromtimestamp(kept["since"], UTC),
        seen=datetime.fromtimestamp(kept["seen"], UTC),
    )


def staff_of(request: Request) -> Staff | None:
    """Return who is signed in."""
    staff = request.scope.get(STAFF)
    return staff if isinstance(staff, Staff) else None
