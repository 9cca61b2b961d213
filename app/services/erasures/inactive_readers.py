"""
Readers who left long ago: the nightly job orders their erasure, as a setting says.

After a backup was restored, a reader who came back and paid looks as if they had left. So Stripe is asked before anyone is
erased, because deleting a customer cancels what they paid for.
"""

from datetime import datetime

import structlog

from app.context import Context
from app.db import erasures as rows
from app.db import reconciliation
from app.domain.erasures import ErasureBlocked, RefundDue
from app.domain.errors import NotFound, StripeRefused, StripeUnavailable
from app.gateway import personal_data as at_stripe
from app.services.erasures import orders

POLICY = "policy"
MAX_UNAVAILABLE = 3  # readers in a row, before the rest waits for another attempt
PAGE_SIZE = 1_000  # readers whom one statement looks at
MAX_INACTIVE = 500  # readers; more in the next night, because each needs several calls to Stripe
log = structlog.get_logger()


async def order_inactive(ctx: Context, *, now: datetime) -> int:
    """
    Order the erasure of readers whose last access ended long ago, as the setting says. Return how many.

    A reader to whom money may be owed, about whom something is undecided, or for whom something runs at Stripe, is left
    alone. Nobody is erased while events are waiting, because they may be about a reader who came back.

    :raises StripeUnavailable: Stripe did not respond several times in a row; call again.
    """
    kept_for = ctx.settings.former_readers_kept
    if kept_for is None:
        return 0
    before = now - kept_for
    ordered, unavailable, after = 0, 0, ""
    while ordered < MAX_INACTIVE:
        async with ctx.sessions.begin() as session:
            if await reconciliation.is_behind(session):
                log.warning("inactive_readers_kept", reason="events_pending")
                return ordered
            found, last = await rows.inactive_among(session, before=before, after=after, limit=PAGE_SIZE)
        for subscriber_id in found[: MAX_INACTIVE - ordered]:
            try:
                await _order_one(ctx, subscriber_id, before=before, now=now)
                ordered, unavailable = ordered + 1, 0
            except (ErasureBlocked, RefundDue) as reason:
                log.info("inactive_reader_kept", subscriber=subscriber_id, reason=reason.code)
            except StripeUnavailable as failure:
                log.warning("inactive_reader_not_erased", subscriber=subscriber_id, reason=str(failure))
                unavailable += 1
                if unavailable == MAX_UNAVAILABLE:
                    raise
            except (StripeRefused, NotFound) as failure:  # a fault of one reader must not stop the others
                log.warning("inactive_reader_not_erased", subscriber=subscriber_id, reason=str(failure))
        if last is None:
            break
        after = last
    return ordered


async def _order_one(ctx: Context, subscriber_id: str, *, before: datetime, now: datetime) -> None:
    """Order the erasure of a reader unless something is known here, or else at Stripe, that speaks against it."""
    subscriber = await orders.check_here(ctx, subscriber_id, now=now)
    if subscriber.stripe_customer_id is not None:
        running = await at_stripe.running_subscriptions(ctx.gateway, subscriber.stripe_customer_id, ended_since=before)
        if running:
            raise ErasureBlocked(f"At Stripe, {running[0]} runs, or ended recently", objects=running)
    await orders.order(ctx, subscriber_id, without_refund=False, by=POLICY, now=now, inactive_since=before)
