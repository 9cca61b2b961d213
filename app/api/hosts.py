"""The hosts that the service answers for, checked against each request's Host header."""

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.domain.errors import MalformedRequest
from app.settings import ACCOUNT, CONSOLE, Settings

# Probes use an IP address, and proxies that ask the gate may pass on the site's own name.
NOT_CHECKED = frozenset({"/healthz", "/readyz", "/v1/gate"})


class UnknownHost(MalformedRequest):
    """The Host header names no host of this service."""

    code = "unknown_host"
    title = "Unknown host"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """
    The hosts that the service is known by, each as ``host`` or ``host:port``.

    Without any, all are accepted; for the console and the hosted account only their own, if that is set.
    """

    hosts: Collection[bytes] = ()
    console_host: bytes | None = None
    account_host: bytes | None = None

    def allow(self, host: bytes, path: str) -> bool:
        """Return whether a request for a path may name a host."""
        if path in NOT_CHECKED:
            return True
        host = host.lower()
        own = [(CONSOLE, self.console_host), (ACCOUNT, self.account_host)]
        if any(known is not None and _names(host, known) for _, known in own):
            return True
        if self.hosts:
            return any(_names(host, known) for known in self.hosts)
        return all(known is None or not (path == pages or path.startswith(f"{pages}/")) for pages, known in own)


def _names(host: bytes, known: bytes) -> bool:
    """Return whether a Host header names a host. One that is given without a port is known with each."""
    return host == known or (b":" not in known and host.rpartition(b":")[0] == known)


def host_rules(settings: Settings) -> HostRules:
    """Return the rules of the settings. The hosts of the console and the hosted account are always known."""
    return HostRules(
        hosts=tuple(host.lower().encode() for host in settings.allowed_hosts),
        console_host=_host_of(settings.console_url),
        account_host=_host_of(settings.account_url),
    )


def _host_of(url: str | None) -> bytes | None:
    return urlsplit(url).netloc.lower().encode() if url else None
