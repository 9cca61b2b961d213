"""
What can be set from outside. Every setting is ``NEWSSTAND_<NAME>``.

With none set, the service runs against the embedded PostgreSQL and the local Stripe of ``python -m sandbox``.
A combination that would mix real money with the sandbox is refused at start-up, by the setting's name.
"""

import re
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from annotated_types import Ge, Gt, Le
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "NEWSSTAND_"
STRIPE = "https://api.stripe.com"
TEST_RATE = 20.0  # calls a second: Stripe's own limit for a test key is 25
# The local Stripe's credentials. They are public: they open nothing but a process on this machine.
SANDBOX_URL = "http://127.0.0.1:4242"
SANDBOX_API_KEY = "sk_test_sandbox_public"
SANDBOX_WEBHOOK_SECRET = "whsec_sandbox_public_do_not_use_live"  # noqa: S105 - public, see above
SHORTEST_SECRET = 32  # characters
LONGEST_LIFE = timedelta(hours=1)  # of an entitlement token: whoever has one is believed for so long
_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 6265: a token
CONSOLE = "/console"  # where the console is, below the service's own address
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _seconds(value: object) -> object:
    """Let a bare number count as seconds."""
    return float(value) if isinstance(value, str) and value.replace(".", "", 1).isdigit() else value


def _time_of_day(value: object) -> object:
    """Let "never" count as none."""
    return None if value == "never" else value


Duration = Annotated[timedelta, BeforeValidator(_seconds), Ge(timedelta(0))]
Separated = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """All that an operator may decide. Durations are ISO 8601 (``P14D``) or seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    database_url: SecretStr | None = None
    migration_database_url: SecretStr | None = None
    listen_database_url: SecretStr | None = None
    database_pool_size: int = Field(default=10, ge=1, le=200)
    database_pooler: bool = False
    data_dir: Path = Path("var")

    stripe_url: str = SANDBOX_URL
    stripe_api_key: SecretStr = SecretStr(SANDBOX_API_KEY)
    stripe_timeout: Duration = timedelta(seconds=20)
    stripe_rate_limit: float = Field(default=80, ge=0, le=10_000)
    stripe_endpoint_rate_limit: float = Field(default=20, gt=0, le=10_000)
    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = (SecretStr(SANDBOX_WEBHOOK_SECRET),)
    automatic_tax: bool = False

    oidc_issuer: str = "http://127.0.0.1:9000"
    oidc_audience: str = "newsstand"
    roles_claim: str = "roles"

    gate_cookie: str | None = None
    token_issuer: str = "newsstand"  # noqa: S105 - a name
    token_audience: str = "newsstand-site"  # noqa: S105 - a name
    token_life: Annotated[Duration, Gt(timedelta(0)), Le(LONGEST_LIFE)] = timedelta(minutes=5)
    token_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    outage_allowance: Duration = timedelta(minutes=5)

    oidc_client_id: str | None = None  # None: the console is off
    oidc_client_secret: SecretStr | None = None
    session_key: SecretStr | None = None
    session_lifetime: Duration = timedelta(hours=8)
    session_idle: Duration = timedelta(hours=1)
    console_url: str | None = None

    allowed_return_hosts: Separated = ("127.0.0.1:8080", "localhost:8080")
    clock_url: str | None = None
    catalogue: Path = Path("catalogue.toml")
    publisher_timezone: str = "America/Chicago"

    renewal_allowance: Duration = timedelta(days=3)
    grace_period: Duration = timedelta(days=14)
    worker_concurrency: int = Field(default=10, ge=1, le=100)
    backlog_threshold: int = Field(default=500, ge=1)
    event_attempts: int = Field(default=12, ge=1, le=100)
    lease: Duration = timedelta(seconds=15)
    degraded_after: Duration = timedelta(minutes=5)
    events_kept: Duration = timedelta(days=30)
    reconcile_at: Annotated[time | None, BeforeValidator(_time_of_day)] = time(3, 30)
    claim_by_email: bool = True
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("webhook_secrets", "allowed_return_hosts", "token_secrets", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("token_secrets")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < SHORTEST_SECRET for secret in value):
            raise ValueError(f"each must have at least {SHORTEST_SECRET} characters, drawn at random")
        return value

    @field_validator("gate_cookie")
    @classmethod
    def _cookie_name(cls, value: str | None) -> str | None:
        if value is not None and not _COOKIE_NAME.fullmatch(value):
            raise ValueError("must be the name of a cookie")
        return value

    @field_validator("publisher_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as unknown:
            raise ValueError("must be a time zone of the IANA database, such as America/Chicago") from unknown
        return value

    @field_validator("stripe_url", "oidc_issuer", "clock_url", "console_url")
    @classmethod
    def _http_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an address such as https://host")
        if parts.scheme == "http" and parts.username:
            raise ValueError("must not carry a password")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _sandbox_and_live_do_not_mix(self) -> Self:
        """A live key goes to Stripe only; the sandbox's credentials never do."""
        key = self.stripe_api_key.get_secret_value()
        live = key.startswith(("sk_live_", "rk_live_"))
        if not key.startswith(("sk_live_", "rk_live_", "sk_test_", "rk_test_")):
            raise ValueError(
                f"{PREFIX}STRIPE_API_KEY: not a secret key of Stripe's (sk_…, or rk_… for a restricted one)"
            )
        if live and self.stripe_url != STRIPE:
            raise ValueError(f"{PREFIX}STRIPE_URL: a live key is sent to {STRIPE} only, and this names another address")
        if live and self.clock_url:
            raise ValueError(f"{PREFIX}CLOCK_URL: a test clock cannot be followed with a live key")
        if not self.webhook_secrets:
            raise ValueError(f"{PREFIX}WEBHOOK_SECRETS: at least one signing secret is needed")
        secrets = {secret.get_secret_value() for secret in self.webhook_secrets}
        if self.stripe_url == STRIPE and SANDBOX_WEBHOOK_SECRET in secrets:
            raise ValueError(
                f"{PREFIX}WEBHOOK_SECRETS: the sandbox's secret is public: anyone could sign events with it. "
                "Set the one of your endpoint in Stripe's Dashboard"
            )
        if self.stripe_url == STRIPE and key == SANDBOX_API_KEY:
            raise ValueError(f"{PREFIX}STRIPE_API_KEY: the sandbox's key is not one of Stripe's")
        return self

    @model_validator(mode="after")
    def _console_is_whole(self) -> Self:
        """Staff sign in with all that it takes, or not at all."""
        key = self.session_key.get_secret_value() if self.session_key else ""
        if self.oidc_client_id is None:
            if self.oidc_client_secret is not None:
                raise ValueError(f"{PREFIX}OIDC_CLIENT_ID: missing, though there is a secret for it")
            return self
        if not key:
            raise ValueError(f"{PREFIX}SESSION_KEY: needed for the console's cookies: at least 32 random characters")
        if len(key) < SHORTEST_SECRET:
            raise ValueError(f"{PREFIX}SESSION_KEY: too short to be safe: at least 32 random characters are needed")
        if self.livemode and not (self.console_url or "").startswith("https://"):
            raise ValueError(f"{PREFIX}CONSOLE_URL: a live console is reached over HTTPS: say its https:// address")
        if self.console_url is not None and urlsplit(self.console_url).path != CONSOLE:
            raise ValueError(f"{PREFIX}CONSOLE_URL: the address must end in {CONSOLE}, right after the host")
        return self

    @property
    def livemode(self) -> bool:
        """Whether real money moves."""
        return self.stripe_api_key.get_secret_value().startswith(("sk_live_", "rk_live_"))

    @property
    def overall_rate(self) -> float:
        """How many calls a second Stripe is asked, by all processes; 0: as many as they like. A test key may ask 25."""
        testing = self.stripe_url == STRIPE and not self.livemode
        return min(self.stripe_rate_limit, TEST_RATE) if testing else self.stripe_rate_limit

    @property
    def zone(self) -> ZoneInfo:
        """The zone of every date that a person sees."""
        return ZoneInfo(self.publisher_timezone)


class BadSettings(Exception):
    """Start-up is refused. The message names each setting, and never its value."""


def load() -> Settings:
    """
    Read the settings from the environment.

    :raises BadSettings: with one line for each setting that is wrong.
    """
    try:
        return Settings()
    except ValidationError as wrong:
        lines = []
        for error in wrong.errors(include_input=False, include_url=False):
            name = f"{PREFIX}{str(error['loc'][0]).upper()}: " if error["loc"] else ""
            lines.append(name + error["msg"].removeprefix("Value error, "))
        raise BadSettings("\n".join(lines)) from None
