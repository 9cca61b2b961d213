"""The change of one subscription: announced, made at Stripe, completed. See :mod:`app.services.price_migrations`."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from app.aggregates import intents as stored
from app.aggregates import sync_subscription
from app.context import Context
from app.db import audit, intents, price_migrations, subscribers
from app.db.engine.session import Session
from app.domain.errors import ConcurrentUpdate
from app.domain.price_migrations import (
    CHECKED_AGAIN,
    OPEN,
    QUOTED_AGAIN_AHEAD,
    SWITCHED_AHEAD,
    ChangeStatus,
    Keep,
    Keeps,
    Planned,
    PriceChange,
    PriceMigration,
    Quote,
    Terms,
    Wait,
    decide,
    has_new_price,
    is_as_announced,
    terms_of,
    was_told_in_time,
)
from app.domain.subscriptions import OVER, StripeSubscriptionState
from app.gateway import price_migrations as at_stripe
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gone

NO_TIME = timedelta()
REPEATED = timedelta(seconds=30)  # after which a request without a recorded answer is repeated
ACTION = "price_switch"  # of the request to Stripe


async def advance(ctx: Context, change_id: str, /, *, now: datetime) -> None:
    """
    Do what is next for a change.

    :raises StripeUnavailable: call again.
    """
    async with ctx.sessions.begin() as session:
        change = await price_migrations.change_by_id(session, change_id)
        migration = await price_migrations.by_id(session, change.migration_id) if change is not None else None
        if change is None or migration is None or change.status not in OPEN:
            await price_migrations.clear_change_due(session, change_id)
            return
    try:
        seen = await subscriptions_at_stripe.fetch(ctx.gateway, change.stripe_id)
    except Gone:
        await _keep(ctx, change, Keeps.ENDED)
        return
    try:
        if change.status == ChangeStatus.SWITCHED:
            await _complete(ctx, change, seen, now=now)
        elif change.status in (ChangeStatus.ANNOUNCED, ChangeStatus.SWITCHING):
            await _switch(ctx, change, migration, seen, now=now)
        else:
            await _announce(ctx, change, migration, seen, now=now)
    except ConcurrentUpdate:  # it was stopped, or another process was faster
        async with ctx.sessions.begin() as session:
            latest = await price_migrations.change_by_id(session, change_id)
            if latest is None or latest.status not in OPEN:
                await price_migrations.clear_change_due(session, change_id)
                return
        raise


async def _announce(
    ctx: Context, change: PriceChange, migration: PriceMigration, seen: StripeSubscriptionState, *, now: datetime
) -> None:
    """Quote the renewal and tell the reader, once its day has come."""
    decided = decide(seen, _terms(ctx, migration), is_ours=True, now=now)
    if isinstance(decided, Keep):
        await _keep(ctx, change, decided.reason)
        return
    planned = _planned(change, decided)
    if isinstance(decided, Wait) or decided.announce_at > now:
        await _save(ctx, change, planned)
        return
    quote = await _quote(ctx, decided, change.stripe_id)
    if quote.total == quote.before:  # such as with a coupon that pays for everything
        await _keep(ctx, change, Keeps.UNCHANGED if quote.total else Keeps.COMPLIMENTARY)
        return
    told = replace(
        planned,
        status=ChangeStatus.ANNOUNCED,
        quote=quote,
        announced_at=now,
        act_at=max(now, decided.renewal_at - QUOTED_AGAIN_AHEAD),
    )
    async with ctx.sessions.begin() as session:
        await _lock(session, change)
        await price_migrations.save_change(session, told)
        await _record(session, change, told, migration, "price_change.announced")


async def _switch(
    ctx: Context, change: PriceChange, migration: PriceMigration, seen: StripeSubscriptionState, *, now: datetime
) -> None:
    """Give the items their new price, if the reader was told of exactly that in time."""
    if has_new_price(change, seen):  # the process that asked Stripe stopped before it recorded the answer
        await _record_switch(ctx, change, migration)
        return
    decided = decide(seen, _terms(ctx, migration), is_ours=True, now=now, least=NO_TIME)
    if isinstance(decided, Keep):
        await _keep(ctx, change, decided.reason)
    elif isinstance(decided, Wait):
        has_renewed = change.renewal_at is None or change.renewal_at <= now  # at the old price
        waiting = replace(change, act_at=decided.until)
        await _save(ctx, change, _planned(change, decided) if has_renewed else waiting)
    elif not is_as_announced(change, decided, await _quote(ctx, decided, change.stripe_id)):
        await _plan_again(ctx, change, migration, seen, now=now)
    elif now < decided.renewal_at - SWITCHED_AHEAD:
        await _save(ctx, change, replace(change, act_at=decided.renewal_at - SWITCHED_AHEAD))
    elif not was_told_in_time(change, change.announced_at):
        await _plan_again(ctx, change, migration, seen, now=now)
    else:
        await _ask_stripe(ctx, change, migration, now=now)


async def _ask_stripe(ctx: Context, change: PriceChange, migration: PriceMigration, *, now: datetime) -> None:
    parameters = at_stripe.switch(change.items)
    switching = replace(change, status=ChangeStatus.SWITCHING, act_at=None)
    async with ctx.sessions.begin() as session:
        await _lock(session, change)
        intent = await intents.record(session, change.id, ACTION, parameters)
        if intent.parameters != parameters:
            await intents.settle(session, intent.key)
            intent = await intents.record(session, change.id, ACTION, parameters)
        await price_migrations.save_change(session, switching, again_in=REPEATED)
    request = subscriptions_at_stripe.update(ctx.gateway, change.stripe_id, intent.parameters, key=intent.key)
    await stored.send(ctx.sessions, intent, request)
    await _record_switch(ctx, switching, migration, key=intent.key)
    fetch = partial(subscriptions_at_stripe.fetch, ctx.gateway, change.stripe_id)
    await sync_subscription.fetch_and_save(ctx.sessions, ctx.rules, change.stripe_id, fetch, now=now)


async def _record_switch(
    ctx: Context, change: PriceChange, migration: PriceMigration, *, key: str | None = None
) -> None:
    switched = replace(change, status=ChangeStatus.SWITCHED, act_at=change.renewal_at)
    async with ctx.sessions.begin() as session:
        await _lock(session, change)
        if key is not None:
            await intents.settle(session, key)
        await price_migrations.save_change(session, switched)
        await _record(session, change, switched, migration, "price_change.made")


async def _complete(ctx: Context, change: PriceChange, seen: StripeSubscriptionState, *, now: datetime) -> None:
    """Complete a change whose renewal has come."""
    renewal_at, period = change.renewal_at, seen.period
    if seen.status in OVER or period is None or renewal_at is None:
        await _keep(ctx, change, Keeps.ENDED)
    elif period[0] >= renewal_at:
        await _save(ctx, change, replace(change, status=ChangeStatus.COMPLETED, act_at=None))
    else:  # Stripe has not renewed it yet
        await _save(ctx, change, replace(change, act_at=max(renewal_at, now) + CHECKED_AGAIN))


async def _plan_again(
    ctx: Context, change: PriceChange, migration: PriceMigration, seen: StripeSubscriptionState, *, now: datetime
) -> None:
    """Plan a change anew, because it is not as announced: for the same renewal with another notice, or for a later one."""
    decided = decide(seen, _terms(ctx, migration), is_ours=True, now=now)
    if isinstance(decided, Keep):
        await _keep(ctx, change, decided.reason)
    else:
        await _save(ctx, change, _planned(change, decided))


async def _keep(ctx: Context, change: PriceChange, reason: Keeps) -> None:
    """Let the subscription keep its price."""
    kept = replace(change, status=ChangeStatus.STOPPED, reason=reason, act_at=None)
    async with ctx.sessions.begin() as session:
        await _lock(session, change)
        await price_migrations.save_change(session, kept)
        await audit.record(
            session,
            actor="policy",
            action="price_change.stopped",
            object_id=change.id,
            subscriber_id=change.subscriber_id,
            reason=reason,
            before={"status": change.status},
            after={"status": kept.status},
        )


async def _save(ctx: Context, before: PriceChange, after: PriceChange) -> None:
    async with ctx.sessions.begin() as session:
        await _lock(session, before)
        await price_migrations.save_change(session, after)


async def _lock(session: Session, change: PriceChange) -> None:
    """
    Lock a change.

    :raises ConcurrentUpdate: it was stopped, or another process has done its step.
    """
    if change.subscriber_id is not None:
        await subscribers.lock(session, change.subscriber_id)
    latest = await price_migrations.change_by_id(session, change.id, lock=True)
    if latest is None or latest.status != change.status:
        raise ConcurrentUpdate("Another process has changed this")


async def _quote(ctx: Context, decided: Planned, stripe_id: str) -> Quote:
    before, _ = await at_stripe.renewal(ctx.gateway, stripe_id)
    total, tax = await at_stripe.renewal(ctx.gateway, stripe_id, decided.items)
    return Quote(total=total, tax=tax, before=before)


def _terms(ctx: Context, migration: PriceMigration) -> Terms:
    return terms_of(ctx.catalogue.plan(migration.plan), migration)


def _planned(change: PriceChange, decided: Planned | Wait) -> PriceChange:
    """Return the change with its reader to be told, again."""
    anew = replace(change, status=ChangeStatus.PLANNED, items=(), renewal_at=None, quote=None, announced_at=None)
    if isinstance(decided, Wait):
        return replace(anew, act_at=decided.until)
    return replace(anew, items=decided.items, renewal_at=decided.renewal_at, act_at=decided.announce_at)


async def _record(
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
