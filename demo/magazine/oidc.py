"""Signing in: the site's half of the code flow with PKCE (OpenID Connect Core 1.0, RFC 7636)."""

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

SCOPE = "openid profile email"


class SignInFailed(Exception):
    """The issuer or the browser brought something back that does not fit. ``str()`` says what, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Somebody who is signed in. The token stays on the server; the browser holds a reference only."""

    sub: str
    name: str
    email: str
    roles: tuple[str, ...]
    token: str = field(repr=False)
    expires_at: float  # epoch seconds

    @property
    def is_agent(self) -> bool:
        """Tell whether to offer the way to the desk. What they may do there is for the service to say."""
        return "support" in self.roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A sign-in on its way: what ties the answer to this browser (state), token (nonce) and request (verifier)."""

    destination: str
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    begun_at: float = field(default_factory=time.time)


class Identity:
    """The issuer, seen by one client of it."""

    def __init__(self, http: httpx2.AsyncClient, *, issuer: str, client_id: str, redirect_uri: str) -> None:
        self._http, self._issuer, self._client_id, self._redirect_uri = http, issuer, client_id, redirect_uri
        self._metadata: dict[str, Any] | None = None

    async def sign_in_url(self, attempt: Attempt) -> str:
        """Return where to send the browser to sign in."""
        digest = hashlib.sha256(attempt.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": SCOPE,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{await self._endpoint('authorization_endpoint')}?{urlencode(asked)}"

    async def sign_out_url(self, back_to: str) -> str:
        """Return where to send the browser to sign out of the issuer as well."""
        asked = {"client_id": self._client_id, "post_logout_redirect_uri": back_to}
        return f"{await self._endpoint('end_session_endpoint')}?{urlencode(asked)}"

    async def redeem(self, attempt: Attempt, code: str) -> Reader:
        """
        Exchange a code for tokens, and tell who it was.

        :raises SignInFailed: if the issuer refuses, or its answer is not for this site and this attempt.
        """
        asked = {
            "grant_type": "authorization_code",
            "client_id": self._client_id,
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": attempt.verifier,
        }
        try:
            tokens = (await self._http.post(await self._endpoint("token_endpoint"), data=asked)).json()
            keys = KeySet.import_key_set((await self._http.get(await self._endpoint("jwks_uri"))).json())
            claims = jwt.decode(tokens["id_token"], keys, ["RS256"]).claims
            self._check(claims, attempt)
            return Reader(
                sub=str(claims["sub"]),
                name=str(claims.get("name") or claims.get("email") or "Reader"),
                email=str(claims.get("email") or ""),
                roles=tuple(claims.get("roles") or ()),
                token=str(tokens["access_token"]),
                expires_at=time.time() + float(tokens.get("expires_in") or 300),
            )
        except (httpx2.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            raise SignInFailed(repr(error)) from error

    def _check(self, claims: dict[str, Any], attempt: Attempt) -> None:
        registry = jwt.JWTClaimsRegistry(
            leeway=30,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._client_id},
            sub={"essential": True},
            exp={"essential": True},
            nonce={"essential": True, "value": attempt.nonce},
        )
        registry.validate(claims)

    async def _endpoint(self, name: str) -> str:
        """
        Return one of the issuer's addresses, from its discovery document.

        :raises SignInFailed: if the issuer cannot be reached.
        """
        if self._metadata is None:
            try:
                found = (await self._http.get(f"{self._issuer}/.well-known/openid-configuration")).json()
            except (httpx2.HTTPError, json.JSONDecodeError) as error:
                raise SignInFailed(f"no issuer at {self._issuer}: {error!r}") from error
            if found.get("issuer") != self._issuer:
                raise SignInFailed(f"the issuer calls itself {found.get('issuer')!r}")
            self._metadata = found
        return str(self._metadata[name])
