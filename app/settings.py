"""
Settings. Each is an environment variable, ``NEWSSTAND_<NAME>``.

With none set, the service runs against the embedded PostgreSQL and the local Stripe (``python -m sandbox``).
What is misspelt, invalid or dangerous is refused at start-up, by app/cli/configuration.py.
"""

import re
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from annotated_types import Gt, Le
from babel import Locale, UnknownLocaleError
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.setting_types import (
    AS_DURATION,
    NO_LIMIT,
    AllowedRate,
    Duration,
    Hosts,
    Mailbox,
    MailServer,
    Networks,
    PositiveDuration,
    Rate,
    Separated,
    SigningSecrets,
    never,
    web_address,
)
from app.validation_messages import exact_origins

__all__ = ["NO_LIMIT", "Rate", "Settings"]
PREFIX = "NEWSSTAND_"
STRIPE = "https://api.stripe.com"
TEST_RATE = 20.0  # calls a second: Stripe's own limit for a test key is 25
# Credentials of the local Stripe. They are public: they only give access to a process on this machine.
SANDBOX_URL = "http://127.0.0.1:4242"
SANDBOX_API_KEY = "sk_test_sandbox_public"
SANDBOX_WEBHOOK_SECRET = "whsec_sandbox_public_do_not_use_live"  # noqa: S105 - public, see above
SHORTEST_SECRET = 32  # characters
LONGEST_LIFE = timedelta(hours=1)  # of an entitlement token, which stays valid for that long
_COOKIE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 6265: a token
_ACR = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")  # what a quoted string of a header can hold unescaped
CONSOLE = "/console"  # path of the console
ACCOUNT = "/account"  # path of the hosted account


class Settings(BaseSettings):
    """
    Settings of the service, read from the environment. Durations are ISO 8601 (``P14D``).

    The docstring of a field is its description in docs/reference/settings.md and in .env.example.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    database_url: SecretStr | None = None
    """
    Connection URL of the database, PostgreSQL 15 or newer, in libpq's form. If not set, the embedded server is used.
    """
    migration_database_url: SecretStr | None = None
    """Connection URL of the same database for `newsstand migrate`, as the role that owns the schema."""
    listen_database_url: SecretStr | None = None
    """Connection URL of the same database for LISTEN, bypassing a transaction pooler."""
    database_pool_size: int = Field(default=10, ge=1, le=200)
    """
    Size of each of a process's two connection pools: one for the hot routes, one for everything else. The second may
    double in a burst, and keeps the connections.
    """
    database_pooler: bool = False
    """Whether a transaction pooler such as PgBouncer is in between. If so, prepared statements are not cached."""
    data_dir: Path = Path("var")
    """Directory of the embedded database and of generated secrets."""

    stripe_url: str = SANDBOX_URL
    """Base URL of the Stripe API: `https://api.stripe.com`, or the sandbox's."""
    stripe_api_key: SecretStr = SecretStr(SANDBOX_API_KEY)
    """Secret or restricted API key of the Stripe account."""
    stripe_timeout: PositiveDuration = timedelta(seconds=20)
    """Time-out for a call to Stripe."""
    stripe_rate_limit: float = Field(default=80, ge=0, le=10_000)
    """
    Maximum calls per second to Stripe, all processes combined; 0 for no limit. Stripe allows 100, or 25 with a test
    key, for which the limit is lowered automatically.
    """
    stripe_endpoint_rate_limit: float = Field(default=20, gt=0, le=10_000)
    """Maximum calls per second to a single Stripe endpoint, all processes combined. Stripe allows 25."""
    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = (SecretStr(SANDBOX_WEBHOOK_SECRET),)
    """Comma-separated signing secrets of the webhook endpoint. Each one is accepted."""
    automatic_tax: bool = False
    """Whether Stripe Tax calculates the tax of each checkout."""

    oidc_issuer: str = "http://127.0.0.1:9000"
    """Issuer of accepted access tokens (OpenID Connect)."""
    oidc_audience: str = "newsstand"
    """Audience (`aud`) that an access token must name."""
    roles_claim: str = "roles"
    """Claim that holds the roles of staff: a list, or a space-separated string. A dotted path is allowed."""

    allowed_hosts: Hosts = ()
    """
    Comma-separated hosts that the service is reached by, each as `host` or `host:port`. Requests for other hosts are
    refused, except probes and the gate's. The console's host is always known. If not set, every host is accepted,
    except for the console if `NEWSSTAND_CONSOLE_URL` is set. Required with a live key.
    """
    allowed_origins: Annotated[Separated, AfterValidator(exact_origins)] = ()
    """
    Comma-separated origins of the front ends that may call the API of readers from a browser (CORS), each as
    `https://www.example.com`. If not set, none may.
    """
    internal_pages: Literal["open", "support", "supervisor", "circulation", "privacy", "admin", "off"] | None = None
    """
    Access to `/metrics`, `/docs`, `/openapi.json` and the details of `/readyz`: `open`, `off`, or the role that is
    required. If not set: `off` with a live key, else `open`. On `newsstand serve --internal-port` they are always open.
    """
    max_requests: int = Field(default=200, ge=1, le=10_000)
    """
    Number of requests that a process handles at the same time: so many entitlement checks, and so many others. More are
    refused with 503.
    """

    limit_stripe: AllowedRate = Rate(30, timedelta(minutes=1))
    """
    Rate at which one person may send requests that call Stripe, such as `30/minute`; 0 for no limit. More are refused
    with 429.
    """
    limit_promotion_code: AllowedRate = Rate(20, timedelta(hours=1))
    """Rate at which one person may start checkouts with a promotion code, so that codes can't be guessed."""
    limit_search: AllowedRate = Rate(120, timedelta(minutes=1))
    """Rate at which one member of staff may search for readers."""
    limit_sign_in: AllowedRate = Rate(30, timedelta(minutes=1))
    """Rate at which one address may return to the console from the identity provider."""
    limit_api_key: AllowedRate = Rate(20, timedelta(minutes=1))
    """Rate at which one address may send wrong API keys. Keys that were used shortly before are accepted all the same."""
    limit_cancellation: AllowedRate = Rate(10, timedelta(hours=1))
    """Rate at which one address may send cancellations without a sign-in, and about one email address; `0` for no limit."""

    gate_cookie: str | None = None
    """Name of the cookie in which your site keeps the reader's access token, for the gate."""
    token_issuer: str = "newsstand"  # noqa: S105 - a name
    """Issuer (`iss`) of entitlement tokens."""
    token_audience: str = "newsstand-site"  # noqa: S105 - a name
    """Audience (`aud`) of entitlement tokens."""
    token_life: Annotated[timedelta, Gt(timedelta(0)), Le(LONGEST_LIFE), AS_DURATION] = timedelta(minutes=5)
    """Lifetime of an entitlement token; at most one hour."""
    token_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """
    Comma-separated secrets that encrypt the token signing keys: at least 32 random characters each, the same for every
    process. The first one encrypts; keep the old one behind it during a rotation. If not set, a secret is generated in
    `NEWSSTAND_DATA_DIR`.
    """
    outage_allowance: Duration = timedelta(minutes=5)
    """Time for which readers and API keys with recent access keep it while the database is unavailable; 0 for none."""

    oidc_client_id: str | None = None
    """Client ID of the console at the identity provider. If not set, the console is off."""
    oidc_client_secret: SecretStr | None = None
    """Client secret of the console, if the identity provider issued one."""
    session_key: SecretStr | None = None
    """Secret that encrypts the console's cookies: at least 32 random characters, the same for every process."""
    session_lifetime: PositiveDuration = timedelta(hours=8)
    """Maximum length of a console session."""
    session_idle: PositiveDuration = timedelta(hours=1)
    """Time without a request after which a console session ends."""
    role_check_interval: PositiveDuration = timedelta(minutes=15)
    """
    Time after which a console session asks the identity provider again whether the person still has their roles, with a
    refresh token. Without one, the person is sent through the provider's sign-in.
    """
    oidc_scope: str = "openid profile email"
    """
    Scopes that the console requests at sign-in. Add `offline_access` if the provider issues refresh tokens only with
    it.
    """
    recent_sign_in: Annotated[Duration | None, BeforeValidator(never)] = timedelta(minutes=30)
    """
    Maximum age of a sign-in with which staff may move money or give access: refunds, complimentary access, extensions,
    resumptions, approvals and API keys; `never` to accept a sign-in of any age.
    """
    recent_sign_in_acr: Separated = ()
    """
    Comma-separated authentication context classes (`acr`), one of which such a sign-in must have. If not set, any will
    do.
    """
    staff_token_max_age: PositiveDuration = timedelta(minutes=15)
    """Maximum age of an access token, since it was issued, with which staff may move money or give access in the API."""
    console_url: str | None = None
    """
    Public URL of the console, such as `https://billing.example.com/console`. If not set, it is taken from the request.
    """

    account: bool = False
    """
    Whether the hosted account at `/account` is on: pages where readers see and manage their subscription. It uses
    `NEWSSTAND_SESSION_KEY`, `NEWSSTAND_SESSION_LIFETIME` and `NEWSSTAND_SESSION_IDLE`, as the console does.
    """
    account_url: str | None = None
    """
    Public URL of the hosted account, such as `https://billing.example.com/account`. If not set, it is taken from the
    request. Required with a live key.
    """
    account_oidc_client_id: str | None = None
    """Client ID of the hosted account at the identity provider. If not set, the console's client is used."""
    account_oidc_client_secret: SecretStr | None = None
    """Client secret of the hosted account, if the identity provider issued one."""
    site_url: str | None = None
    """Public URL of your site, to which the hosted account links."""

    smtp_url: MailServer | None = None
    """
    URL of your mail server, such as `smtp://smtp.example.com:587`, with `user:password@` before the host if it requires a
    sign-in. `smtp` requires STARTTLS, except on this machine; `smtps` is for TLS from the first byte. If not set, email is
    off: readers get no notifications.
    """
    mail_from: Mailbox | None = None
    """Sender of notifications, such as `Slow Ferry <subscriptions@example.com>`. Required with `NEWSSTAND_SMTP_URL`."""
    mail_reply_to: Mailbox | None = None
    """Address to which readers' answers go. If not set, they go to the sender."""
    mail_templates: Path | None = None
    """Directory of your own templates of notifications. Each replaces the one with the same name."""
    mail_rate_limit: AllowedRate = Rate(10, timedelta(seconds=1))
    """Rate at which messages are handed to the mail server, all processes combined; 0 for no limit."""
    smtp_connections: int = Field(default=2, ge=1, le=50)
    """Number of connections to the mail server that a process opens at most."""
    smtp_timeout: PositiveDuration = timedelta(seconds=20)
    """Time-out for an answer of the mail server."""

    bounce_secrets: SigningSecrets = ()
    """
    Comma-separated secrets with which your email provider signs its reports of emails that came back, as Standard
    Webhooks: each `whsec_` and 24 to 64 random bytes in base64. Each one is accepted, so keep the old one during a
    rotation. If not set, reports need an API key.
    """

    allowed_return_hosts: Hosts = ("127.0.0.1:8080", "localhost:8080")
    """Comma-separated hosts that readers may be sent back to, each as `host` or `host:port`."""
    clock_url: str | None = None
    """URL of a Stripe test clock that terms and access follow, for rehearsals. Refused with a live key."""
    catalogue: Path = Path("catalogue.toml")
    """Path of the catalogue file."""
    publisher_timezone: str = "America/Chicago"
    """Time zone of the dates that people see, and of the day on which a guarantee ends."""
    publisher_locale: str = "en_US"
    """Locale in which people see prices and dates, such as `en_US` or `de_DE`."""

    renewal_allowance: Duration = timedelta(days=3)
    """Time for which access continues after a term while the renewal's payment is pending."""
    grace_period: Duration = timedelta(days=14)
    """Time for which access continues after a term if the renewal's payment failed."""
    worker_concurrency: int = Field(default=10, ge=1, le=100)
    """Number of subscriptions that a worker handles at the same time. The connection pool should not be smaller."""
    backlog_threshold: int = Field(default=500, ge=1)
    """
    Number of waiting subscriptions above which they are fetched by listing, 100 per call, if that takes fewer calls.
    """
    event_attempts: int = Field(default=12, ge=1, le=100)
    """Number of attempts after which an event counts as dead."""
    lease: PositiveDuration = timedelta(seconds=15)
    """Time after which the work of a crashed worker is free for another."""
    degraded_after: Duration = timedelta(minutes=5)
    """Age of the oldest unapplied event at which `/readyz` reports `degraded`."""
    drain_delay: Duration = timedelta(seconds=3)
    """Time after SIGTERM in which `newsstand serve` still handles requests while `/readyz` answers 503."""
    events_kept: Duration = timedelta(days=35)
    """
    Retention period of events that were applied or ignored, from their receipt. At least 31 days, because Stripe lists
    its events for 30 days, and reconciliation would take those that were deleted earlier for missing ones.
    """
    webhook_networks: Networks = ()
    """
    Private networks that webhooks may be sent to, such as `10.0.0.0/8`, separated by commas. Without any, only public
    addresses are connected to, and only over `https`.
    """
    outbox_kept: Duration = timedelta(days=30)
    """Retention period of the events for the publisher's systems, and of the log of their deliveries."""
    former_contacts_kept: Duration = timedelta(days=365)
    """Retention period of readers' former email addresses and names, by which staff find them."""
    former_readers_kept: Duration | None = None
    """
    Time after which a reader is erased whose last subscription and access have ended, or who never had any. If not set,
    readers are only erased on request. Consider how long tax law and chargebacks need them.
    """
    addresses_kept: Duration = timedelta(days=1095)
    """
    Retention period of the addresses on frozen label runs, and of former postal addresses. Claims and auditors of
    circulation ask for them. Afterwards, a run keeps its counts, and its file has no addresses.
    """
    notes_kept: Duration = timedelta(days=1095)
    """Retention period of notes: why staff refunded, approved or dismissed something, in words."""
    reader_views_kept: Duration = timedelta(days=365)
    """Retention period of the record of which member of staff saw which reader."""
    reconcile_at: Annotated[time | None, BeforeValidator(never)] = time(3, 30)
    """Time of the nightly reconciliation with Stripe, in the publisher's time zone; `never` to run it only manually."""
    claim_by_email: bool = True
    """Whether a reader with a verified email address receives the subscription that was imported for it."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Minimum level of log messages: `DEBUG`, `INFO`, `WARNING` or `ERROR`."""

    @field_validator(
        "webhook_secrets",
        "allowed_hosts",
        "allowed_origins",
        "allowed_return_hosts",
        "token_secrets",
        "recent_sign_in_acr",
        mode="before",
    )
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("token_secrets")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < SHORTEST_SECRET for secret in value):
            raise ValueError(f"each must have at least {SHORTEST_SECRET} random characters")
        return value

    @field_validator("recent_sign_in_acr")
    @classmethod
    def _acr_values(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ACR.fullmatch(name) for name in value):
            raise ValueError("must be names without spaces, quotes or backslashes")
        return value

    @field_validator("gate_cookie")
    @classmethod
    def _cookie_name(cls, value: str | None) -> str | None:
        if value is not None and not _COOKIE_NAME.fullmatch(value):
            raise ValueError("must be a valid cookie name")
        return value

    @field_validator("publisher_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:  # OSError: a folder such as America
            raise ValueError("must be an IANA time zone, such as America/Chicago") from unknown
        return value

    @field_validator("publisher_locale")
    @classmethod
    def _known_locale(cls, value: str) -> str:
        try:
            found = Locale.parse(value.replace("-", "_"))
            if found.language == "root" or found.variant == "POSIX":  # C and POSIX: no people's
                raise ValueError(f"{value} is of no language")
            return str(found)
        except (UnknownLocaleError, ValueError) as unknown:
            raise ValueError("must be a locale, such as en_US or de_DE") from unknown

    @field_validator("stripe_url", "oidc_issuer", "clock_url", "console_url", "account_url", "site_url")
    @classmethod
    def _http_address(cls, value: str | None) -> str | None:
        return web_address(value) if value is not None else None

    @property
    def livemode(self) -> bool:
        """Whether real money moves."""
        return self.stripe_api_key.get_secret_value().startswith(("sk_live_", "rk_live_"))

    @property
    def internal_pages_access(self) -> str:
        """Who may open the pages for operators on the public port."""
        return self.internal_pages or ("off" if self.livemode else "open")

    @property
    def overall_rate(self) -> float:
        """Maximum calls per second to Stripe, all processes combined; 0 for no limit. Lower with a test key."""
        testing = self.stripe_url == STRIPE and not self.livemode
        return min(self.stripe_rate_limit, TEST_RATE) if testing else self.stripe_rate_limit

    @property
    def locale(self) -> Locale:
        """Locale of the prices and dates that people see."""
        return Locale.parse(self.publisher_locale)

    @property
    def zone(self) -> ZoneInfo:
        """Time zone of the dates that people see."""
        return ZoneInfo(self.publisher_timezone)
