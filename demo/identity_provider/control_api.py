"""
The issuer's back door, under `/_issuer`, for the demo and for tests only.

It mints any token that is asked for, also the bad ones a service must refuse, and rotates keys. It answers on
loopback alone; an issuer that people rely on must never have such a thing.
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

from demo.identity_provider.authorization_server import TOKEN_LIFETIME, Issuer
from demo.identity_provider.clients import LOOPBACK
from demo.identity_provider.keys import Algorithm


class TokenAsked(BaseModel):
    """A token to mint. What is left out is as in a good token; `claims` is laid over the rest, null takes away."""

    model_config = ConfigDict(extra="forbid")

    sub: str
    email: str | None = None
    name: str | None = None
    roles: list[str] | None = None
    audience: str | list[str] | None = None
    issuer: str | None = None
    client_id: str = "magazine"
    expires_in: int = TOKEN_LIFETIME  # seconds; negative: it expired that long ago
    typ: str = "at+jwt"
    alg: str = "RS256"  # or ES256; or, as an attacker would: HS256 keyed with the public key, or none
    kid: str | None = None  # another name for the key than its own
    forged: bool = False  # signed by a key that only claims to be ours
    claims: dict[str, Any] = {}


def routes(issuer: Issuer) -> list[Route]:
    """Return the control routes."""

    async def mint(request: Request) -> Response:
        if not _is_local(request):
            return _refused()
        try:
            asked = TokenAsked.model_validate_json(await request.body())
            return JSONResponse({"access_token": _sign(issuer, asked)}, status_code=201)
        except ValidationError as error:
            return JSONResponse({"detail": json.loads(error.json(include_url=False))}, status_code=422)
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, status_code=422)

    async def rotate(request: Request) -> Response:
        if not _is_local(request):
            return _refused()
        kid = issuer.keys.rotate(forget=request.query_params.get("forget") == "1")
        return JSONResponse({"kid": kid})

    return [
        Route("/_issuer/tokens", mint, methods=["POST"]),
        Route("/_issuer/rotate", rotate, methods=["POST"]),
    ]


def _is_local(request: Request) -> bool:
    """Tell whether the caller is on this machine and asked for it by name, so that no page elsewhere can steer here."""
    return request.client is not None and request.client.host in LOOPBACK and request.url.hostname in LOOPBACK


def _refused() -> Response:
    return JSONResponse({"detail": "The control API answers on loopback only"}, status_code=403)


def _claims(issuer: Issuer, asked: TokenAsked) -> dict[str, Any]:
    """Return the claims asked for; a known person's own where they were left out."""
    person, now = issuer.people.find(asked.sub), int(time.time())
    claims: dict[str, Any] = {
        "iss": asked.issuer or issuer.url,
        "aud": issuer.audience if asked.audience is None else asked.audience,
        "sub": asked.sub,
        "client_id": asked.client_id,
        "iat": now if asked.expires_in > 0 else now + asked.expires_in - TOKEN_LIFETIME,
        "exp": now + asked.expires_in,
        "jti": secrets.token_urlsafe(12),
        "scope": "openid profile email",
        "email": asked.email or (person.email if person else None),
        "name": asked.name or (person.name if person else None),
        "roles": asked.roles if asked.roles is not None else list(person.roles if person else ()),
        **asked.claims,
    }
    return {name: value for name, value in claims.items() if value is not None}


def _sign(issuer: Issuer, asked: TokenAsked) -> str:
    """
    Return the token, signed as asked.

    :raises ValueError: if the algorithm is none of the four.
    """
    claims = _claims(issuer, asked)
    if asked.alg in ("RS256", "ES256"):
        algorithm: Algorithm = "RS256" if asked.alg == "RS256" else "ES256"
        ours = issuer.keys.signing_key(algorithm)
        signer = RSAKey.generate_key(2048) if asked.forged and algorithm == "RS256" else ours
        if asked.forged and signer is ours:
            raise ValueError("a forged token is signed with RS256")
        header = {"alg": asked.alg, "typ": asked.typ, "kid": asked.kid or str(ours.kid)}
        return jwt.encode(header, claims, signer, [asked.alg], default_type=None)
    ours = issuer.keys.signing_key()
    header = {"alg": asked.alg, "typ": asked.typ, "kid": asked.kid or str(ours.kid)}
    body = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
    if asked.alg == "none":
        return f"{body}."
    if asked.alg == "HS256":  # the key-confusion attack: the public key, taken for a shared secret
        return f"{body}.{_encode(hmac.new(ours.as_pem(private=False), body.encode(), hashlib.sha256).digest())}"
    raise ValueError(f"unknown algorithm {asked.alg!r}: RS256, ES256, HS256 or none")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
