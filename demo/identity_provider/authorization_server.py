"""The authorization server: the code flow with PKCE, ID tokens, and RFC 9068 access tokens, out of Authlib's parts."""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oauth2 import AuthorizationServer, OAuth2Request
from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Payload
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oidc.core import AuthorizationCodeMixin, OpenIDCode
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.responses import Response

from demo.identity_provider.clients import SCOPES, Client
from demo.identity_provider.keys import KeyRing
from demo.identity_provider.users import People, Person

CODE_LIFETIME = 60  # seconds
TOKEN_LIFETIME = 3600  # seconds


class Payload(OAuth2Payload):  # type: ignore[misc]
    """The parameters of one request, each with every value it was given."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._lists: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in pairs:
            self._lists[name].append(value)

    @property
    def data(self) -> dict[str, str]:
        """The first value of each parameter."""
        return {name: values[0] for name, values in self._lists.items()}

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        """All values: a repeated parameter is an error that Authlib looks for."""
        return self._lists


class IssuerRequest(OAuth2Request):  # type: ignore[misc]
    """What Authlib asks of a request, already read from the connection, for Authlib never waits."""

    def __init__(self, method: str, url: str, headers: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> None:
        super().__init__(method, url, headers=headers)
        self.payload = Payload(pairs)

    @property
    def args(self) -> dict[str, str]:
        """The parameters of a query."""
        return self.payload.data

    @property
    def form(self) -> dict[str, str]:
        """The parameters of a form."""
        return self.payload.data


@dataclass(frozen=True, slots=True, kw_only=True)
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """An authorization code: good once, for a minute, for one client, redirect address and verifier."""

    code: str
    client_id: str
    redirect_uri: str | None
    scope: str
    nonce: str | None
    sub: str
    code_challenge: str
    code_challenge_method: str
    issued_at: int

    def get_redirect_uri(self) -> str | None:
        """Return where the code was sent."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return what was asked for and allowed."""
        return self.scope

    def get_nonce(self) -> str | None:
        """Return what ties the ID token to the browser that asked."""
        return self.nonce

    def get_auth_time(self) -> int:
        """Return when the person signed in, in seconds."""
        return self.issued_at


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """The code flow, with codes kept in the server's memory."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["none", "client_secret_basic"]  # noqa: RUF012  # as Authlib declares it

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """Keep a new code with all it is bound to."""
        asked = request.payload.data
        self.server.codes[code] = Code(
            code=code, client_id=request.client.client_id, redirect_uri=asked.get("redirect_uri"),
            scope=request.scope, nonce=asked.get("nonce"), sub=request.user.sub,
            code_challenge=asked["code_challenge"], code_challenge_method=asked["code_challenge_method"],
            issued_at=int(time.time()),
        )  # fmt: skip

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        """Return a live code of this client, and spend it at once: a guessed verifier gets one try."""
        kept: Code | None = self.server.codes.pop(code, None)
        if kept is None or kept.client_id != client.client_id or kept.issued_at + CODE_LIFETIME < time.time():
            return None
        return kept

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Do nothing: the code was spent when it was shown."""

    def authenticate_user(self, authorization_code: Code) -> Person | None:
        """Return who signed in."""
        return self.server.people.find(authorization_code.sub)  # type: ignore[no-any-return]


class RequiredS256(CodeChallenge):  # type: ignore[misc]
    """PKCE without a way round: Authlib lets a request without challenge through to the token endpoint."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012  # as Authlib declares it

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        """
        Refuse an authorization request that has no challenge, or a plain one.

        :raises InvalidRequestError: which Authlib sends back to the client.
        """
        asked = grant.request.payload.data
        if not asked.get("code_challenge"):
            raise InvalidRequestError("Missing 'code_challenge'")
        if asked.get("code_challenge_method") != "S256":
            raise InvalidRequestError("'code_challenge_method' must be S256")
        super().validate_code_challenge(grant, redirect_uri)


class IdTokens(OpenIDCode):  # type: ignore[misc]
    """Adds an ID token, for the client, to the answer of the token endpoint."""

    def __init__(self, issuer: str, keys: KeyRing) -> None:
        super().__init__()
        self._issuer, self._keys = issuer, keys

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        """Never: a nonce is the client's to check, and a code that carries it is spent once."""
        return False

    def resolve_client_private_key(self, client: Client) -> RSAKey | ECKey:
        """Return the key that signs now."""
        return self._keys.signing_key()

    def get_encode_header(self, client: Client) -> dict[str, str]:
        """Return a header that names the key."""
        return {"alg": "RS256", "kid": str(self._keys.signing_key().kid)}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        """Return who issues and for whom."""
        return {"iss": self._issuer, "aud": [client.client_id]}

    def generate_user_info(self, user: Person, scope: str) -> dict[str, Any]:
        """Return what the client may show of a person; roles only so that it can offer the right links."""
        return {"sub": user.sub, "email": user.email, "name": user.name, "roles": list(user.roles)}


class AccessTokens(JWTBearerTokenGenerator):  # type: ignore[misc]
    """Access tokens of RFC 9068, for the API."""

    def __init__(self, issuer: str, audience: str, keys: KeyRing) -> None:
        super().__init__(issuer, expires_generator=TOKEN_LIFETIME)
        self._audience, self._keys = audience, keys

    def get_jwks(self) -> KeySet:
        """Return the key that signs now, as a set of one: joserfc then writes its id into the header."""
        return KeySet([self._keys.signing_key()])

    def get_audiences(self, client: Client, user: Person, scope: str) -> str:
        """Return the API's name: the token is for the service, not for the client that fetched it."""
        return self._audience

    def get_extra_claims(self, client: Client, grant_type: str, user: Person, scope: str) -> dict[str, Any]:
        """Return what the service keeps of a person, and what they may do."""
        return {"email": user.email, "name": user.name, "roles": list(user.roles)}


class Issuer(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server, answering in Starlette's responses."""

    def __init__(self, *, url: str, audience: str, clients: Iterable[Client], keys: KeyRing, people: People) -> None:
        super().__init__(scopes_supported=list(SCOPES))
        self.url, self.audience, self.keys, self.people = url, audience, keys, people
        self.codes: dict[str, Code] = {}
        self.clients = {client.client_id: client for client in clients}
        self.register_token_generator("default", AccessTokens(url, audience, keys))
        self.register_grant(CodeGrant, [RequiredS256(required=True), IdTokens(url, keys)])

    def query_client(self, client_id: str) -> Client | None:
        """Return a registered client."""
        return self.clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """Keep nothing: a signed token speaks for itself."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Tell nobody."""

    def create_oauth2_request(self, request: IssuerRequest) -> IssuerRequest:
        """Return the request as it is: it was made for Authlib before it came here."""
        return request

    def handle_response(self, status: int, body: Any, headers: Iterable[tuple[str, str]]) -> Response:
        """Make a response; a redirect becomes a 303, since the sign-in form was posted."""
        content = json.dumps(body) if isinstance(body, dict) else body
        return Response(content, status_code=303 if status == 302 else status, headers=dict(headers))
