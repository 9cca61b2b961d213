"""What each step of a change of price stores, while it holds the lock of the change."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from app.aggregates import notifications
from app.context import Context
from app.db import audit, intents, price_migrations, subscribers
from app.db.engine.session import Session
from app.domain.errors import ConcurrentUpdate
from app.domain.price_migrations import ChangeStatus, MigrationStatus, PriceChange, PriceMigration
from app.domain.rules import Rules

ACTION = "price_switch"  # of the request to Stripe


async def lock(session: Session, change: PriceChange, *, among: Collection[ChangeStatus] = ()) -> PriceChange:
    """
    Lock a change, and return it as it is now.

    :param among: the statuses that it may have; none: the one that it had.

    :raises ConcurrentUpdate: it was stopped, or another process has done its step.
    """
    if change.subscriber_id is not None:
        await subscribers.lock(session, change.subscriber_id)
    latest = await price_migrations.change_by_id(session, change.id, lock=True)
    if latest is None or latest.status not in (among or (change.status,)):
        raise ConcurrentUpdate("Another process has changed this")
    return latest


async def lock_running(session: Session, change: PriceChange) -> None:
    """
    Do as :func:`lock`, and make sure that the migration was not stopped since it was read.

    Stopping a migration waits for locked changes. A caller that locks a change afterwards sees the stop here.

    :raises ConcurrentUpdate: it was, or the change was.
    """
    await lock(session, change)
    migration = await price_migrations.by_id(session, change.migration_id)
    if migration is None or migration.status == MigrationStatus.STOPPED:
        raise ConcurrentUpdate("Its migration was stopped")


async def record_switch(ctx: Context, change: PriceChange, migration: PriceMigration, *, now: datetime) -> None:
    """
    Record that Stripe has the new price.

    Stripe may have answered only after the change was stopped. The reader keeps the new price all the same: it is the one
    they were told of.

    :raises ConcurrentUpdate: another process has recorded it.
    """
    switched = replace(change, status=ChangeStatus.SWITCHED, reason=None, act_at=change.renewal_at)
    async with ctx.sessions.begin() as session:
        asked = (ChangeStatus.SWITCHING, ChangeStatus.STOPPED)
        latest = await lock(session, change, among=asked if change.status in asked else (change.status,))
        key = await intents.open_key(session, change.id, ACTION)
        if key is not None:
            await intents.settle(session, key)
        await price_migrations.save_change(session, switched)
        await record(session, latest, switched, migration, "price_change.made")
        await follow(session, ctx.rules, switched, now=now)


async def follow(session: Session, rules: Rules, change: PriceChange, *, now: datetime) -> None:
    """Let the notices of the renewal name the price that it will have."""
    if change.subscriber_id is not None:
        await notifications.follow_reader(session, rules, change.subscriber_id, now=now)


async def record(
    session: Session, before: PriceChange, after: PriceChange, migration: PriceMigration, action: str
) -> None:
    assert after.quote is not None
    await audit.record(
        session,
        actor=migration.requested_by,
        action=action,
        object_id=after.id,
        subscriber_id=after.subscriber_id,
        reason=f"migration:{migration.id}",
        before={"status": before.status, "amount": after.quote.before, "currency": after.currency},
        after={
            "status": after.status,
            "amount": after.quote.total,
            "currency": after.currency,
            "renewal_at": after.renewal_at.isoformat() if after.renewal_at else None,
        },
    )
