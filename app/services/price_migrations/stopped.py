"""Finishing stopped changes: a late response from Stripe, and the reader who was told of the new price."""

from dataclasses import replace
from datetime import datetime, timedelta

from app.aggregates import notifications
from app.context import Context
from app.db import intents, price_migrations, subscriptions
from app.db import notifications as notifications_db
from app.db.engine.session import Session
from app.domain.notifications import Notification, NotificationKind, NotificationStatus, money
from app.domain.price_migrations import Keeps, PriceChange, PriceMigration, has_new_price
from app.domain.rules import Rules
from app.gateway import subscriptions as subscriptions_at_stripe
from app.gateway.client import Gone
from app.services.price_migrations.records import ACTION, follow, lock, record_switch

SENT_WITHIN = timedelta(minutes=1)  # a notice that is being sent
# The price that a reader was told of doesn't come, and the one that they pay stays. For the other reasons the subscription
# ends, or somebody changed what it costs, and has to say so.
PRICE_STAYS = frozenset({Keeps.LOCKED, Keeps.MIGRATION_STOPPED})


async def finish(ctx: Context, change: PriceChange, migration: PriceMigration, *, now: datetime) -> None:
    """
    Finish a change that was stopped.

    If Stripe was asked before and has the new price, the change was made. Otherwise a reader who got a notice of a stopped
    migration, or of a price that was locked since, is told that the price stays. If a notice is being sent, this waits for
    the result. An unsent notice is dropped.

    :raises StripeUnavailable: call again.
    """
    async with ctx.sessions.begin() as session:
        asked = await intents.open_key(session, change.id, ACTION)
    if asked is not None and await _has_new_price(ctx, change):
        await record_switch(ctx, change, migration, now=now)
        return
    async with ctx.sessions.begin() as session:
        latest = await lock(session, change)
        if asked is not None:
            await intents.settle(session, asked)
        act_at = None
        if change.reason in PRICE_STAYS and not migration.publisher_sends_notices:
            await notifications_db.drop_unsent(session, NotificationKind.PRICE_CHANGE, latest.notices_about)
            notices = await _notices(session, latest)
            told = next((one for one in notices if one.has_reached), None)
            if any(one.status is NotificationStatus.SENDING for one in notices):
                act_at = now + SENT_WITHIN
            elif told is not None:
                await _tell(session, ctx.rules, latest, told, now=now)
        await price_migrations.save_change(session, replace(latest, act_at=act_at))
        await follow(session, ctx.rules, latest, now=now)  # the renewal is at the old price again


async def _has_new_price(ctx: Context, change: PriceChange) -> bool:
    try:
        return has_new_price(change, await subscriptions_at_stripe.fetch(ctx.gateway, change.stripe_id))
    except Gone:
        return False


async def _notices(session: Session, change: PriceChange) -> list[Notification]:
    """Return the notices of a change that were not dropped, the newest first."""
    found = [
        await notifications_db.find(session, NotificationKind.PRICE_CHANGE, about) for about in change.notices_about
    ]
    return [one for one in found if one is not None]


async def _tell(session: Session, rules: Rules, change: PriceChange, notice: Notification, *, now: datetime) -> None:
    """
    Tell the reader that the price stays, unless the subscription ends before it would have changed.

    :param notice: the newest one that they got. The change may have been planned anew since, for another renewal.
    """
    subscription = await subscriptions.by_id(session, change.subscription_id or "")
    if subscription is None or notice.event_at is None or notice.event_at <= now:
        return
    if "price" not in notice.data:  # the reader was erased
        return
    if subscription.over_at is not None or subscription.cancel_at is not None:
        return
    await notifications.tell(
        session,
        rules,
        NotificationKind.PRICE_UNCHANGED,
        subscription,
        change.notice_about,
        data={
            "price": money(subscription.price, change.currency),
            "announced_price": notice.data["price"],
            "discounted": subscription.keeps_discount,
            "renews_at": notice.event_at.isoformat(),
        },
        now=now,
        event_at=notice.event_at,
        policy_of=NotificationKind.PRICE_CHANGE,
    )
