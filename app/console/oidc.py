"""
OpenID Connect client: the authorization code flow with PKCE (OpenID Connect Core 1.0, RFC 7636), by Authlib.

The provider returns two tokens. The ID token, verified here, proves that the response belongs to this sign-in. The access
token, verified as in the API, says who the person is and which roles they have.
"""

import secrets
import ssl
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

SCOPE = "openid profile email"
TIMEOUT = 10.0  # seconds
ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]


class SignInFailed(Exception):
    """The response of the provider or the browser is invalid. ``str()`` is the reason, for the log."""


class ProviderUnavailable(SignInFailed):
    """The provider can't be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInAttempt:
    """A sign-in in progress. The response must match its state (browser), nonce (ID token) and verifier (request)."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str  # where the provider returns to
    return_path: str  # where the console continues after that

    @classmethod
    def start(cls, return_path: str, *, redirect_uri: str) -> "SignInAttempt":
        """Start a sign-in with new random values."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(
            state=state, nonce=nonce, verifier=verifier + state, redirect_uri=redirect_uri, return_path=return_path
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the cookie that keeps the attempt."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "SignInAttempt | None":
        """Return the attempt that a cookie kept. None: its fields are those of another release."""
        try:
            return cls(**content)
        except TypeError:
            return None


class OIDCClient:
    """A client of the identity provider."""

    def __init__(self, *, issuer: str, client_id: str, client_secret: str | None, audience: str) -> None:
        self._issuer, self._audience = issuer, audience
        self._client_id, self._client_secret = client_id, client_secret
        self._tls = ssl.create_default_context()  # loading the root certificates is slow, so they are shared
        self._metadata: dict[str, Any] | None = None

    async def url_for(self, attempt: SignInAttempt) -> str:
        """
        Return the URL of the provider's sign-in page.

        :raises ProviderUnavailable: if the provider can't be reached.
        """
        endpoint = await self._endpoint("authorization_endpoint")
        async with self._client(attempt) as client:
            # `audience` is not part of OpenID Connect. Auth0 and Hydra need it; other providers ignore it.
            url, _ = client.create_authorization_url(
                endpoint,
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
                audience=self._audience,
            )
        return str(url)

    async def redeem(self, attempt: SignInAttempt, code: str, *, now: datetime) -> tuple[str, str]:
        """
        Exchange an authorization code for tokens. Return the person's ``sub`` and access token.

        :raises SignInFailed: if the provider rejects the code, or its response is not for this client and attempt.
        """
        endpoint = await self._endpoint("token_endpoint")
        try:
            async with self._client(attempt) as client:
                tokens = await client.fetch_token(endpoint, code=code, code_verifier=attempt.verifier)
            keys: Any = await self._get_json(await self._endpoint("jwks_uri"))
            claims = jwt.decode(tokens["id_token"], KeySet.import_key_set(keys), ALGORITHMS).claims
            _validate(claims, issuer=self._issuer, client_id=self._client_id, nonce=attempt.nonce, now=now)
            return str(claims["sub"]), str(tokens["access_token"])
        except httpx2.TransportError as error:
            raise ProviderUnavailable(repr(error)) from error
        except (AuthlibBaseError, httpx2.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            raise SignInFailed(f"{type(error).__name__}: {error}"[:300]) from error

    async def sign_out_url(self, redirect_uri: str) -> str | None:
        """Return the URL that signs out of the provider. None: it has none or can't be reached."""
        try:
            endpoint = await self._endpoint("end_session_endpoint")
        except SignInFailed:
            return None
        return f"{endpoint}?{urlencode({'client_id': self._client_id, 'post_logout_redirect_uri': redirect_uri})}"

    def _client(self, attempt: SignInAttempt) -> AsyncOAuth2Client:
        """Return an Authlib client for one sign-in. Authlib's clients keep their last token, so they are not shared."""
        return AsyncOAuth2Client(
            client_id=self._client_id,
            client_secret=self._client_secret,
            token_endpoint_auth_method="client_secret_basic" if self._client_secret else "none",
            scope=SCOPE,
            redirect_uri=attempt.redirect_uri,
            code_challenge_method="S256",
            timeout=TIMEOUT,
            verify=self._tls,
        )

    async def _endpoint(self, name: str) -> str:
        """
        Return a URL of the provider's discovery document.

        :raises ProviderUnavailable: if the provider can't be reached.
        :raises SignInFailed: if the issuer is not the one in the settings, or the document doesn't have the URL.
        """
        if self._metadata is None:
            try:
                metadata = await self._get_json(f"{self._issuer}/.well-known/openid-configuration")
            except (httpx2.HTTPError, ValueError) as error:
                raise ProviderUnavailable(f"no identity provider at {self._issuer}: {error!r}") from error
            if not isinstance(metadata, dict) or str(metadata.get("issuer", "")).rstrip("/") != self._issuer:
                raise SignInFailed("the provider's issuer is not the one in the settings")
            self._metadata = metadata
        if name not in self._metadata:
            raise SignInFailed(f"the provider has no {name}")
        return str(self._metadata[name])

    async def _get_json(self, url: str) -> object:
        async with httpx2.AsyncClient(timeout=TIMEOUT, verify=self._tls) as client:
            content: object = (await client.get(url)).raise_for_status().json()
        return content


def _validate(claims: dict[str, Any], *, issuer: str, client_id: str, nonce: str, now: datetime) -> None:
    """
    Validate the claims of an ID token (OpenID Connect Core 1.0, section 3.1.3.7).

    :raises JoseError: if the token is not for this client or this sign-in, or has expired.
    :raises ValueError: if the token is from another issuer or for another authorized party.
    """
    seconds = int(now.timestamp())
    jwt.JWTClaimsRegistry(
        now=seconds,
        leeway=30,
        iss={"essential": True},
        aud={"essential": True, "value": client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    ).validate(claims)
    if str(claims["iss"]).rstrip("/") != issuer:
        raise ValueError("the ID token is from another issuer")
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != client_id:
        raise ValueError("the ID token is for another authorized party")
