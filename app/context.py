"""
The context of use cases, built once for each process.

A use case takes a :class:`Context` as its first argument. The time is not part of it: ``now`` is a parameter, so that one
request or job has one time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.clock import Clock
from app.db.caller_limits import CallerLimits
from app.db.engine.copying import CsvExports
from app.db.engine.fast_reads import FastReads
from app.db.engine.pool import Pool
from app.db.engine.session import Sessions
from app.db.inbox_writer import InboxWriter
from app.domain.dunning import AccessPolicy
from app.domain.plans import Catalogue
from app.domain.rules import Rules
from app.localization import Localization
from app.mail.smtp import Mailer
from app.mail.templates import Templates
from app.settings import Settings

if TYPE_CHECKING:  # commands that only need the database do not wait for Stripe's SDK
    from app.gateway.client import Gateway
    from app.gateway.webhook_deliveries import WebhookSender


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseContext:
    """The part of the context that needs neither Stripe nor a catalogue: enough for most of the operator's commands."""

    settings: Settings
    sessions: Sessions  # ``async with ctx.sessions.begin() as session`` opens a transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(DatabaseContext):
    """The settings, connections and rules that use cases need."""

    clock: Clock
    dsn: str  # of the database, which the embedded server chooses at its start
    pool: Pool  # of asyncpg connections, for queries where the cost of SQLAlchemy counts
    probes: Sessions  # for the probes only: they must answer when requests hold every other connection
    exports: CsvExports  # streams, with connections of their own
    inbox_writer: InboxWriter
    wake_workers: Callable[[], None]  # for new events
    follow_entitlements: Callable[[Callable[[str], None]], None]  # that this process changes
    gateway: "Gateway"
    webhook_sender: "WebhookSender"
    caller_limits: CallerLimits
    rules: Rules
    localization: Localization
    templates: Templates  # of notifications
    mailer: Mailer | None  # None: email is off

    @property
    def catalogue(self) -> Catalogue:
        """The plans, prices and features on offer."""
        return self.rules.catalogue

    @property
    def reads(self) -> FastReads:
        """What takes the place of a session where something is only read, outside a transaction."""
        return FastReads(self.pool)


def make_rules(settings: Settings, catalogue: Catalogue) -> Rules:
    """Return the rules that follow from the settings and the catalogue."""
    access = AccessPolicy(
        renewal_allowance=settings.renewal_allowance,
        grace_period=settings.grace_period,
        zone=settings.zone,
        wording=Localization(settings.locale, settings.zone),
    )
    return Rules(catalogue=catalogue, access=access, zone=settings.zone)
