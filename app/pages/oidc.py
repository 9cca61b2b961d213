"""
OpenID Connect client: the authorization code flow with PKCE (OpenID Connect Core 1.0, RFC 7636), by Authlib.

The provider returns two tokens. The ID token, verified here, proves that the response belongs to this sign-in. The access
token, verified as in the API, says who the person is and which roles they have.
"""

import hashlib
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from app.domain.staff_sessions import CLOCK_TOLERANCE
from app.pages.logout_tokens import LOGOUT_TOKEN_TYPES, LogoutClaims, read_logout_token

TIMEOUT = 10.0  # seconds
LOGOUT_KEYS_FRESH_FOR = timedelta(minutes=1)
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
    max_age: int  # seconds: the provider asks for credentials that were entered longer ago
    again: bool  # whether the person must enter their credentials, however recently they did
    acr_values: str  # the classes of sign-in, one of which is required, separated by spaces; empty: any will do
    started_at: float  # seconds since 1970

    @classmethod
    def start(
        cls,
        return_path: str,
        *,
        redirect_uri: str,
        max_age: timedelta,
        again: bool,
        acr_values: Sequence[str],
        now: datetime,
    ) -> "SignInAttempt":
        """Start a sign-in with new random values."""
        state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(32)
        return cls(
            state=state,
            nonce=_nonce_of(verifier),
            verifier=verifier,
            redirect_uri=redirect_uri,
            return_path=return_path,
            max_age=int(max_age.total_seconds()),
            again=again,
            acr_values=" ".join(acr_values),
            started_at=now.timestamp(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the cookie that keeps the attempt. It is short, because each tab can have one."""
        again, started_at = int(self.again), round(self.started_at, 3)
        return {"a": [self.state, self.verifier, self.return_path, self.max_age, again, self.acr_values, started_at]}

    def to_older_dict(self) -> dict[str, Any]:
        """Return the content of the cookie that the last release keeps an attempt in."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any], *, redirect_uri: str) -> "SignInAttempt | None":
        """Return the attempt that a cookie kept. None: its fields are those of another release."""
        try:
            if "a" not in content:
                return cls(**content)  # of the last release
            state, verifier, return_path, max_age, again, acr_values, started_at = content["a"]
        except (TypeError, ValueError):
            return None
        return cls(
            state=state,
            nonce=_nonce_of(verifier),
            verifier=verifier,
            redirect_uri=redirect_uri,
            return_path=return_path,
            max_age=max_age,
            again=bool(again),
            acr_values=acr_values,
            started_at=started_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the provider returned, of which the ID token is verified and the access token is not."""

    access_token: str
    refresh_token: str | None
    sub: str
    sid: str | None = None  # the provider's ID of its session
    signed_in_at: datetime | None = None  # when the person entered their credentials; None: the provider doesn't say
    acr: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshedTokens:
    """What the provider returned for a refresh token. Neither is verified."""

    access_token: str
    refresh_token: str | None  # None: the one that was used stays valid


class OIDCClient:
    """A client of the identity provider."""

    def __init__(self, *, issuer: str, client_id: str, client_secret: str | None, audience: str, scope: str) -> None:
        self._issuer, self._audience, self._scope = issuer, audience, scope
        self._client_id, self._client_secret = client_id, client_secret
        self._tls = ssl.create_default_context()  # loading the root certificates is slow, so they are shared
        self._metadata: dict[str, Any] | None = None
        self._keys: tuple[KeySet, datetime] | None = None  # the provider's, and when they were fetched

    async def url_for(self, attempt: SignInAttempt) -> str:
        """
        Return the URL of the provider's sign-in page.

        :raises ProviderUnavailable: if the provider can't be reached.
        """
        endpoint = await self._endpoint("authorization_endpoint")
        demands = {"max_age": str(attempt.max_age)}
        if attempt.again:
            demands["prompt"] = "login"
        if attempt.acr_values:
            demands["acr_values"] = attempt.acr_values
        async with self._client(attempt.redirect_uri) as client:
            # `audience` is not part of OpenID Connect. Auth0 and Hydra need it; other providers ignore it.
            url, _ = client.create_authorization_url(
                endpoint,
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
                audience=self._audience,
                **demands,
            )
        return str(url)

    async def redeem(self, attempt: SignInAttempt, code: str, *, now: datetime) -> Tokens:
        """
        Exchange an authorization code for tokens.

        :raises SignInFailed: if the provider rejects the code, or its response is not for this client and attempt, or the
            person's sign-in is not what the attempt demands.
        """
        endpoint = await self._endpoint("token_endpoint")
        try:
            async with self._client(attempt.redirect_uri) as client:
                tokens = await client.fetch_token(endpoint, code=code, code_verifier=attempt.verifier)
            claims = (await self._verify(tokens["id_token"], now=now)).claims
            _validate(claims, issuer=self._issuer, client_id=self._client_id, nonce=attempt.nonce, now=now)
            verified = Tokens(
                access_token=str(tokens["access_token"]),
                refresh_token=tokens.get("refresh_token"),
                sub=str(claims["sub"]),
                sid=str(claims["sid"]) if "sid" in claims else None,
                signed_in_at=_auth_time(claims),
                acr=str(claims["acr"]) if "acr" in claims else None,
            )
            _validate_sign_in(attempt, verified)
            return verified
        except httpx2.TransportError as error:
            raise ProviderUnavailable(repr(error)) from error
        except (AuthlibBaseError, httpx2.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            raise SignInFailed(f"{type(error).__name__}: {error}"[:300]) from error

    async def refresh(self, refresh_token: str) -> RefreshedTokens:
        """
        Exchange a refresh token for an access token with the person's present roles.

        :raises SignInFailed: if the provider no longer accepts the refresh token.
        :raises ProviderUnavailable: if it can't be reached, or fails.
        """
        try:
            endpoint = await self._endpoint("token_endpoint")
            async with self._client(None) as client:
                tokens = await client.refresh_token(endpoint, refresh_token=refresh_token)
            return RefreshedTokens(access_token=str(tokens["access_token"]), refresh_token=tokens.get("refresh_token"))
        except OAuthError as error:
            if error.error == "invalid_grant":
                raise SignInFailed("the provider no longer accepts the refresh token") from error
            raise ProviderUnavailable(f"the provider answered {error.error}"[:300]) from error
        except (AuthlibBaseError, httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            raise ProviderUnavailable(f"{type(error).__name__}: {error}"[:300]) from error

    async def logout_claims(self, token: str, *, now: datetime) -> LogoutClaims:
        """
        Verify a logout token, and return what it says.

        :raises SignInFailed: if it is invalid.
        :raises ProviderUnavailable: if the provider's keys can't be fetched.
        """
        try:
            # Anybody can send a token, so the keys are not fetched for each one.
            verified = await self._verify(token, now=now, keys_fresh_for=LOGOUT_KEYS_FRESH_FOR)
            if str(verified.header.get("typ", "jwt")).lower() not in LOGOUT_TOKEN_TYPES:
                raise ValueError("the token is of another type")
            return read_logout_token(verified.claims, issuer=self._issuer, client_id=self._client_id, now=now)
        except httpx2.HTTPError as error:
            raise ProviderUnavailable(repr(error)) from error
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise SignInFailed(f"{type(error).__name__}: {error}"[:300]) from error

    async def sign_out_url(self, redirect_uri: str) -> str | None:
        """Return the URL that signs out of the provider. None: it has none or can't be reached."""
        try:
            endpoint = await self._endpoint("end_session_endpoint")
        except SignInFailed:
            return None
        return f"{endpoint}?{urlencode({'client_id': self._client_id, 'post_logout_redirect_uri': redirect_uri})}"

    async def _verify(self, token: str, *, now: datetime, keys_fresh_for: timedelta = timedelta(0)) -> jwt.Token:
        """Return a token after its signature was verified with keys that were fetched at most ``keys_fresh_for`` ago."""
        if self._keys is None or not timedelta(0) <= now - self._keys[1] < keys_fresh_for:
            fetched: Any = await self._get_json(await self._endpoint("jwks_uri"))
            self._keys = KeySet.import_key_set(fetched), now
        return jwt.decode(token, self._keys[0], ALGORITHMS)

    def _client(self, redirect_uri: str | None) -> AsyncOAuth2Client:
        """Return an Authlib client for one sign-in. Authlib's clients keep their last token, so they are not shared."""
        return AsyncOAuth2Client(
            client_id=self._client_id,
            client_secret=self._client_secret,
            token_endpoint_auth_method="client_secret_basic" if self._client_secret else "none",
            scope=self._scope if redirect_uri else None,
            redirect_uri=redirect_uri,
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


def _nonce_of(verifier: str) -> str:
    """Return the nonce of a sign-in. It doesn't reveal the verifier."""
    return hashlib.sha256(f"nonce {verifier}".encode()).hexdigest()


def _auth_time(claims: dict[str, Any]) -> datetime | None:
    value = claims.get("auth_time")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**36:
        return None
    return datetime.fromtimestamp(value, UTC)


def _validate_sign_in(attempt: SignInAttempt, tokens: Tokens) -> None:
    """
    Check that the person entered their credentials as the attempt demands: the browser could have removed the demand.

    :raises ValueError: if they did not.
    """
    if attempt.again:
        if tokens.signed_in_at is None:
            raise ValueError("the provider did not say when the person entered their credentials (auth_time)")
        if tokens.signed_in_at.timestamp() < attempt.started_at - CLOCK_TOLERANCE.total_seconds():
            raise ValueError("the provider did not ask for credentials")
    if attempt.acr_values and tokens.acr not in attempt.acr_values.split():
        raise ValueError("the sign-in has another authentication context class (acr)")


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
