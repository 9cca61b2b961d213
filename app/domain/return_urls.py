"""Where a hosted page may send a reader back to: the hosts that the publisher allows, and no other."""

from collections.abc import Collection
from urllib.parse import urlsplit

from app.domain.errors import Invalid

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_USUAL_PORT = {"https": 443, "http": 80}


class ReturnUrlNotAllowed(Invalid):
    """The return URL must use HTTPS and an allowed host."""

    code = "return_url_not_allowed"
    title = "Return URL not allowed"


def check(url: str, allowed: Collection[str], *, field: str) -> None:
    """
    Let a return address through if it leads to an allowed host over HTTPS (or HTTP on this machine).

    :param allowed: ``host`` or ``host:port``; a host alone means the scheme's usual port.
    :raises ReturnUrlNotAllowed: anything else, user names, control characters and backslashes included.
    """
    if not _leads_to(url, {entry.lower() for entry in allowed}):
        raise ReturnUrlNotAllowed(f"{field} must lead to an allowed host over https", field=field)


def _leads_to(url: str, allowed: Collection[str]) -> bool:
    if any(c.isspace() or ord(c) < 32 or c == "\\" for c in url):
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if host is None or parts.scheme not in _USUAL_PORT or parts.username is not None or parts.password is not None:
        return False
    if parts.scheme == "http" and host not in LOOPBACK:
        return False
    named = f"[{host}]" if ":" in host else host
    if port is None or port == _USUAL_PORT[parts.scheme]:
        return named in allowed or f"{named}:{_USUAL_PORT[parts.scheme]}" in allowed
    return f"{named}:{port}" in allowed
