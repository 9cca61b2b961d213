"""The OpenID Connect client: the code flow with PKCE (OpenID Connect Core 1.0, RFC 7636)."""

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
    """The sign-in failed. The message is for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A signed-in reader. The access token stays on the server; the browser only has a session ID."""

    sub: str
    name: str
    email: str
    roles: tuple[str, ...]
    token: str = field(repr=False)
    expires_at: float  # seconds since 1970

    @property
    def is_support_agent(self) -> bool:
        """Whether to show links to the support desk. The service checks permissions itself."""
        return "support" in self.roles


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInAttempt:
    """A pending sign-in. State, nonce and verifier bind it to one browser, ID token and authorization code."""

    destination: str
    again: bool = False  # whether the password is asked for although the provider knows the reader
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    started_at: float = field(default_factory=time.time)


class OidcClient:
    """A client of the identity provider."""

    def __init__(self, http: httpx2.AsyncClient, *, issuer: str, client_id: str, redirect_uri: str) -> None:
        self._http, self._issuer, self._client_id, self._redirect_uri = http, issuer, client_id, redirect_uri
        self._metadata: dict[str, Any] | None = None

    async def sign_in_url(self, attempt: SignInAttempt) -> str:
        """Return the URL of the sign-in page."""
        digest = hashlib.sha256(attempt.verifier.encode()).digest()
        parameters = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": SCOPE,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **({"prompt": "login"} if attempt.again else {}),
        }
        return f"{await self._endpoint('authorization_endpoint')}?{urlencode(parameters)}"

    async def sign_out_url(self, return_url: str) -> str:
        """Return the URL that signs out of the identity provider and redirects back."""
        parameters = {"client_id": self._client_id, "post_logout_redirect_uri": return_url}
        return f"{await self._endpoint('end_session_endpoint')}?{urlencode(parameters)}"

    async def redeem(self, attempt: SignInAttempt, code: str) -> Reader:
        """
        Exchange an authorization code for tokens, and return the reader.

        :raises SignInFailed: if the provider rejects the code, or the ID token is not valid for this attempt.
        """
        parameters = {
            "grant_type": "authorization_code",
            "client_id": self._client_id,
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": attempt.verifier,
        }
        try:
            tokens = (await self._http.post(await self._endpoint("token_endpoint"), data=parameters)).json()
            keys = KeySet.import_key_set((await self._http.get(await self._endpoint("jwks_uri"))).json())
            claims = jwt.decode(tokens["id_token"], keys, ["RS256"]).claims
            self._validate(claims, attempt)
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

    def _validate(self, claims: dict[str, Any], attempt: SignInAttempt) -> None:
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
        Return an endpoint from the discovery document.

        :raises SignInFailed: if the identity provider can't be reached.
        """
        if self._metadata is None:
            try:
                metadata = (await self._http.get(f"{self._issuer}/.well-known/openid-configuration")).json()
            except (httpx2.HTTPError, json.JSONDecodeError) as error:
                raise SignInFailed(f"cannot reach the identity provider at {self._issuer}: {error!r}") from error
            if metadata.get("issuer") != self._issuer:
                raise SignInFailed(f"issuer mismatch: expected {self._issuer!r}, got {metadata.get('issuer')!r}")
            self._metadata = metadata
        return str(self._metadata[name])
