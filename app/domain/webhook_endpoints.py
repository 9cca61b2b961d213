"""
Webhook endpoints: where the publisher's systems receive events, and with which secrets they are signed.

Requests follow Standard Webhooks (standardwebhooks.com). An endpoint is a URL that somebody typed, so it must not lead into
the network of the service: only public addresses are connected to, unless an operator allows others.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from app.domain.errors import Conflict, Invalid
from app.domain.outbox import OutboxType

Network = IPv4Network | IPv6Network
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix that Standard Webhooks prescribes
SECRET_BYTES = range(24, 65)  # as Standard Webhooks prescribes
NEW_SECRET_BYTES = 32
DEFAULT_OVERLAP, LONGEST_OVERLAP = timedelta(days=1), timedelta(days=30)  # in which both secrets sign
LONGEST_URL, LONGEST_NAME = 2000, 100  # characters
MOST_ENDPOINTS = 20
DISABLED_AFTER = timedelta(days=5)  # in which no delivery succeeded
APART = timedelta(days=1)  # failures so far apart are two: attempts of one delivery are never so far apart
REST_SHARE = (
    10  # an endpoint that fails rests for this part of the time for which it has failed, so that it costs little
)
LONGEST_REST = timedelta(minutes=1)  # and so it is found soon that it works again
_NAT64 = IPv6Network("64:ff9b::/96")  # its last 32 bits are an IPv4 address


class DisabledReason(StrEnum):
    """Why an endpoint is disabled."""

    STAFF = "staff"
    FAILING = "failing"
    GONE = "gone"  # it returned 410


class InvalidEndpointUrl(Invalid):
    """Webhooks can't be sent to this URL."""

    code = "invalid_endpoint_url"
    title = "Invalid URL of a webhook endpoint"


class PrivateAddress(InvalidEndpointUrl):
    """The URL leads to a private, local or reserved address, which the settings don't allow."""

    code = "private_address"
    title = "Private address"


class InvalidSecret(Invalid):
    """The secret is not ``whsec_`` and 24 to 64 bytes in base64."""

    code = "invalid_webhook_secret"
    title = "Invalid webhook secret"


class UnknownEventType(Invalid):
    """There is no such type of event."""

    code = "unknown_event_type"
    title = "Unknown event type"


class InvalidOverlap(Invalid):
    """The old secret can't remain valid for so long."""

    code = "invalid_overlap"
    title = "Invalid overlap"


class TooManyEndpoints(Conflict):
    """The limit of 20 webhook endpoints is reached."""

    code = "too_many_endpoints"
    title = "Too many webhook endpoints"


class EndpointDisabled(Conflict):
    """The webhook endpoint is disabled. Enable it first."""

    code = "endpoint_disabled"
    title = "Webhook endpoint disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpoint:
    """Where events are sent. Its secrets are shown only once, when they are made."""

    id: str  # whe_…
    name: str
    url: str
    types: Sequence[str]  # empty: all
    created_at: datetime
    created_by: str
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    failing_since: datetime | None = None  # the first failure since the last success
    previous_secret_expires_at: datetime | None = None

    @property
    def is_enabled(self) -> bool:
        """Whether events are sent to it."""
        return self.disabled_at is None

    @property
    def status(self) -> str:
        """``enabled``, ``failing`` or ``disabled``."""
        if self.disabled_at is not None:
            return "disabled"
        return "failing" if self.failing_since is not None else "enabled"


STATUSES = ("enabled", "failing", "disabled")


def checked_types(types: Iterable[str]) -> list[str]:
    """
    Return a filter of types, each once; empty: all.

    :raises UnknownEventType: there is no such type.
    """
    known = set(OutboxType)
    wanted = sorted(set(types))
    for one in wanted:
        if one not in known:
            raise UnknownEventType(f"There is no event type {one!r}", event_type=one)
    return wanted


def check_url(url: str, *, allowed: Sequence[Network]) -> None:
    """
    Check that events may be sent to a URL, as far as that shows without asking DNS.

    :param allowed: the private networks that the settings allow. With any, ``http`` is allowed too.
    :raises InvalidEndpointUrl: it is not a URL of a public host over ``https``.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidEndpointUrl("This is not a URL") from None
    if len(url) > LONGEST_URL or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidEndpointUrl("This is not a URL")
    if parts.scheme != "https" and not (parts.scheme == "http" and allowed):
        raise InvalidEndpointUrl("The URL must begin with https://")
    if parts.username is not None or parts.password is not None:
        raise InvalidEndpointUrl("The URL must not contain a user name or a password")
    if parts.fragment:
        raise InvalidEndpointUrl("The URL must not contain a fragment")
    if host.casefold().rstrip(".").rpartition(".")[2] == "localhost" and not allowed:
        raise PrivateAddress("The URL leads to this machine")
    try:
        address = ip_address(host)
    except ValueError:
        return  # a name, whose addresses are checked whenever it is connected to
    check_address(address, allowed=allowed)


def check_address(address: IPv4Address | IPv6Address, *, allowed: Sequence[Network]) -> None:
    """
    Check that an address may be connected to.

    :raises PrivateAddress: it is not public, and in none of the allowed networks.
    """
    for one in _spellings(address):
        if not is_public(one) and not any(one in network for network in allowed):
            raise PrivateAddress(f"{address} is not a public address")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is a public one of a single machine: not private, local, reserved or multicast."""
    is_of_site = isinstance(address, IPv6Address) and address.is_site_local  # fec0::/10, which is_global lets through
    return address.is_global and not (address.is_multicast or address.is_reserved or is_of_site)


def _spellings(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """Return an address, or the IPv4 address that an IPv6 address stands for."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return [address.ipv4_mapped]
        if address.sixtofour is not None:
            return [address, address.sixtofour]
        if address.teredo is not None:
            return [address, *address.teredo]
        if address in _NAT64:
            return [IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]


def compose_secret(random: bytes) -> str:
    """Return the secret with these random bytes."""
    return SECRET_PREFIX + base64.b64encode(random).decode()


def check_secret(secret: str) -> None:
    """
    Check the form of a secret.

    :raises InvalidSecret: it is too short, too long or not base64.
    """
    try:
        content = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not secret.startswith(SECRET_PREFIX) or len(content) not in SECRET_BYTES:
        raise InvalidSecret(f"A secret is {SECRET_PREFIX} and {SECRET_BYTES[0]} to {SECRET_BYTES[-1]} bytes in base64")


def check_overlap(overlap: timedelta) -> None:
    """
    Check for how long the old secret remains valid, after a rotation.

    :raises InvalidOverlap: it is too long.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidOverlap(f"The old secret can be used for at most {LONGEST_OVERLAP.days} days")
