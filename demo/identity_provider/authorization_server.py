"""The authorization server: code flow with PKCE, ID tokens and RFC 9068 access tokens, built on Authlib."""

import json
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from authlib.oauth2 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Payload
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oidc.core import AuthorizationCodeMixin, OpenIDCode
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.responses import Response

from demo.identity_provider.clients import SCOPES, Client
from demo.identity_provider.keys import KeyRing
from demo.identity_provider.sign_ins import SignIn, SignIns
from demo.identity_provider.users import User, Users

CODE_LIFETIME = 60  # seconds
TOKEN_LIFETIME = 3600  # seconds


class ProtocolPayload(OAuth2Payload):  # type: ignore[misc]
    """The parameters of a request, with all values of each."""

    def __init__(self, parameters: Iterable[tuple[str, str]]) -> None:
        self._values: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in parameters:
            self._values[name].append(value)

    @property
    def data(self) -> dict[str, str]:
        """The first value of each parameter."""
        return {name: values[0] for name, values in self._values.items()}

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        """All values of each parameter. Authlib rejects repeated ones."""
        return self._values


class ProtocolRequest(OAuth2Request):  # type: ignore[misc]
    """A request with its parameters already read, because Authlib's server is synchronous."""

    def __init__(
        self, method: str, url: str, headers: Mapping[str, str], parameters: Iterable[tuple[str, str]]
    ) -> None:
        super().__init__(method, url, headers=headers)
        self.payload = ProtocolPayload(parameters)

    @property
    def args(self) -> dict[str, str]:
        """The query parameters."""
        return self.payload.data

    @property
    def form(self) -> dict[str, str]:
        """The form parameters."""
        return self.payload.data


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode(AuthorizationCodeMixin):  # type: ignore[misc]
    """An authorization code: valid once, for a minute, for one client, redirect URI and verifier."""

    code: str
    client_id: str
    redirect_uri: str | None
    scope: str
    nonce: str | None
    session: SignIn
    code_challenge: str
    code_challenge_method: str
    issued_at: int

    def get_redirect_uri(self) -> str | None:
        """Return the redirect URI that the code was sent to."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return the granted scope."""
        return self.scope

    def get_nonce(self) -> str | None:
        """Return the nonce for the ID token."""
        return self.nonce

    def get_auth_time(self) -> int:
        """Return when the user signed in, in seconds since 1970."""
        return self.session.auth_time

    def get_acr(self) -> str:
        """Return how the user proved who they are."""
        return self.session.acr


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """The code flow, with codes kept in memory."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["none", "client_secret_basic"]  # noqa: RUF012  # as Authlib declares it

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Store a new code with the request that it is bound to."""
        parameters, session = request.payload.data, request.user.session
        session.clients[request.client.client_id] = parameters["redirect_uri"]
        self.server.codes[code] = AuthorizationCode(
            code=code, client_id=request.client.client_id, redirect_uri=parameters.get("redirect_uri"),
            scope=request.scope, nonce=parameters.get("nonce"), session=session,
            code_challenge=parameters["code_challenge"],
            code_challenge_method=parameters["code_challenge_method"],
            issued_at=int(time.time()),
        )  # fmt: skip

    def query_authorization_code(self, code: str, client: Client) -> AuthorizationCode | None:
        """Return a valid code of this client and consume it, so that a guessed verifier gets one attempt."""
        found: AuthorizationCode | None = self.server.codes.pop(code, None)
        if found is None or found.client_id != client.client_id or found.issued_at + CODE_LIFETIME < time.time():
            return None
        return found

    def delete_authorization_code(self, authorization_code: AuthorizationCode) -> None:
        """Do nothing: the code was consumed when it was looked up."""

    def authenticate_user(self, authorization_code: AuthorizationCode) -> User | None:
        """Return the user who signed in, unless their session has ended."""
        return _user_of(self.server, authorization_code.session)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A refresh token: valid once, while the session lasts."""

    value: str
    client_id: str
    scope: str
    session: SignIn

    def check_client(self, client: Client) -> bool:
        """Return whether the token was issued to a client."""
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        """Return the granted scope."""
        return self.scope


class RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]
    """Refresh tokens that are replaced at each use. They end with the session that they belong to."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]  # noqa: RUF012  # as Authlib declares it
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken | None:
        """Return a refresh token that is valid."""
        return self.server.refresh_tokens.get(refresh_token)  # type: ignore[no-any-return]

    def authenticate_user(self, refresh_token: RefreshToken) -> User | None:
        """Return the user, with their present roles."""
        return _user_of(self.server, refresh_token.session)

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        """Withdraw a token that was used."""
        self.server.refresh_tokens.pop(refresh_token.value, None)


def _user_of(provider: "IdentityProvider", session: SignIn) -> User | None:
    """Return the user of a session that has not ended."""
    user = provider.users.find(session.sub) if provider.sign_ins.find(session.sid) else None
    return replace(user, session=session) if user else None


class RequiredPkce(CodeChallenge):  # type: ignore[misc]
    """Mandatory PKCE with S256. Authlib alone checks for the challenge only at the token endpoint."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012  # as Authlib declares it

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        """
        Reject an authorization request without an S256 challenge.

        :raises InvalidRequestError: which Authlib sends to the client.
        """
        parameters = grant.request.payload.data
        if not parameters.get("code_challenge"):
            raise InvalidRequestError("Missing 'code_challenge'")
        if parameters.get("code_challenge_method") != "S256":
            raise InvalidRequestError("'code_challenge_method' must be S256")
        super().validate_code_challenge(grant, redirect_uri)


class IdTokens(OpenIDCode):  # type: ignore[misc]
    """Adds an ID token to the response of the token endpoint."""

    def __init__(self, issuer: str, keys: KeyRing) -> None:
        super().__init__()
        self._issuer, self._keys = issuer, keys

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        """Return False: the client checks the nonce, and the code that carries it is valid once."""
        return False

    def resolve_client_private_key(self, client: Client) -> RSAKey | ECKey:
        """Return the current signing key."""
        return self._keys.signing_key()

    def get_encode_header(self, client: Client) -> dict[str, str]:
        """Return the JOSE header with the key ID."""
        return {"alg": "RS256", "kid": str(self._keys.signing_key().kid)}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        """Return issuer and audience."""
        return {"iss": self._issuer, "aud": [client.client_id]}

    def generate_user_info(self, user: User, scope: str) -> dict[str, Any]:
        """Return the user's profile. The client uses the roles only to decide which links to show."""
        profile = {"sub": user.sub, "email": user.email, "name": user.name, "roles": list(user.roles)}
        return profile | ({"sid": user.session.sid} if user.session else {})


class AccessTokens(JWTBearerTokenGenerator):  # type: ignore[misc]
    """RFC 9068 access tokens for the API."""

    def __init__(self, issuer: str, audience: str, keys: KeyRing) -> None:
        super().__init__(
            issuer, refresh_token_generator=lambda **_: secrets.token_urlsafe(32), expires_generator=TOKEN_LIFETIME
        )
        self._audience, self._keys = audience, keys

    def get_jwks(self) -> KeySet:
        """Return the signing key as a set of one, which makes joserfc put its ID into the header."""
        return KeySet([self._keys.signing_key()])

    def get_audiences(self, client: Client, user: User, scope: str) -> str:
        """Return the API's audience: the token is for the service, not for the client that requested it."""
        return self._audience

    def get_auth_time(self, user: User) -> int | None:
        """Return when the user signed in (RFC 9068, section 2.2.1)."""
        return user.session.auth_time if user.session else None

    def get_acr(self, user: User) -> str | None:
        """Return how the user proved who they are."""
        return user.session.acr if user.session else None

    def get_extra_claims(self, client: Client, grant_type: str, user: User, scope: str) -> dict[str, Any]:
        """Return the user's email address, name and roles."""
        return {
            "email": user.email,
            "email_verified": user.email_verified,
            "name": user.name,
            "roles": list(user.roles),
        }


class IdentityProvider(AuthorizationServer):  # type: ignore[misc]
    """Authlib's authorization server with Starlette responses."""

    def __init__(self, *, url: str, audience: str, clients: Iterable[Client], keys: KeyRing, users: Users) -> None:
        super().__init__(scopes_supported=list(SCOPES))
        self.url, self.audience, self.keys, self.users = url, audience, keys, users
        self.codes: dict[str, AuthorizationCode] = {}
        self.sign_ins = SignIns()
        self.refresh_tokens: dict[str, RefreshToken] = {}
        self.clients = {client.client_id: client for client in clients}
        self.register_token_generator("default", AccessTokens(url, audience, keys))
        self.register_grant(CodeGrant, [RequiredPkce(required=True), IdTokens(url, keys)])
        self.register_grant(RefreshGrant)

    def query_client(self, client_id: str) -> Client | None:
        """Return a registered client."""
        return self.clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """Keep a refresh token. Access tokens are self-contained."""
        value = token.get("refresh_token")
        if value:
            self.refresh_tokens[value] = RefreshToken(
                value=value, client_id=request.client.client_id, scope=token["scope"], session=request.user.session
            )

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Do nothing: there are no listeners."""

    def create_oauth2_request(self, request: ProtocolRequest) -> ProtocolRequest:
        """Return the request unchanged: the caller has already built it for Authlib."""
        return request

    def handle_response(self, status: int, body: Any, headers: Iterable[tuple[str, str]]) -> Response:
        """Return a Starlette response. A redirect becomes a 303, because the sign-in form was posted."""
        content = json.dumps(body) if isinstance(body, dict) else body
        return Response(content, status_code=303 if status == 302 else status, headers=dict(headers))
