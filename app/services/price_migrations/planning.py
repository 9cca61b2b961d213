"""Which subscriptions a migration is about: listed at Stripe by their price, 100 in a call."""

from collections.abc import AsyncIterator
from datetime import datetime

import structlog

from app.context import Context
from app.db import audit, price_migrations, subscriptions
from app.domain.price_migrations import (
    PREPARED_AHEAD,
    ChangeStatus,
    Keep,
    MigrationStatus,
    Planned,
    PriceChange,
    PriceMigration,
    Terms,
    Wait,
    decide,
    terms_of,
)
from app.domain.prices import product_id
from app.domain.subscriptions import StripeSubscriptionState, Subscription
from app.gateway import price_migrations as at_stripe
from app.gateway import prices

log = structlog.get_logger()


async def preview(ctx: Context, migration: PriceMigration, *, now: datetime) -> AsyncIterator[list[PriceChange]]:
    """
    Yield the changes that a migration would make, in batches. Changes nothing.

    A subscription with two prices to change is yielded once.
    """
    terms = terms_of(ctx.catalogue.plan(migration.plan), migration)
    seen: set[str] = set()
    for price_id in await _other_prices(ctx, migration):
        async for states in at_stripe.with_price(ctx.gateway, price_id):
            new = [state for state in states if state.id not in seen]
            seen.update(state.id for state in new)
            async with ctx.sessions.begin() as session:
                ours = await subscriptions.by_stripe_ids(session, [state.id for state in new])
            yield [_change(migration, terms, state, ours.get(state.id), now=now) for state in new]


async def list_subscriptions(ctx: Context, migration_id: str, /, *, now: datetime) -> None:
    """
    Store a change for each subscription of a migration. Those that it has already are left as they are.

    :raises StripeUnavailable: call again; nothing is stored twice.
    """
    async with ctx.sessions.begin() as session:
        migration = await price_migrations.by_id(session, migration_id)
        if migration is None or migration.ended_at is not None:
            await price_migrations.clear_due(session, migration_id)
            return
    async for batch in preview(ctx, migration, now=now):
        async with ctx.sessions.begin() as session:
            found = await price_migrations.by_id(session, migration_id, lock=True)
            if found is None or found.ended_at is not None:
                return
            await price_migrations.add_changes(session, batch)
    async with ctx.sessions.begin() as session:
        await price_migrations.set_listed(session, migration_id, listed_at=now)
        await price_migrations.set_status(session, migration_id, MigrationStatus.RUNNING)
    await queue_due(ctx, now=now)


async def queue_due(ctx: Context, *, now: datetime) -> int:
    """Make the changes due whose time has come; return how many. Finish the migrations that have none left."""
    total = 0
    while True:
        async with ctx.sessions.begin() as session:
            count = await price_migrations.queue_due(session, now=now)
        total += count
        if count < price_migrations.BATCH:
            break
    async with ctx.sessions.begin() as session:
        for migration in await price_migrations.running(session):
            if await price_migrations.finish(session, migration.id, now=now):
                await audit.record(
                    session,
                    actor="policy",
                    action="price_migration.finished",
                    object_id=migration.id,
                    before={"status": migration.status},
                    after={"status": MigrationStatus.FINISHED},
                )
    return total


async def _other_prices(ctx: Context, migration: PriceMigration) -> list[str]:
    """Return the IDs of the prices of the targets' products, apart from the targets."""
    new = {target.price_id for target in migration.targets}
    return [
        price.id
        for target in migration.targets
        for price in await prices.of_product(ctx.gateway, product_id(migration.plan, target.component))
        if price.id not in new
    ]


def _change(
    migration: PriceMigration,
    terms: Terms,
    state: StripeSubscriptionState,
    ours: Subscription | None,
    *,
    now: datetime,
) -> PriceChange:
    decided = decide(state, terms, is_ours=ours is not None, now=now)
    act_at = None
    if isinstance(decided, Planned):
        act_at = max(now, decided.renewal_at - PREPARED_AHEAD)
    elif isinstance(decided, Wait):
        act_at = decided.until
    return PriceChange(
        id=price_migrations.new_change_id(),
        migration_id=migration.id,
        subscription_id=ours.id if ours is not None else None,
        subscriber_id=ours.subscriber_id if ours is not None else None,
        stripe_id=state.id,
        status=ChangeStatus.LEFT_OUT if isinstance(decided, Keep) else ChangeStatus.PLANNED,
        reason=decided.reason if isinstance(decided, Keep) else None,
        currency=state.currency,
        items=decided.items if isinstance(decided, Planned) else (),
        renewal_at=decided.renewal_at if isinstance(decided, Planned) else None,
        act_at=act_at,
    )
