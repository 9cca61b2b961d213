"""The OAuth clients: applications that users sign in to."""

import hmac
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from authlib.oauth2.rfc6749 import ClientMixin

SCOPES = ("openid", "profile", "email")
# The clients of the service's console and its hosted account. Their secrets are public, like every secret of the demo.
CONSOLE_CLIENT_ID, CONSOLE_CLIENT_SECRET = "newsstand-console", "a-public-secret-of-the-demo"
ACCOUNT_CLIENT_ID, ACCOUNT_CLIENT_SECRET = "newsstand-account", "another-public-secret-of-the-demo"
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client(ClientMixin):  # type: ignore[misc]  # Authlib is not typed
    """
    An OAuth client: public without a secret, confidential with one. PKCE is required of both.

    A loopback redirect URI matches on any port (RFC 8252, section 7.3), because the demo uses any free port.
    """

    client_id: str
    redirect_uris: tuple[str, ...]
    secret: str | None = None
    backchannel_logout_path: str | None = None  # where logout tokens are posted, at the origin of the redirect URI

    def get_client_id(self) -> str:
        """Return the client ID."""
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        """Return the redirect URI for requests without one; only if exactly one is registered."""
        return self.redirect_uris[0] if len(self.redirect_uris) == 1 else None

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return the requested scopes that are supported."""
        return " ".join(name for name in (scope or "").split() if name in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Return whether a redirect URI is registered; on loopback, ports are ignored."""
        return any(_matches(redirect_uri, registered) for registered in self.redirect_uris)

    def check_logout_uri(self, uri: str) -> bool:
        """Return whether a browser may be redirected there after signing out: any page of a registered origin."""
        return any(_origin(urlsplit(uri)) == _origin(urlsplit(registered)) for registered in self.redirect_uris)

    def check_client_secret(self, client_secret: str) -> bool:
        """Return whether the secret is right; always false for a public client."""
        return self.secret is not None and hmac.compare_digest(self.secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Require the secret of a confidential client, and none of a public one."""
        return method == ("client_secret_basic" if self.secret else "none")

    def check_response_type(self, response_type: str) -> bool:
        """Allow the code flow only."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Allow the code flow. Only confidential clients get refresh tokens."""
        return grant_type == "authorization_code" or (grant_type == "refresh_token" and self.secret is not None)


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port; without the port on loopback."""
    return parts.scheme, parts.hostname, None if parts.hostname in LOOPBACK_HOSTS else parts.port


def _matches(redirect_uri: str, registered: str) -> bool:
    if redirect_uri == registered:
        return True
    expected, actual = urlsplit(registered), urlsplit(redirect_uri)
    if actual.hostname not in LOOPBACK_HOSTS or actual.username is not None or actual.fragment:
        return False
    return _origin(actual) == _origin(expected) and (actual.path, actual.query) == (expected.path, expected.query)
