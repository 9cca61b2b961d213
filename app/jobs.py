"""
The tables of background work: the job for each kind of due row, and the handler for each kind of object in an event.

A new kind of due row is one more line in :data:`ROW_JOBS`, a new kind of object one more line in :func:`event_handlers`.
Which event types are about which kind of object is in :data:`app.domain.events.FAMILIES`.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from app.context import Context
from app.db import derivations as derivations_db
from app.db import inbox
from app.db import notifications as notifications_db
from app.db import reader_names as reader_names_db
from app.db.engine import connection_budget, leases
from app.db.engine.dsn import listen_dsn
from app.db.engine.outages import report
from app.db.engine.session import Session
from app.db.retention import Progress
from app.domain import events
from app.domain.reconciliation import until_next
from app.domain.subscriptions import StripeSubscriptionState
from app.domain.webhook_endpoints import MOST_ENDPOINTS
from app.gateway.rate_limits import backlog
from app.services import (
    addresses,
    audit,
    cancellations,
    checkout,
    contacts,
    customers,
    dashboard_stats,
    derivations,
    duplicates,
    erasures,
    idempotency,
    label_runs,
    notifications,
    payments,
    price_migrations,
    print_changes,
    reader_names,
    reader_views,
    reconciliation,
    refunds,
    retention,
    revocations,
    subscriptions,
    webhook_deliveries,
    webhooks,
)
from app.services import events as inbox_events
from app.worker import Claim, Job, Worker, run_rows


class RowUseCase(Protocol):
    """Completes the work of one due row."""

    async def __call__(self, ctx: Context, row_id: str, /, *, now: datetime) -> object: ...


class UseCase(Protocol):
    """Does what is due by policy time."""

    async def __call__(self, ctx: Context, /, *, now: datetime) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RowJob:
    """The job for each due row of a table."""

    table: str
    use_case: RowUseCase
    all_rows_at_once: bool = False  # one call completes every due row

    @property
    def claim(self) -> Claim | None:
        """How rows are claimed. If one call completes all, one row is claimed, because millions may be due."""
        return partial(leases.claim, table=self.table, per_key=1) if self.all_rows_at_once else None


async def seal_audit_log(ctx: Context, _row_id: str, /, *, now: datetime) -> None:
    """Add the new entries of the audit log to its chain."""
    await audit.seal(ctx)


async def update_dashboard(ctx: Context, _row_id: str, /, *, now: datetime) -> None:
    """Compute the numbers of the console's dashboard."""
    await dashboard_stats.update(ctx, now=now)


async def push_contact(ctx: Context, change_id: str, /, *, now: datetime) -> None:
    """Update a reader's customer at Stripe after their address or name changed."""
    await contacts.push(ctx, change_id)


async def push_address(ctx: Context, address_id: str, /, *, now: datetime) -> None:
    """Update a reader's customer at Stripe after their postal address changed."""
    await addresses.push(ctx, address_id)


async def act_on_declaration(ctx: Context, declaration_id: str, /, *, now: datetime) -> None:
    """Find the contract that a cancellation is about, or end one whose notice has run."""
    await cancellations.act(ctx, declaration_id, now=now)
    await refunds.finish_exit(ctx, declaration_id, now=now)


async def remove_expired_data(ctx: Context, _run_id: str, /, *, now: datetime) -> None:
    """Remove personal data that has no use anymore, and order the erasure of readers who left long ago."""

    what = "readers who left long ago"

    async def order_erasures(progress: Progress) -> None:
        with backlog():
            progress.count(what, await erasures.order_inactive(ctx, now=now))

    await retention.run(ctx, now=ctx.clock.real(), others={what: order_erasures})


async def list_subscriptions(ctx: Context, migration_id: str, /, *, now: datetime) -> None:
    """List the subscriptions of a price migration."""
    with backlog():
        await price_migrations.list_subscriptions(ctx, migration_id, now=now)


async def advance_price(ctx: Context, change_id: str, /, *, now: datetime) -> None:
    """Do what is next for the price of a subscription."""
    with backlog():
        await price_migrations.advance(ctx, change_id, now=now)


async def reconcile(ctx: Context, sweep_id: str, /, *, now: datetime) -> None:
    """Run a scheduled reconciliation, and schedule the next one."""
    with backlog():
        await reconciliation.run(ctx, sweep_id, now=now)
    await schedule_reconciliation(ctx)


ROW_JOBS = (
    RowJob(table="refunds", use_case=refunds.finish),
    RowJob(table="subscriptions", use_case=cancellations.finish),
    RowJob(table="declarations", use_case=act_on_declaration),
    RowJob(table="print_changes", use_case=print_changes.finish),
    RowJob(table="price_migrations", use_case=list_subscriptions),
    RowJob(table="price_changes", use_case=advance_price),
    RowJob(table="contact_changes", use_case=push_contact),
    RowJob(table="postal_addresses", use_case=push_address),
    RowJob(table="derivation_runs", use_case=derivations.queue_affected),
    RowJob(table="audit_unsealed", use_case=seal_audit_log, all_rows_at_once=True),
    RowJob(table="figures", use_case=update_dashboard),
    RowJob(table="sweeps", use_case=reconcile),
    RowJob(table="erasures", use_case=erasures.finish),
    RowJob(table="retention_runs", use_case=remove_expired_data),
)

# What a worker does while a restored database is brought up to date: it applies what Stripe says, and completes refunds and
# ends that were promised, for which it asks Stripe first. Everything else waits until the data is current: what is done
# because a time has come, and what speaks to readers and other systems. By the old data, a contract would end that was
# resumed since, or a reader be erased who looks like one who left long ago.
RECOVERS = frozenset(
    {
        "events",
        "refunds",
        "subscriptions",
        "calendar_work",
        "derivation_runs",
        "audit_unsealed",
        "reader_name_parts",
    }
)

CLOCK_SECONDS = 0.5  # between two looks at a test clock, which is asked over HTTP
NOTIFICATIONS = RowJob(table="notifications", use_case=notifications.deliver)


def event_handlers(
    ctx: Context, *, now: datetime, version: int | None = None, fetched: StripeSubscriptionState | None = None
) -> dict[str, webhooks.Handler]:
    """
    Return the handler for each kind of object that an event can be about. It gets the object's ID.

    :param version: of our copy, if the object is a subscription whose version is known.
    :param fetched: the subscription's state, if it was fetched since.
    """
    return {
        events.RefetchKind.SUBSCRIPTION: partial(subscriptions.sync, ctx, now=now, version=version, fetched=fetched),
        events.RefetchKind.INVOICE: partial(subscriptions.redirect_invoice, ctx),
        events.RefetchKind.PENDING_PAYMENT: partial(subscriptions.redirect_payment, ctx),
        events.RefetchKind.CREDITED_INVOICE: partial(subscriptions.sync_credited_invoice, ctx, now=now),
        events.RefetchKind.PAYMENT: partial(payments.sync, ctx, now=now),
        events.RefetchKind.CHARGE: partial(payments.redirect_charge, ctx),
        events.RefetchKind.DISPUTE: partial(payments.redirect_dispute, ctx),
        events.RefetchKind.DUPLICATES: partial(duplicates.resolve, ctx, now=now),
        events.RefetchKind.CHECKOUT: partial(checkout.sync, ctx, now=now),
        events.RefetchKind.CUSTOMER: partial(customers.sync, ctx, now=now),
    }


def make_worker(ctx: Context, *, is_recovery: bool = False, listener_name: str | None = None) -> Worker:
    """
    Return a worker that runs every job.

    :param is_recovery: whether a restored database is brought up to date. Then it runs only the jobs of :data:`RECOVERS`,
        and no housekeeping.
    :param listener_name: of its connection for notifications: see :mod:`app.db.engine.connection_budget`.
    """
    jobs = Jobs(ctx)
    return Worker(
        ctx.sessions,
        [job for job in jobs.every_job() if not is_recovery or job.table in RECOVERS],
        housekeeping=jobs.housekeeping if not is_recovery else None,
        lease=ctx.settings.lease,
        listen_dsn=listen_dsn(ctx.settings, ctx.dsn),
        listener_name=listener_name,
        concurrency=ctx.settings.worker_concurrency,
        catch_up=jobs.catch_up,
    )


class Jobs:
    """Runs the jobs of one process."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._event_closer = webhooks.event_closer(ctx)
        self._is_deriving = False
        self._is_indexing = False
        self.deliverer = webhook_deliveries.Deliverer(ctx, ctx.webhook_sender, ctx.clock.real)
        self._progress = derivations.ProgressLog()
        self._clock_asked_at = 0.0  # in monotonic seconds

    def every_job(self) -> list[Job]:
        """Return the job for each table with due rows."""
        return [
            Job(table="events", run=self.apply_events, claim=inbox.claim),
            Job(table="calendar_work", run=self.derive_slice, claim=self.claim_slice),
            Job(
                table="notifications",
                run=partial(self.run_row_job, NOTIFICATIONS),
                claim=self.claim_notifications,
                polls=self._ctx.settings.clock_url is not None,
            ),
            Job(table="outbox_events", run=self.deliverer.queue, claim=self.deliverer.claim_events),
            Job(
                table="webhook_lanes",
                run=self.deliverer.deliver,
                claim=self.deliverer.claim,
                concurrency=webhook_deliveries.CLAIMED * MOST_ENDPOINTS,
            ),
            Job(table="reader_name_parts", run=self.index_names, claim=self.claim_names),
            *(Job(table=job.table, run=partial(self.run_row_job, job), claim=job.claim) for job in ROW_JOBS),
        ]

    async def run_row_job(self, job: RowJob, claimed: leases.Claimed, owner: str) -> None:
        """Complete the due rows of a key."""
        run = partial(job.use_case, self._ctx, now=await self._ctx.clock.policy())
        await run_rows(self._ctx.sessions, job.table, claimed, owner, run)

    async def apply_events(
        self, claimed: leases.Claimed, owner: str, *, fetched: StripeSubscriptionState | None = None
    ) -> None:
        """Apply the events about one object."""
        now = await self._ctx.clock.policy()
        handlers = event_handlers(self._ctx, now=now, version=claimed.version, fetched=fetched)
        max_attempts = self._ctx.settings.event_attempts
        with backlog():
            await webhooks.apply(
                self._ctx, handlers, claimed, owner=owner, max_attempts=max_attempts, closer=self._event_closer
            )

    async def claim_slice(
        self, session: Session, /, *, owner: str, lease: timedelta, limit: int
    ) -> Sequence[leases.Claimed]:
        """
        Claim a slice of the queue of derivations, one at a time in each process.

        The slice is one transaction that locks its rows, so it needs no lease.
        """
        if self._is_deriving or not await derivations_db.is_due(session):
            return []
        return [leases.Claimed(key="derivations", ids=(), attempts=0)]

    async def derive_slice(self, _: leases.Claimed, _owner: str) -> None:
        """Derive the grants of a slice of the queue."""
        self._is_deriving = True
        try:
            await derivations.derive_slice(self._ctx, now=await self._ctx.clock.policy())
            await self._progress.log(self._ctx)
        finally:
            self._is_deriving = False

    async def claim_notifications(
        self, session: Session, /, *, owner: str, lease: timedelta, limit: int
    ) -> Sequence[leases.Claimed]:
        """Claim due notifications. Those that a test clock has reached become due first."""
        asked_before = time.monotonic() - self._clock_asked_at
        if self._ctx.settings.clock_url is not None and asked_before > CLOCK_SECONDS:
            self._clock_asked_at = time.monotonic()
            await notifications_db.make_due(session, now=await self._ctx.clock.policy(), limit=limit)
        return await leases.claim(session, "notifications", owner=owner, lease=lease, limit=limit)

    async def claim_names(
        self, session: Session, /, *, owner: str, lease: timedelta, limit: int
    ) -> Sequence[leases.Claimed]:
        """Claim a slice of the names to index, one at a time in each process. It needs no lease, as its rows are locked."""
        if self._is_indexing or not await reader_names_db.is_due(session):
            return []
        return [leases.Claimed(key="reader_names", ids=(), attempts=0)]

    async def index_names(self, _: leases.Claimed, _owner: str) -> None:
        """Index a slice of the readers' names."""
        self._is_indexing = True
        try:
            await reader_names.index_slice(self._ctx)
        finally:
            self._is_indexing = False

    async def catch_up(self, owner: str) -> bool:
        """Apply a large backlog of events by listing; return whether there was one."""

        async def apply(claimed: leases.Claimed, fetched: StripeSubscriptionState | None) -> None:
            await self.apply_events(claimed, owner, fetched=fetched)

        with backlog():
            return await webhooks.catch_up(self._ctx, partial(subscriptions.fetch_all, self._ctx), apply, owner=owner)

    async def housekeeping(self) -> None:
        """
        Delete rows that are past their retention period, and start what is due by policy time or by the settings.

        A step that fails is reported, and the others are run all the same.
        """
        ctx = self._ctx
        steps: Mapping[str, Callable[[], Awaitable[object]]] = {
            "idempotency": lambda: idempotency.prune(ctx),
            "revocations": lambda: revocations.prune(ctx),
            "events": lambda: inbox_events.prune(ctx),
            "payloads": lambda: inbox_events.reduce_payloads(ctx),
            "reader_views": lambda: reader_views.prune(ctx),
            "retention": lambda: retention.schedule(ctx),
            "caller_limits": lambda: ctx.caller_limits.prune(),
            "reconciliation": lambda: schedule_reconciliation(ctx),
            "connections": lambda: connection_budget.check_running(ctx.settings, ctx.dsn),
            "unknown_issues": lambda: label_runs.queue_unknown(ctx),
            "announcements": lambda: self._run_now(label_runs.announce),
            "checks": lambda: self._run_now(subscriptions.request_checks),
            "price_migrations": lambda: self._run_now(price_migrations.queue_due),
        }
        for name, step in steps.items():
            try:
                await step()
            except Exception as failure:  # the other steps don't need this one
                report("housekeeping_failed", failure, step=name)

    async def _run_now(self, use_case: UseCase) -> None:
        await use_case(self._ctx, now=await self._ctx.clock.policy())


async def schedule_reconciliation(ctx: Context) -> None:
    """Schedule the next reconciliation as the settings say."""
    at, now = ctx.settings.reconcile_at, ctx.clock.real()
    due_in = until_next(at, now=now, zone=ctx.settings.zone) if at is not None else None
    await reconciliation.schedule(ctx, due_in=due_in)
