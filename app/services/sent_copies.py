"""The copies of a subscription that were printed on labels."""

from collections.abc import Sequence

from app.context import Context
from app.db import sent_copies
from app.domain.sent_copies import SentCopy


async def of_subscription(ctx: Context, subscription_id: str) -> Sequence[SentCopy]:
    """Return the copies of a subscription, the last issue first."""
    return await sent_copies.of_subscriptions(ctx.reads, [subscription_id])


async def of_reader(ctx: Context, sub: str) -> Sequence[SentCopy]:
    """Return the copies of all subscriptions of a reader, the last issue first."""
    return await sent_copies.of_reader(ctx.reads, sub)
