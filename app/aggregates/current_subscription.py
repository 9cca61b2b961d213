"""A reader's subscriptions with their terms, and which of them is the current one."""

from app.db import subscriptions
from app.db.engine.fast_reads import Reads
from app.domain.current_subscription import HeldSubscription, current_subscription


async def all_of(session: Reads, subscriber_id: str) -> list[HeldSubscription]:
    """Return a subscriber's subscriptions with their terms, earliest first."""
    terms = await subscriptions.terms_by_subscription(session, subscriber_id)
    return [(one, terms.get(one.id, ())) for one in await subscriptions.of_subscriber(session, subscriber_id)]


async def find(session: Reads, subscriber_id: str) -> HeldSubscription | None:
    """Return a subscriber's current subscription with its terms, or None."""
    return current_subscription(await all_of(session, subscriber_id))
