"""
The control API under `/_issuer`, for the demo and the tests only.

It mints any token on request, including invalid ones that a service must reject, rotates keys, changes roles and ends
sessions. It answers requests from loopback only. A real identity provider must never have such an API.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.identity_provider.authorization_server import TOKEN_LIFETIME, IdentityProvider
from demo.identity_provider.back_channel import end_session, logout_claims, sign_logout_token
from demo.identity_provider.clients import CONSOLE_CLIENT_ID, LOOPBACK_HOSTS
from demo.identity_provider.keys import Algorithm

Control = Callable[[Request], Awaitable[Response]]


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


class LogoutTokenRequest(BaseModel):
    """A logout token to mint. The defaults give a valid token; ``claims`` override them, and null removes a claim."""

    model_config = ConfigDict(extra="forbid")

    client_id: str = CONSOLE_CLIENT_ID
    typ: str = "logout+jwt"
    claims: dict[str, Any] = {}


class RolesRequest(BaseModel):
    """The new roles of a user."""

    model_config = ConfigDict(extra="forbid")

    roles: list[str]


class AgeRequest(BaseModel):
    """How much longer ago a user has entered their password."""

    model_config = ConfigDict(extra="forbid")

    seconds: int


def routes(provider: IdentityProvider) -> list[Route]:
    """Return the routes of the control API."""

    async def mint(request: Request) -> Response:
        try:
            wanted = TokenRequest.model_validate_json(await request.body())
            return JSONResponse({"access_token": _sign(provider, wanted)}, status_code=201)
        except ValidationError as error:
            return JSONResponse({"detail": json.loads(error.json(include_url=False))}, status_code=422)
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, status_code=422)

    async def rotate(request: Request) -> Response:
        kid = provider.keys.rotate(forget=request.query_params.get("forget") == "1")
        return JSONResponse({"kid": kid})

    async def mint_logout_token(request: Request) -> Response:
        wanted = LogoutTokenRequest.model_validate_json(await request.body())
        claims = logout_claims(provider.url, wanted.client_id, **wanted.claims)
        return JSONResponse({"logout_token": sign_logout_token(provider.keys, claims, typ=wanted.typ)}, status_code=201)

    return [
        Route(f"/_issuer/{path}", _local_only(control), methods=["POST"])
        for path, control in (
            ("tokens", mint),
            ("rotate", rotate),
            ("logout-tokens", mint_logout_token),
            *_user_controls(provider),
        )
    ]


def _user_controls(provider: IdentityProvider) -> list[tuple[str, Control]]:
    """Return what can be done to a user: the path and the function."""

    async def change_roles(request: Request) -> Response:
        wanted = RolesRequest.model_validate_json(await request.body())
        provider.users.change_roles(request.path_params["sub"], tuple(wanted.roles))
        return Response(status_code=204)

    async def end_sessions(request: Request) -> Response:
        for session in provider.sign_ins.of(request.path_params["sub"]):
            await end_session(provider, session)
        return Response(status_code=204)

    async def age_sign_ins(request: Request) -> Response:
        wanted = AgeRequest.model_validate_json(await request.body())
        for session in provider.sign_ins.of(request.path_params["sub"]):
            session.auth_time -= wanted.seconds
        return Response(status_code=204)

    return [
        ("users/{sub}/roles", change_roles),
        ("users/{sub}/end-sessions", end_sessions),
        ("users/{sub}/age-sign-ins", age_sign_ins),
    ]


def _local_only(control: Control) -> Control:
    """Refuse requests whose client or Host header is not loopback, so that no web page elsewhere can call this API."""

    async def checked(request: Request) -> Response:
        client = request.client
        if client is None or client.host not in LOOPBACK_HOSTS or request.url.hostname not in LOOPBACK_HOSTS:
            return JSONResponse({"detail": "The control API is available on loopback only"}, status_code=403)
        return await control(request)

    return checked


def _claims(provider: IdentityProvider, wanted: TokenRequest) -> dict[str, Any]:
    """Return the requested claims, completed from the user's account if the subject has one."""
    user, now = provider.users.find(wanted.sub), int(time.time())
    issued_at = now if wanted.expires_in > 0 else now + wanted.expires_in - TOKEN_LIFETIME
    claims: dict[str, Any] = {
        "iss": wanted.issuer or provider.url,
        "aud": provider.audience if wanted.audience is None else wanted.audience,
        "sub": wanted.sub,
        "client_id": wanted.client_id,
        "iat": issued_at,
        "auth_time": issued_at,
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
