"""The URLs that a hosted page may return a reader to: only hosts that the publisher allows."""

from collections.abc import Collection
from urllib.parse import urlsplit

from app.domain.errors import Invalid

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_DEFAULT_PORTS = {"https": 443, "http": 80}


class ReturnUrlNotAllowed(Invalid):
    """The return URL must use HTTPS and an allowed host"""

    code = "return_url_not_allowed"
    title = "Return URL not allowed"


def check(url: str, allowed: Collection[str], *, field: str, own_url: str | None = None) -> None:
    """
    Check that a return URL uses HTTPS (or HTTP on this machine) and an allowed host.

    :param allowed: ``host`` or ``host:port``; a host alone means the scheme's default port.
    :param own_url: a page of this service, whose host is allowed too.
    :raises ReturnUrlNotAllowed: it doesn't, or it contains a user name, a control character or a backslash.
    """
    own = [urlsplit(own_url).netloc] if own_url is not None else []
    if not _is_allowed(url, {entry.lower() for entry in (*allowed, *own)}):
        raise ReturnUrlNotAllowed(f"{field} must be an HTTPS URL with an allowed host", field=field)


def _is_allowed(url: str, allowed: Collection[str]) -> bool:
    if any(c.isspace() or ord(c) < 32 or c == "\\" for c in url):
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if host is None or parts.scheme not in _DEFAULT_PORTS or parts.username is not None or parts.password is not None:
        return False
    if parts.scheme == "http" and host not in LOOPBACK:
        return False
    named = f"[{host}]" if ":" in host else host
    if port is None or port == _DEFAULT_PORTS[parts.scheme]:
        return named in allowed or f"{named}:{_DEFAULT_PORTS[parts.scheme]}" in allowed
    return f"{named}:{port}" in allowed
