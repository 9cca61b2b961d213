"""Logout tokens: the identity provider ends sessions (OpenID Connect Back-Channel Logout 1.0, section 2.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.domain.callers import LONGEST_SUB
from app.domain.staff_sessions import CLOCK_TOLERANCE

EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TOKEN_TYPES = frozenset({"logout+jwt", "application/logout+jwt", "jwt"})  # not all providers state the type
LONGEST_LOGOUT_TOKEN = 8192  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutClaims:
    """What a logout token says: whose sessions end. At least one of ``sub`` and ``sid`` is not None."""

    jti: str
    sub: str | None
    sid: str | None  # the provider's session; None: all sessions of the person
    expires_at: datetime


def read_logout_token(claims: Mapping[str, Any], *, issuer: str, client_id: str, now: datetime) -> LogoutClaims:
    """
    Validate the claims of a logout token whose signature was verified.

    :raises ValueError: if it is not a logout token for this client, or is not valid now. ``str()`` says why.
    """
    if str(claims.get("iss", "")).rstrip("/") != issuer:
        raise ValueError("the token is from another issuer")
    audience = claims.get("aud")
    if client_id not in (audience if isinstance(audience, list) else [audience]):
        raise ValueError("the token is for another client")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise ValueError("the token is not a logout token: it lacks the event")
    if "nonce" in claims:  # so that an ID token can't be used as a logout token
        raise ValueError("the token is not a logout token: it has a nonce")
    issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
    if now >= expires_at + CLOCK_TOLERANCE:
        raise ValueError("the token has expired")
    if issued_at > now + CLOCK_TOLERANCE:
        raise ValueError("the token is not valid yet")
    jti, sub, sid = _text(claims, "jti"), _text(claims, "sub"), _text(claims, "sid")
    if jti is None:
        raise ValueError("the token lacks jti")
    if sub is None and sid is None:
        raise ValueError("the token lacks both sub and sid")
    return LogoutClaims(jti=jti, sub=sub, sid=sid, expires_at=expires_at)


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**36:
        raise ValueError(f"the token's {name} is missing or not a time")
    return datetime.fromtimestamp(value, UTC)


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_SUB or not value.isprintable():
        raise ValueError(f"the token's {name} is not a usable text")
    return value
