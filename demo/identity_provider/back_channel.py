"""Tell the clients that a session has ended: OpenID Connect Back-Channel Logout 1.0."""

import logging
import secrets
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
from joserfc import jwt

from demo.identity_provider.keys import KeyRing
from demo.identity_provider.sign_ins import SignIn

if TYPE_CHECKING:
    from demo.identity_provider.authorization_server import IdentityProvider

EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TOKEN_LIFETIME = 120  # seconds: recommended in section 2.4
TIMEOUT = 5.0  # seconds for a client to answer

log = logging.getLogger(__name__)


def logout_claims(issuer: str, client_id: str, **claims: Any) -> dict[str, Any]:
    """Return the claims of a logout token (section 2.4). A claim of None is omitted."""
    now = int(time.time())
    valid = {
        "iss": issuer,
        "aud": client_id,
        "iat": now,
        "exp": now + LOGOUT_TOKEN_LIFETIME,
        "jti": secrets.token_urlsafe(12),
        "events": {EVENT: {}},
    }
    return {name: value for name, value in {**valid, **claims}.items() if value is not None}


def sign_logout_token(keys: KeyRing, claims: dict[str, Any], *, typ: str = "logout+jwt") -> str:
    """Return a signed logout token."""
    key = keys.signing_key()
    return jwt.encode({"alg": "RS256", "typ": typ, "kid": str(key.kid)}, claims, key, ["RS256"], default_type=None)


async def end_session(provider: "IdentityProvider", session: SignIn) -> None:
    """End a session, withdraw its refresh tokens and tell its clients. A client that doesn't answer is only logged."""
    provider.sign_ins.end(session.sid)
    provider.refresh_tokens = {
        value: kept for value, kept in provider.refresh_tokens.items() if kept.session.sid != session.sid
    }
    async with httpx2.AsyncClient(timeout=TIMEOUT) as http:
        for client_id, redirect_uri in session.clients.items():
            path = provider.clients[client_id].backchannel_logout_path
            if path is None:
                continue
            # The demo's service uses any free port, so the path is registered and the origin follows the redirect URI.
            parts = urlsplit(redirect_uri)
            claims = logout_claims(provider.url, client_id, sub=session.sub, sid=session.sid)
            try:
                answer = await http.post(
                    f"{parts.scheme}://{parts.netloc}{path}",
                    data={"logout_token": sign_logout_token(provider.keys, claims)},
                )
                if answer.is_error:
                    log.warning("%s refused a logout token: %s", client_id, answer.status_code)
            except httpx2.HTTPError as error:
                log.warning("%s did not answer a logout token: %r", client_id, error)
