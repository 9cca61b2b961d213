"""
The background jobs: what a worker does with each kind of due row, and with each kind of event.

A new kind of due row is one more entry in :func:`jobs`; a new kind of object that events are about is one more entry in
:func:`event_handlers`.
"""

from dataclasses import replace
from functools import partial

from app.context import Context
from app.db import inbox
from app.db.engine import leases
from app.db.engine.dsn import listen_dsn
from app.domain import events
from app.domain.reconciliation import until_next
from app.domain.subscriptions import StripeSubscriptionState
from app.gateway.rate_limits import backlog
from app.services import (
    audit,
    cancellations,
    checkout,
    customers,
    dashboard_stats,
    duplicates,
    idempotency,
    issues,
    payments,
    reconciliation,
    refunds,
    revocations,
    subscriptions,
    webhooks,
)
from app.services import events as stored_events
from app.worker import Job, Worker, attend


def make_worker(ctx: Context) -> Worker:
    """Return a worker with a job for each kind of work."""
    jobs = Jobs(ctx)
    return Worker(
        ctx.sessions,
        [
            Job(table="events", do=jobs.apply_events, claim=inbox.claim),
            Job(table="refunds", do=jobs.finish_refunds),
            Job(table="subscriptions", do=jobs.finish_cancellations),
            Job(table="calendar_work", do=jobs.follow_calendar),
            Job(table="audit_unsealed", do=jobs.seal_audit),
            Job(table="figures", do=jobs.count_figures),
            Job(table="sweeps", do=jobs.reconcile),
        ],
        tidy=jobs.tidy,
        lease=ctx.settings.lease,
        listen_dsn=listen_dsn(ctx.settings, ctx.dsn),
        at_once=ctx.settings.worker_concurrency,
        catch_up=jobs.catch_up,
    )


class Jobs:
    """The work of each kind, over one context."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._closing = webhooks.closing(ctx)

    async def apply_events(self, claimed: leases.Claimed, owner: str) -> None:
        """Apply the events about one object."""
        await self._apply(claimed, owner)

    async def catch_up(self, owner: str) -> bool:
        """Apply a large backlog of events by listing; return whether there was one."""

        async def do(claimed: leases.Claimed, seen: StripeSubscriptionState | None) -> None:
            await self._apply(claimed, owner, seen=seen)

        with backlog():
            return await webhooks.catch_up(self._ctx, partial(subscriptions.listed, self._ctx), do, owner=owner)

    async def finish_refunds(self, claimed: leases.Claimed, owner: str) -> None:
        """Finish the refunds of a payment."""
        finish = partial(refunds.finish, self._ctx, now=await self._ctx.clock.policy())
        await attend(self._ctx.sessions, "refunds", claimed, owner, finish)

    async def finish_cancellations(self, claimed: leases.Claimed, owner: str) -> None:
        """Finish the cancellation of a subscription."""
        finish = partial(cancellations.finish, self._ctx, now=await self._ctx.clock.policy())
        await attend(self._ctx.sessions, "subscriptions", claimed, owner, finish)

    async def follow_calendar(self, claimed: leases.Claimed, owner: str) -> None:
        """Apply a change of the calendar to the subscriptions that it concerns."""
        follow = partial(issues.follow, self._ctx, now=await self._ctx.clock.policy())
        await attend(self._ctx.sessions, "calendar_work", claimed, owner, follow)

    async def seal_audit(self, claimed: leases.Claimed, owner: str) -> None:
        """Add new audit entries to the chain. One call seals all that are pending."""
        once = replace(claimed, ids=claimed.ids[:1])
        await attend(self._ctx.sessions, "audit_unsealed", once, owner, partial(audit.seal, self._ctx))

    async def count_figures(self, claimed: leases.Claimed, owner: str) -> None:
        """Count the figures of the console's front page."""
        now = await self._ctx.clock.policy()

        async def count(_: str) -> None:
            await dashboard_stats.count(self._ctx, now=now)

        await attend(self._ctx.sessions, "figures", claimed, owner, count)

    async def reconcile(self, claimed: leases.Claimed, owner: str) -> None:
        """Compare our records with Stripe's."""

        async def run(sweep_id: str) -> None:
            with backlog():
                await reconciliation.run(self._ctx, sweep_id, now=await self._ctx.clock.policy())
            await self._keep_schedule()

        await attend(self._ctx.sessions, "sweeps", claimed, owner, run)

    async def tidy(self) -> None:
        """Delete what is past its retention, and schedule the next reconciliation."""
        await idempotency.prune(self._ctx)
        await revocations.prune(self._ctx)
        await stored_events.prune(self._ctx)
        await self._keep_schedule()

    async def _keep_schedule(self) -> None:
        settings, now = self._ctx.settings, self._ctx.clock.real()
        at = settings.reconcile_at
        due_in = until_next(at, now=now, zone=settings.zone) if at is not None else None
        await reconciliation.keep_schedule(self._ctx, due_in=due_in)

    async def _apply(self, claimed: leases.Claimed, owner: str, *, seen: StripeSubscriptionState | None = None) -> None:
        ctx, now = self._ctx, await self._ctx.clock.policy()
        handlers: dict[str, webhooks.Handler] = {
            events.SUBSCRIPTION: partial(subscriptions.refresh, ctx, now=now, version=claimed.version, seen=seen),
            events.INVOICE: partial(subscriptions.look_from_invoice, ctx),
            events.CREDITED: partial(subscriptions.refresh_credited, ctx, now=now),
            events.PAYMENT: partial(payments.follow, ctx, now=now),
            events.DUPLICATES: partial(duplicates.settle, ctx, now=now),
            events.DISPUTE: partial(payments.follow_dispute, ctx, now=now),
            events.CHECKOUT: partial(checkout.refresh, ctx),
            events.CUSTOMER: partial(customers.follow, ctx),
        }
        with backlog():
            most = ctx.settings.event_attempts
            await webhooks.apply(ctx, handlers, claimed, owner=owner, most=most, done=self._closing)
