"""
The identity provider, seen by the console: the authorization code flow with PKCE (OpenID Connect Core 1.0, RFC 7636).

Authlib speaks it. Two tokens come back: the ID token says that *this* sign-in was answered, and is checked here; the access
token says who it is and which roles they have, and is believed by the same rules as in the API.
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
    """The provider, or the browser, brought back something that does not fit. ``str()`` says what, for the log."""


class ProviderAway(SignInFailed):
    """The provider cannot be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A sign-in on its way: ties the answer to this browser (state), the token (nonce) and the request (verifier)."""

    state: str
    nonce: str
    verifier: str
    back: str  # the provider sends the browser there
    destination: str  # and we on to there

    @classmethod
    def to(cls, destination: str, *, back: str) -> "Attempt":
        """Begin one."""
        fresh = [secrets.token_urlsafe(32) for _ in range(3)]
        return cls(state=fresh[0], nonce=fresh[1], verifier=fresh[2] + fresh[0], back=back, destination=destination)

    def kept(self) -> dict[str, Any]:
        """Return it as it is sealed into a cookie."""
        return asdict(self)


class Identity:
    """The provider, as one client of it."""

    def __init__(self, *, issuer: str, client_id: str, client_secret: str | None, audience: str) -> None:
        self._issuer, self._audience = issuer, audience
        self._client_id, self._client_secret = client_id, client_secret
        self._tls = ssl.create_default_context()  # reading the roots is what makes a client slow to make
        self._metadata: dict[str, Any] | None = None

    async def url_for(self, attempt: Attempt) -> str:
        """
        Return where to send the browser to sign in.

        :raises ProviderAway: nobody can tell.
        """
        where = await self._endpoint("authorization_endpoint")
        async with self._client(attempt) as client:
            # Not of OpenID Connect, and ignored where it means nothing: Auth0 and Hydra make a token for us only so.
            url, _ = client.create_authorization_url(
                where, state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier, audience=self._audience
            )
        return str(url)

    async def redeem(self, attempt: Attempt, code: str, *, now: datetime) -> tuple[str, str]:
        """
        Exchange a code for tokens; return the ``sub`` of who signed in, and their access token.

        :raises SignInFailed: the provider refuses, or its answer is not for this client and this attempt.
        """
        where = await self._endpoint("token_endpoint")
        try:
            async with self._client(attempt) as client:
                tokens = await client.fetch_token(where, code=code, code_verifier=attempt.verifier)
            keys: Any = await self._document(await self._endpoint("jwks_uri"))
            claims = jwt.decode(tokens["id_token"], KeySet.import_key_set(keys), ALGORITHMS).claims
            _check(claims, issuer=self._issuer, client_id=self._client_id, nonce=attempt.nonce, now=now)
            return str(claims["sub"]), str(tokens["access_token"])
        except httpx2.TransportError as away:
            raise ProviderAway(repr(away)) from away
        except (AuthlibBaseError, httpx2.HTTPError, JoseError, ValueError, KeyError, TypeError) as wrong:
            raise SignInFailed(f"{type(wrong).__name__}: {wrong}"[:300]) from wrong

    async def sign_out_url(self, back: str) -> str | None:
        """Return where to sign out of the provider as well, if it can be reached and offers that."""
        try:
            where = await self._endpoint("end_session_endpoint")
        except SignInFailed:
            return None
        return f"{where}?{urlencode({'client_id': self._client_id, 'post_logout_redirect_uri': back})}"

    def _client(self, attempt: Attempt) -> AsyncOAuth2Client:
        """Return a client for one sign-in: Authlib's keeps its last token, and ours must never meet another's."""
        return AsyncOAuth2Client(
            client_id=self._client_id,
            client_secret=self._client_secret,
            token_endpoint_auth_method="client_secret_basic" if self._client_secret else "none",
            scope=SCOPE,
            redirect_uri=attempt.back,
            code_challenge_method="S256",
            timeout=TIMEOUT,
            verify=self._tls,
        )

    async def _endpoint(self, name: str) -> str:
        """
        Return one of the provider's addresses, from its discovery document.

        :raises ProviderAway: it cannot be reached.
        :raises SignInFailed: it is another than the one in the settings, or has no such address.
        """
        if self._metadata is None:
            address = f"{self._issuer}/.well-known/openid-configuration"
            try:
                found = await self._document(address)
            except (httpx2.HTTPError, ValueError) as away:
                raise ProviderAway(f"no provider at {self._issuer}: {away!r}") from away
            if not isinstance(found, dict) or str(found.get("issuer", "")).rstrip("/") != self._issuer:
                raise SignInFailed("the provider calls itself something else than the settings do")
            self._metadata = found
        if name not in self._metadata:
            raise SignInFailed(f"the provider has no {name}")
        return str(self._metadata[name])

    async def _document(self, address: str) -> object:
        async with httpx2.AsyncClient(timeout=TIMEOUT, verify=self._tls) as client:
            found: object = (await client.get(address)).raise_for_status().json()
        return found


def _check(claims: dict[str, Any], *, issuer: str, client_id: str, nonce: str, now: datetime) -> None:
    """
    Check an ID token (OpenID Connect Core 1.0, section 3.1.3.7).

    :raises JoseError: it is not for us, not of this sign-in, or not of this time.
    :raises ValueError: it is of another issuer.
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
        raise ValueError("the ID token is of another issuer")
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != client_id:
        raise ValueError("the ID token is for several clients, and was not made for us")
