"""
The control API under `/_issuer`, for the demo and the tests only.

It mints any token on request, including invalid ones that a service must reject, and rotates keys. It answers
requests from loopback only. A real identity provider must never have such an API.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.identity_provider.authorization_server import TOKEN_LIFETIME, IdentityProvider
from demo.identity_provider.clients import LOOPBACK_HOSTS
from demo.identity_provider.keys import Algorithm


class TokenRequest(BaseModel):
    """A token to mint. The defaults give a valid token; ``claims`` override the others, and null removes a claim."""

    model_config = ConfigDict(extra="forbid")

    sub: str
    email: str | None = None
    name: str | None = None
    roles: list[str] | None = None
    audience: str | list[str] | None = None
    issuer: str | None = None
    client_id: str = "magazine"
    expires_in: int = TOKEN_LIFETIME  # seconds; a negative number gives an expired token
    typ: str = "at+jwt"
    alg: str = "RS256"  # RS256 or ES256; for attacks, HS256 (keyed with the public key) or none
    kid: str | None = None  # replaces the key ID in the header
    forged: bool = False  # sign with another key under the ID of the real one
    claims: dict[str, Any] = {}


def routes(provider: IdentityProvider) -> list[Route]:
    """Return the routes of the control API."""

    async def mint(request: Request) -> Response:
        if not _is_local(request):
            return _forbidden()
        try:
            wanted = TokenRequest.model_validate_json(await request.body())
            return JSONResponse({"access_token": _sign(provider, wanted)}, status_code=201)
        except ValidationError as error:
            return JSONResponse({"detail": json.loads(error.json(include_url=False))}, status_code=422)
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, status_code=422)

    async def rotate(request: Request) -> Response:
        if not _is_local(request):
            return _forbidden()
        kid = provider.keys.rotate(forget=request.query_params.get("forget") == "1")
        return JSONResponse({"kid": kid})

    return [
        Route("/_issuer/tokens", mint, methods=["POST"]),
        Route("/_issuer/rotate", rotate, methods=["POST"]),
    ]


def _is_local(request: Request) -> bool:
    """Return whether client and Host header are loopback, so that no web page elsewhere can call this API."""
    client = request.client
    return client is not None and client.host in LOOPBACK_HOSTS and request.url.hostname in LOOPBACK_HOSTS


def _forbidden() -> Response:
    return JSONResponse({"detail": "The control API is available on loopback only"}, status_code=403)


def _claims(provider: IdentityProvider, wanted: TokenRequest) -> dict[str, Any]:
    """Return the requested claims, completed from the user's account if the subject has one."""
    user, now = provider.users.find(wanted.sub), int(time.time())
    claims: dict[str, Any] = {
        "iss": wanted.issuer or provider.url,
        "aud": provider.audience if wanted.audience is None else wanted.audience,
        "sub": wanted.sub,
        "client_id": wanted.client_id,
        "iat": now if wanted.expires_in > 0 else now + wanted.expires_in - TOKEN_LIFETIME,
        "exp": now + wanted.expires_in,
        "jti": secrets.token_urlsafe(12),
        "scope": "openid profile email",
        "email": wanted.email or (user.email if user else None),
        "name": wanted.name or (user.name if user else None),
        "roles": wanted.roles if wanted.roles is not None else list(user.roles if user else ()),
        **wanted.claims,
    }
    return {name: value for name, value in claims.items() if value is not None}


def _sign(provider: IdentityProvider, wanted: TokenRequest) -> str:
    """
    Return the signed token.

    :raises ValueError: if the algorithm is not supported.
    """
    claims = _claims(provider, wanted)
    if wanted.alg in ("RS256", "ES256"):
        algorithm: Algorithm = "RS256" if wanted.alg == "RS256" else "ES256"
        key = provider.keys.signing_key(algorithm)
        signing_key = RSAKey.generate_key(2048) if wanted.forged and algorithm == "RS256" else key
        if wanted.forged and signing_key is key:
            raise ValueError("forged tokens must use RS256")
        header = {"alg": wanted.alg, "typ": wanted.typ, "kid": wanted.kid or str(key.kid)}
        return jwt.encode(header, claims, signing_key, [wanted.alg], default_type=None)
    key = provider.keys.signing_key()
    header = {"alg": wanted.alg, "typ": wanted.typ, "kid": wanted.kid or str(key.kid)}
    signed = f"{_base64url(json.dumps(header).encode())}.{_base64url(json.dumps(claims).encode())}"
    if wanted.alg == "none":
        return f"{signed}."
    if wanted.alg == "HS256":  # the key confusion attack: the public key used as a shared secret
        mac = hmac.new(key.as_pem(private=False), signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{_base64url(mac)}"
    raise ValueError(f"unsupported algorithm {wanted.alg!r}: use RS256, ES256, HS256 or none")


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
