"""The types of settings that are more than a text or a number, and the messages for what is invalid."""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from app.validation_messages import NOT_A_DURATION

_ADDRESS = re.compile(r"[!-?A-~]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")  # printable ASCII without @ and spaces

_HOST = re.compile(r"([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?")
_SPACE = re.compile(r"\s")


def _iso_8601(value: object) -> object:
    """Refuse a number without a unit, and the other notations that pydantic would guess at."""
    if isinstance(value, str) and value != "0" and not value.startswith("P"):
        raise ValueError(NOT_A_DURATION)
    return timedelta(0) if value == "0" else value


def never(value: object) -> object:
    """Read "never" as None."""
    return None if value == "never" else value


_PERIODS = {"second": timedelta(seconds=1), "minute": timedelta(minutes=1), "hour": timedelta(hours=1)}


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something is allowed. So much may come at once; then the allowance grows again evenly."""

    number: int  # 0: no limit
    period: timedelta

    def __str__(self) -> str:
        period = next(name for name, length in _PERIODS.items() if length == self.period)
        return f"{self.number}/{period}" if self.number else "0"

    @property
    def per_second(self) -> float:
        """How often in a second; 0 for no limit."""
        return self.number / self.period.total_seconds()


NO_LIMIT = Rate(0, _PERIODS["minute"])


def _rate(value: object) -> object:
    """Read a rate such as "30/minute"; "0" is no limit."""
    if not isinstance(value, str):
        return value
    if value == "0":
        return NO_LIMIT
    number, _, period = value.partition("/")
    if not number.isascii() or not number.isdigit() or not 0 < int(number[:10]) <= 1_000_000 or period not in _PERIODS:
        raise ValueError("must be a rate such as 30/minute (or second, hour), or 0 for no limit")
    return Rate(int(number), _PERIODS[period])


AllowedRate = Annotated[Rate, NoDecode, BeforeValidator(_rate)]
LONGEST = timedelta(days=36_525)  # a century: any date of today's readers can be moved by it
AS_DURATION = BeforeValidator(_iso_8601)  # after the bounds, or messages would show them as Python does
Duration = Annotated[timedelta, Ge(timedelta(0)), Le(LONGEST), AS_DURATION]
PositiveDuration = Annotated[timedelta, Gt(timedelta(0)), Le(LONGEST), AS_DURATION]
Separated = Annotated[tuple[str, ...], NoDecode]


def web_address(value: str) -> str:
    """
    Return the URL of a server without the slash at its end.

    :raises ValueError: it isn't one, or sends credentials in clear text.
    """
    parts = urlsplit(value)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or not _has_valid_port(parts)
        or _SPACE.search(value)
    ):
        raise ValueError("must be a URL such as https://host")
    if parts.scheme == "http" and parts.username:
        raise ValueError("must not contain credentials")
    return value.rstrip("/")


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    """Accept hosts as they are in URLs, each with or without a port."""
    if not all(_HOST.fullmatch(host) for host in value):
        raise ValueError(
            "each must be a host such as www.example.com or www.example.com:8443, without https:// or a path"
        )
    return value


def _is_mail_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"smtp", "smtps"} and bool(parts.hostname) and parts.port != 0 and parts.path in {"", "/"}
        )
    except ValueError:  # the port is no number
        return False


def _is_mailbox(text: str) -> bool:
    """Return whether a text is an email address, with or without a name."""
    name, address = parseaddr(text)
    return (
        _ADDRESS.fullmatch(address) is not None
        and text.strip().endswith((address, f"<{address}>"))
        and "\n" not in name
    )


def _mail_server(value: SecretStr) -> SecretStr:
    if not _is_mail_server(value.get_secret_value()):
        raise ValueError("must be a URL such as smtp://smtp.example.com:587, or smtps://")
    return value


def _mailbox(value: str) -> str:
    if not _is_mailbox(value):
        raise ValueError("must be an address such as Slow Ferry <subscriptions@example.com>")
    return value


def _networks(value: object) -> object:
    """Read networks that are separated by commas, such as "10.0.0.0/8"."""
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError as error:
        raise ValueError("must be networks such as 10.0.0.0/8, separated by commas") from error


_SECRET_BYTES = range(24, 65)  # as Standard Webhooks prescribes


def _signing_secrets(value: object) -> object:
    """Read secrets that are separated by commas, each as Standard Webhooks prescribes. The message names none."""
    if not isinstance(value, str):
        return value
    secrets = [part.strip() for part in value.split(",") if part.strip()]
    for secret in secrets:
        try:
            is_valid = secret.startswith("whsec_") and len(base64.b64decode(secret[6:], validate=True)) in _SECRET_BYTES
        except (binascii.Error, ValueError):
            is_valid = False
        if not is_valid:
            raise ValueError("each must be whsec_ and 24 to 64 random bytes in base64")
    return tuple(SecretStr(secret) for secret in secrets)


SigningSecrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_signing_secrets)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)]
MailServer = Annotated[SecretStr, AfterValidator(_mail_server)]
Hosts = Annotated[Separated, AfterValidator(_hosts)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
