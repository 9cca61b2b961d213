"""The change of one subscription: announced, made at Stripe, completed. See :mod:`app.services.price_migrations`."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from app.aggregates import intents as stored
from app.aggregates import notifications, sync_subscription
from app.context import Context
from app.db import anomalies, audit, intents, price_migrations, subscriptions
from app.db import notifications as notifications_db
from app.db.engine.session import Session
from app.domain.anomalies import RENEWAL_DIFFERS, renewal_difference, renewal_invoice
from app.domain.errors import ConcurrentUpdate
from app.domain.invoices import InvoiceStatus
from app.domain.money import Money
from app.domain.notifications import NotificationKind, money
from app.domain.price_migrations import (
    ANNOUNCED_AHEAD,
    CHECKED_AGAIN,
    OPEN,
    QUOTED_AGAIN_AHEAD,
    SWITCHED_AHEAD,
    ChangeStatus,
    Keep,
    Keeps,
    MigrationStatus,
    Planned,
    PriceChange,
    PriceMigration,
    Quote,
    Terms,
    Wait,
    announced_ahead,
    decide,
    has_new_price,
    is_as_announced,
    terms_of,
    was_told_in_time,
)
from app.domain.rules import Rules
from app.domain.subscriptions import OVER, StripeSubscriptionState
from app.gateway import price_migrations as at_stripe
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gone
from app.services.price_migrations.records import ACTION, follow, lock, lock_running, record, record_switch
from app.services.price_migrations.stopped import PRICE_STAYS, finish

NO_TIME = timedelta()
REPEATED = timedelta(seconds=30)  # after which a request without a recorded answer is repeated
ANSWERED_WITHIN = timedelta(minutes=10)  # a request to Stripe that a killed process had sent


async def advance(ctx: Context, change_id: str, /, *, now: datetime) -> None:
    """
    Do what is next for a change.

    :raises StripeUnavailable: call again.
    """
    async with ctx.sessions.begin() as session:
        change = await price_migrations.change_by_id(session, change_id)
        migration = await price_migrations.by_id(session, change.migration_id) if change is not None else None
        if change is None or migration is None or change.status not in (*OPEN, ChangeStatus.STOPPED):
            await price_migrations.clear_change_due(session, change_id)
            return
    if change.status == ChangeStatus.STOPPED:
        await finish(ctx, change, migration, now=now)
        return
    try:
        seen = await subscriptions_at_stripe.fetch(ctx.gateway, change.stripe_id)
    except Gone:
        await _keep(ctx, change, Keeps.ENDED, now=now)
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
    if migration.status == MigrationStatus.STOPPED:
        await _keep(ctx, change, Keeps.MIGRATION_STOPPED, now=now)
        return
    decided = decide(seen, _terms(ctx, migration), is_ours=True, now=now)
    if isinstance(decided, Keep):
        await _keep(ctx, change, decided.reason, now=now)
        return
    if isinstance(decided, Planned):
        decided = await _by_policy(ctx, change, migration, decided, now=now)
    planned = _planned(change, decided)
    if isinstance(decided, Wait) or decided.announce_at > now:
        await _save(ctx, change, planned, now=now)
        return
    quote = await _quote(ctx, decided, change.stripe_id)
    if quote.total == quote.before:  # such as with a coupon that pays for everything
        await _keep(ctx, change, Keeps.UNCHANGED if quote.total else Keeps.COMPLIMENTARY, now=now)
        return
    told = replace(
        planned,
        status=ChangeStatus.ANNOUNCED,
        notices=change.notices + 1,
        quote=quote,
        announced_at=now,
        act_at=max(now, decided.renewal_at - QUOTED_AGAIN_AHEAD),
    )
    async with ctx.sessions.begin() as session:
        await lock_running(session, change)
        is_told = migration.publisher_sends_notices or await _tell(session, ctx.rules, told, quote, now=now)
        if is_told:
            await price_migrations.save_change(session, told)
            await record(session, change, told, migration, "price_change.announced")
            await follow(session, ctx.rules, told, now=now)
    if not is_told:
        await _keep(ctx, change, Keeps.NO_NOTICE, now=now)


async def _by_policy(
    ctx: Context, change: PriceChange, migration: PriceMigration, decided: Planned, *, now: datetime
) -> Planned:
    """Return a plan with its notice as many days ahead as the policy says for its reader."""
    if migration.publisher_sends_notices or change.subscription_id is None:
        return decided
    async with ctx.sessions.begin() as session:
        subscription = await subscriptions.by_id(session, change.subscription_id)
        assert subscription is not None
        policy = await notifications.policy_of_reader(
            session, ctx.rules, NotificationKind.PRICE_CHANGE, subscription, at=decided.renewal_at
        )
    ahead = announced_ahead(policy.days) if policy is not None else ANNOUNCED_AHEAD
    return replace(decided, announce_at=max(now, decided.renewal_at - ahead))


async def _tell(session: Session, rules: Rules, change: PriceChange, quote: Quote, *, now: datetime) -> bool:
    """Order the notice, in the transaction that stores its quote. Return whether the policy has one for the reader."""
    subscription = await subscriptions.by_id(session, change.subscription_id or "")
    assert subscription is not None
    assert change.renewal_at is not None
    data = {
        "price": money(subscription.price - change.before + change.after, change.currency),
        "old_price": money(subscription.price, change.currency),
        "discounted": subscription.keeps_discount,
        "total": money(quote.total, change.currency),
        "renews_at": change.renewal_at.isoformat(),
        "interval": rules.catalogue.plan(subscription.plan).interval,
    }
    kind = NotificationKind.PRICE_CHANGE
    about = change.notice_about
    return await notifications.tell(
        session, rules, kind, subscription, about, data=data, now=now, event_at=change.renewal_at
    )


async def _sent_at(ctx: Context, change: PriceChange, migration: PriceMigration) -> datetime | None:
    """Return when the reader was told; None if they were not, or if the notice came back for good."""
    if migration.publisher_sends_notices:
        return change.announced_at
    async with ctx.sessions.begin() as session:
        notice = await notifications_db.find(session, NotificationKind.PRICE_CHANGE, change.notice_about)
    return notice.settled_at if notice is not None and notice.has_reached else None


async def _switch(
    ctx: Context, change: PriceChange, migration: PriceMigration, seen: StripeSubscriptionState, *, now: datetime
) -> None:
    """Give the items their new price, if the reader was told of exactly that in time."""
    if has_new_price(change, seen):  # the process that asked Stripe stopped before it recorded the answer
        await record_switch(ctx, change, migration, now=now)
        return
    if migration.status == MigrationStatus.STOPPED:
        await _keep(ctx, change, Keeps.MIGRATION_STOPPED, now=now)
        return
    decided = decide(seen, _terms(ctx, migration), is_ours=True, now=now, least=NO_TIME)
    if isinstance(decided, Keep):
        await _keep(ctx, change, decided.reason, now=now)
    elif isinstance(decided, Wait):
        has_renewed = change.renewal_at is None or change.renewal_at <= now  # at the old price
        waiting = replace(change, act_at=decided.until)
        await _save(ctx, change, _planned(change, decided) if has_renewed else waiting, now=now)
    elif not is_as_announced(change, decided, await _quote(ctx, decided, change.stripe_id)):
        await _plan_again(ctx, change, migration, seen, now=now)
    elif now < decided.renewal_at - SWITCHED_AHEAD:
        await _save(ctx, change, replace(change, act_at=decided.renewal_at - SWITCHED_AHEAD), now=now)
    elif change.status != ChangeStatus.SWITCHING and not was_told_in_time(
        change, await _sent_at(ctx, change, migration)
    ):  # once Stripe was asked, it is asked again: it may have the new price already
        await _plan_again(ctx, change, migration, seen, now=now)
    else:
        await _ask_stripe(ctx, change, migration, now=now)


async def _ask_stripe(ctx: Context, change: PriceChange, migration: PriceMigration, *, now: datetime) -> None:
    parameters = at_stripe.switch(change.items)
    switching = replace(change, status=ChangeStatus.SWITCHING, act_at=None)
    async with ctx.sessions.begin() as session:
        await lock_running(session, change)
        intent = await intents.record(session, change.id, ACTION, parameters)
        if intent.parameters != parameters:
            await intents.settle(session, intent.key)
            intent = await intents.record(session, change.id, ACTION, parameters)
        await price_migrations.save_change(session, switching, again_in=REPEATED)
    request = subscriptions_at_stripe.update(ctx.gateway, change.stripe_id, intent.parameters, key=intent.key)
    await stored.send(ctx.sessions, intent, request)
    await record_switch(ctx, switching, migration, now=now)
    fetch = partial(subscriptions_at_stripe.fetch, ctx.gateway, change.stripe_id)
    await sync_subscription.fetch_and_save(ctx.sessions, ctx.rules, change.stripe_id, fetch, now=now)


async def _complete(ctx: Context, change: PriceChange, seen: StripeSubscriptionState, *, now: datetime) -> None:
    """Complete a change whose renewal has come, and compare what was billed with what the reader was told."""
    renewal_at, period = change.renewal_at, seen.period
    if seen.status in OVER or period is None or renewal_at is None:
        await _keep(ctx, change, Keeps.ENDED, now=now)
        return
    invoice = renewal_invoice(seen, renewal_at)
    if period[0] < renewal_at or (invoice is not None and invoice.status == InvoiceStatus.DRAFT):
        await _save(ctx, change, replace(change, act_at=max(renewal_at, now) + CHECKED_AGAIN), now=now)
        return
    if not has_new_price(change, seen) and not _has_all_items(change, seen):  # print alone changed, and was dropped
        await _keep(ctx, change, Keeps.UNCHANGED, now=now)
        return
    if invoice is not None and change.quote is not None and _has_all_items(change, seen):
        why = renewal_difference(invoice, told=Money(change.quote.total, change.currency))
        async with ctx.sessions.begin() as session:  # staff look at what was not billed as the reader was told
            found = {RENEWAL_DIFFERS: why} if why is not None else {}
            await anomalies.report(session, change.id, found, subscriber_id=change.subscriber_id)
    await _save(ctx, change, replace(change, status=ChangeStatus.COMPLETED, act_at=None), now=now)


def _has_all_items(change: PriceChange, seen: StripeSubscriptionState) -> bool:
    """Return whether all items of a change still exist: print can be dropped after its price was changed."""
    return {item.item for item in change.items} <= {item.id for item in seen.items}


async def _plan_again(
    ctx: Context, change: PriceChange, migration: PriceMigration, seen: StripeSubscriptionState, *, now: datetime
) -> None:
    """Plan a change anew, because it is not as announced: for the same renewal with another notice, or for a later one."""
    decided = decide(seen, _terms(ctx, migration), is_ours=True, now=now)
    if isinstance(decided, Keep):
        await _keep(ctx, change, decided.reason, now=now)
        return
    if isinstance(decided, Planned):
        decided = await _by_policy(ctx, change, migration, decided, now=now)
    await _save(ctx, change, _planned(change, decided), now=now)


async def _keep(ctx: Context, change: PriceChange, reason: Keeps, *, now: datetime) -> None:
    """
    Let the subscription keep its price.

    :func:`finish` looks at it again if Stripe was asked for the new one, or if the reader is to be told that it stays.
    """
    is_asked = change.status == ChangeStatus.SWITCHING
    kept = replace(
        change, status=ChangeStatus.STOPPED, reason=reason, act_at=now + ANSWERED_WITHIN if is_asked else None
    )
    again_in = NO_TIME if reason in PRICE_STAYS and not is_asked else None
    async with ctx.sessions.begin() as session:
        await lock(session, change)
        await price_migrations.save_change(session, kept, again_in=again_in)
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
        await notifications_db.drop_unsent(session, NotificationKind.PRICE_CHANGE, change.notices_about)
        await follow(session, ctx.rules, kept, now=now)


async def _save(ctx: Context, before: PriceChange, after: PriceChange, *, now: datetime) -> None:
    async with ctx.sessions.begin() as session:
        if before.status == ChangeStatus.SWITCHED:  # also of a stopped migration: the reader keeps the new price
            await lock(session, before)
        else:
            await lock_running(session, before)
        await price_migrations.save_change(session, after)
        if after.status == ChangeStatus.PLANNED:  # a notice that is still on its way names what does not come
            await notifications_db.drop_unsent(session, NotificationKind.PRICE_CHANGE, before.notices_about)
        await follow(session, ctx.rules, after, now=now)


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
