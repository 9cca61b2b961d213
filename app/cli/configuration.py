"""
Read the settings from the environment, and refuse what is misspelt, invalid or dangerous.

Everything that is wrong is found at once, so that nobody has to fix and restart line by line. A finding names its setting
and never contains a value.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from app.cli.secret_strength import PUBLIC_SECRETS, weaknesses
from app.domain.notifications import NotificationKind
from app.domain.plans import BadCatalogue
from app.domain.return_urls import LOOPBACK
from app.encryption import FILE as SECRET_FILE
from app.mail import templates
from app.mail.templates import BadTemplates
from app.services import catalogue
from app.settings import (
    ACCOUNT,
    CONSOLE,
    PREFIX,
    SANDBOX_API_KEY,
    SANDBOX_WEBHOOK_SECRET,
    SHORTEST_SECRET,
    STRIPE,
    Settings,
)
from app.validation_messages import message

SHORTEST_ISSUED = 24  # characters of a secret that Stripe or an identity provider issued; Stripe's have 32
KEY_PREFIXES = ("sk_live_", "rk_live_", "sk_test_", "rk_test_")
# What Kubernetes sets in every container for a Service whose name begins with "newsstand". A value is tcp://host:port.
# https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables
_SERVICE_NAME = re.compile(r"\w*?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_PORT = re.compile(r":\d+$")
_SERVICE_VALUE = re.compile(r"(tcp|udp|sctp)://\S+")


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason not to start: the name of a setting or a file, and what is wrong with it."""

    name: str
    problem: str

    def __str__(self) -> str:
        return f"{self.name}: {self.problem}"


class BadSettings(Exception):
    """The settings are invalid. The message has a line for each finding, never with a value."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        super().__init__("\n".join(map(str, findings)))


def load() -> Settings:
    """
    Read the settings from the environment.

    :raises BadSettings: if a setting is misspelt, invalid or dangerous.
    """
    settings, findings = read_settings()
    if findings:
        raise BadSettings(findings)
    return settings


def load_all() -> Settings:
    """
    Read the settings, and check everything else that a process needs: the catalogue file and the data directory.

    :raises BadSettings: with everything that is wrong.
    """
    settings, findings = check_all()
    if findings:
        raise BadSettings(findings)
    return settings


def check_all() -> tuple[Settings, list[Finding]]:
    """Return the settings, and everything that is wrong with them, with the catalogue file and with the data directory."""
    settings, findings = read_settings()
    return settings, [*findings, *_data_directory(settings), *_catalogue_and_templates(settings)]


def read_settings() -> tuple[Settings, list[Finding]]:
    """Return the settings and what is wrong with them. An invalid setting is replaced by its default."""
    findings = list(_unknown_names(os.environ))
    invalid: dict[str, object] = {}
    try:
        settings = Settings()
    except ValidationError as wrong:
        findings += _validation_findings(wrong)
        invalid = {name: Settings.model_fields[name].default for name in _invalid_fields(wrong)}
        settings = Settings(**invalid)  # type: ignore[arg-type]  # its own defaults
    named = {variable(name) for name in invalid}
    return settings, [*findings, *(one for one in dangers(settings) if one.name not in named)]


def variable(field: str) -> str:
    """Return the environment variable of a setting."""
    return f"{PREFIX}{field.upper()}"


def _unknown_names(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield each variable with our prefix, or a misspelt one, that is no setting, with the one that was probably meant."""
    known = {variable(field) for field in Settings.model_fields}
    for name, value in sorted(environment.items()):
        prefix, _, rest = name.upper().partition("_")
        if f"{prefix}_" != PREFIX:
            meant = f"{PREFIX}{rest}"
            if meant in known and get_close_matches(f"{prefix}_", [PREFIX], cutoff=0.85):
                yield Finding(name, f"unknown setting. Did you mean {meant}?")
        elif name.upper() not in known and not _is_from_kubernetes(name, value):
            similar = _meant(rest.lower())
            yield Finding(name, f"unknown setting. Did you mean {variable(similar)}?" if similar else "unknown setting")


def _meant(field: str) -> str | None:
    """Return the setting that was probably meant: one whose name ends so, or else the most similar name."""
    longer = [one for one in Settings.model_fields if one.endswith(f"_{field}")]
    similar = get_close_matches(field, Settings.model_fields, n=1, cutoff=0.7)
    return min(longer, key=len, default=similar[0] if similar else None)


def _is_from_kubernetes(name: str, value: str) -> bool:
    rest = name.removeprefix(PREFIX)
    return _SERVICE_NAME.fullmatch(rest) is not None or (
        (rest == "PORT" or rest.endswith("_PORT")) and _SERVICE_VALUE.fullmatch(value) is not None
    )


def _invalid_fields(wrong: ValidationError) -> list[str]:
    return [str(error["loc"][0]) for error in wrong.errors(include_input=False, include_url=False) if error["loc"]]


def _validation_findings(wrong: ValidationError) -> Iterator[Finding]:
    for error in wrong.errors(include_input=False, include_url=False):
        yield Finding(variable(str(error["loc"][0])), message(error["type"], error["msg"], error.get("ctx", {})))


def dangers(settings: Settings) -> Iterator[Finding]:
    """Yield each setting that contradicts another one, or that would let somebody in or mix real money with tests."""
    yield from _stripe(settings)
    yield from _console(settings)
    yield from _account(settings)
    yield from _mail(settings)
    if settings.livemode:
        yield from _live_addresses(settings)
        yield from _live_secrets(settings)


def _stripe(settings: Settings) -> Iterator[Finding]:
    """A live key is sent to Stripe only, and the sandbox's credentials never are."""
    key = settings.stripe_api_key.get_secret_value()
    if not key.startswith(KEY_PREFIXES):
        yield Finding(variable("stripe_api_key"), "must be a secret (sk_…) or restricted (rk_…) key of Stripe")
    if settings.livemode and settings.stripe_url != STRIPE:
        yield Finding(variable("stripe_url"), f"must be {STRIPE} with a live key")
    if settings.livemode and settings.clock_url:
        yield Finding(variable("clock_url"), "not allowed with a live key")
    if settings.stripe_url == STRIPE and key == SANDBOX_API_KEY:
        yield Finding(variable("stripe_api_key"), "the sandbox's key does not work with Stripe")
    if not settings.webhook_secrets:
        yield Finding(variable("webhook_secrets"), "at least one signing secret is required")
    if settings.stripe_url == STRIPE and SANDBOX_WEBHOOK_SECRET in _values(settings.webhook_secrets):
        yield Finding(
            variable("webhook_secrets"),
            "the sandbox's secret is public, so anyone could sign events. "
            "Use the secret of your endpoint in Stripe's Dashboard",
        )


def _console(settings: Settings) -> Iterator[Finding]:
    """The console has all settings of its sign-in, or none."""
    if settings.oidc_client_id is None:
        if settings.oidc_client_secret is not None:
            yield Finding(variable("oidc_client_id"), f"required with {variable('oidc_client_secret')}")
        return
    key = settings.session_key.get_secret_value() if settings.session_key else ""
    if not key:
        yield Finding(variable("session_key"), "required for the console: at least 32 random characters")
    elif len(key) < SHORTEST_SECRET:
        yield Finding(variable("session_key"), "too short: at least 32 random characters are required")
    if settings.livemode and not (settings.console_url or "").startswith("https://"):
        yield Finding(variable("console_url"), "must be an https:// URL with a live key")
    if settings.console_url is not None and urlsplit(settings.console_url).path != CONSOLE:
        yield Finding(variable("console_url"), f"the path must be {CONSOLE}")


def _account(settings: Settings) -> Iterator[Finding]:
    """The hosted account has all settings of its sign-in, if it is on."""
    if settings.account_oidc_client_secret is not None and settings.account_oidc_client_id is None:
        yield Finding(variable("account_oidc_client_id"), f"required with {variable('account_oidc_client_secret')}")
    if settings.account_url is not None and urlsplit(settings.account_url).path != ACCOUNT:
        yield Finding(variable("account_url"), f"the path must be {ACCOUNT}")
    if not settings.account:
        return
    if settings.oidc_client_id is None:  # otherwise the console's findings name the key
        if settings.account_oidc_client_id is None:
            yield Finding(variable("account_oidc_client_id"), f"required with {variable('account')}")
        if len(settings.session_key.get_secret_value() if settings.session_key else "") < SHORTEST_SECRET:
            yield Finding(variable("session_key"), "required for the hosted account: at least 32 random characters")
    if settings.livemode and not (settings.account_url or "").startswith("https://"):
        yield Finding(variable("account_url"), "must be an https:// URL with a live key")


def _mail(settings: Settings) -> Iterator[Finding]:
    """Email has a sender, and the mail server's password is not sent in the clear."""
    if settings.smtp_url is not None and settings.mail_from is None:
        yield Finding(variable("mail_from"), f"required with {variable('smtp_url')}")


def _live_addresses(settings: Settings) -> Iterator[Finding]:
    """
    Whoever controls the issuer is admin, and readers are sent to the return hosts: both are named, and not on this machine.
    The service's own hosts are named too, so that a page of another name can't make a browser use it.
    """
    issuer = urlsplit(settings.oidc_issuer)
    if issuer.scheme != "https" or issuer.hostname in LOOPBACK:
        yield Finding(variable("oidc_issuer"), "must be the https:// URL of your identity provider with a live key")
    if not settings.allowed_hosts:
        yield Finding(variable("allowed_hosts"), "must name the hosts that this service is reached by, with a live key")
    if any(not origin.startswith("https://") for origin in settings.allowed_origins):
        yield Finding(variable("allowed_origins"), "must be https:// origins with a live key")
    hosts = settings.allowed_return_hosts
    if not hosts or any(_PORT.sub("", host).strip("[]").lower() in LOOPBACK for host in hosts):
        yield Finding(
            variable("allowed_return_hosts"), "must name the hosts of your site, and no other, with a live key"
        )


def _live_secrets(settings: Settings) -> Iterator[Finding]:
    secrets: list[tuple[str, Iterable[str], int]] = [
        ("webhook_secrets", set(_values(settings.webhook_secrets)) - {SANDBOX_WEBHOOK_SECRET}, SHORTEST_ISSUED),
        ("bounce_secrets", _values(settings.bounce_secrets), SHORTEST_SECRET),
        ("token_secrets", _values(settings.token_secrets), SHORTEST_SECRET),
        ("oidc_client_secret", _values([settings.oidc_client_secret]), SHORTEST_ISSUED),
        ("account_oidc_client_secret", _values([settings.account_oidc_client_secret]), SHORTEST_ISSUED),
        (
            "session_key",
            [key for key in _values([settings.session_key]) if len(key) >= SHORTEST_SECRET],
            SHORTEST_SECRET,
        ),
    ]
    for field, values, shortest in secrets:
        for problem in sorted({problem for value in values for problem in weaknesses(value, shortest=shortest)}):
            yield Finding(variable(field), f"a secret {problem}")
    for field in ("database_url", "migration_database_url", "listen_database_url"):
        if any(f":{password}@" in url for url in _values([getattr(settings, field)]) for password in PUBLIC_SECRETS):
            yield Finding(variable(field), "the password is public: it is the default of docker-compose.yml")


def _values(secrets: Iterable[SecretStr | None]) -> list[str]:
    return [secret.get_secret_value() for secret in secrets if secret is not None]


def _data_directory(settings: Settings) -> Iterator[Finding]:
    """The embedded server and a generated secret need a directory that this process can write."""
    folder = settings.data_dir
    if _is_writable(folder):
        return
    if settings.database_url is None:
        yield Finding(variable("database_url"), f"required, because {variable('data_dir')} is not a writable directory")
    if not settings.token_secrets and not os.access(folder / SECRET_FILE, os.R_OK):
        yield Finding(
            variable("token_secrets"), f"required, because {variable('data_dir')} is not a writable directory"
        )


def _is_writable(folder: Path) -> bool:
    """Return whether a directory is writable, or could be created."""
    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _catalogue_and_templates(settings: Settings) -> Iterator[Finding]:
    """The catalogue file is valid, and so are the templates of notifications, also those that the catalogue names."""
    chosen: frozenset[tuple[NotificationKind, str]] = frozenset()
    try:
        found = catalogue.load(settings.catalogue)
        chosen = frozenset((one.kind, one.template) for one in found.policies.notices if one.template is not None)
    except BadCatalogue as wrong:
        for problem in wrong.problems:
            yield Finding(settings.catalogue.name, problem.removeprefix(f"{settings.catalogue}: "))
    folder = settings.mail_templates
    if folder is not None and not folder.is_dir():
        yield Finding(variable("mail_templates"), "is not a directory")
        return
    try:
        templates.load(folder, chosen)
    except BadTemplates as wrong:
        for problem in wrong.problems:
            yield Finding(variable("mail_templates"), problem)
