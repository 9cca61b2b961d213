"""The applications that people may sign in to."""

import hmac
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from authlib.oauth2.rfc6749 import ClientMixin

SCOPES = ("openid", "profile", "email")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client(ClientMixin):  # type: ignore[misc]  # Authlib is not typed
    """
    An application. Without a secret it is a public one; a code is bound to either kind by PKCE.

    On loopback a redirect may lead to any port of a registered address (RFC 8252, section 7.3), because a
    demo on a busy machine takes the port it finds.
    """

    client_id: str
    redirect_uris: tuple[str, ...]
    secret: str | None = None

    def get_client_id(self) -> str:
        """Return the client's id."""
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        """Return where to redirect to if the request does not say: only where there is no choice."""
        return self.redirect_uris[0] if len(self.redirect_uris) == 1 else None

    def get_allowed_scope(self, scope: str | None) -> str:
        """Return those of the asked scopes that exist."""
        return " ".join(name for name in (scope or "").split() if name in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Tell whether a code may be sent there: exactly a registered address, but for the port on loopback."""
        return any(_same_but_for_loopback_port(redirect_uri, known) for known in self.redirect_uris)

    def check_logout_uri(self, uri: str) -> bool:
        """Tell whether a browser may be sent there after it signed out: any page of a registered site."""
        return any(_origin(urlsplit(uri)) == _origin(urlsplit(known)) for known in self.redirect_uris)

    def check_client_secret(self, client_secret: str) -> bool:
        """Tell whether that is the secret; a public client has none, so none is right."""
        return self.secret is not None and hmac.compare_digest(self.secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """A public client says who it is and proves nothing; one with a secret shows it."""
        return method == ("client_secret_basic" if self.secret else "none")

    def check_response_type(self, response_type: str) -> bool:
        """Only the code flow is offered."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Only the code flow is offered."""
        return grant_type == "authorization_code"


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Return what tells one site from another; the port does not where the host is this machine."""
    return parts.scheme, parts.hostname, None if parts.hostname in LOOPBACK else parts.port


def _same_but_for_loopback_port(asked: str, known: str) -> bool:
    if asked == known:
        return True
    one, other = urlsplit(asked), urlsplit(known)
    if one.hostname not in LOOPBACK or one.username is not None or one.fragment:
        return False
    return _origin(one) == _origin(other) and (one.path, one.query) == (other.path, other.query)
