"""Subscribers that were imported from Stripe and whose reader may not be known yet."""

from sqlalchemy import exists, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.session import Session, new_id
from app.db.models import Entitlement, Subscription
from app.db.models import Subscriber as Row
from app.domain.customers import StripeCustomerState
from app.domain.imports import UNCLAIMED, UnclaimedSubscriber
from app.domain.subscriptions import OVER
from app.email_addresses import canonical, spellings


async def add_subscriber(
    session: Session, customer: StripeCustomerState, *, sub: str, subscriber_id: str | None = None
) -> None:
    """
    Add a subscriber for a Stripe customer, unless the customer or the ``sub`` has one.

    :param subscriber_id: the ID that the subscriber had before a backup was restored.
    """
    await session.execute(
        insert(Row)
        .values(
            id=subscriber_id or new_id("rdr"),
            sub=sub,
            email=customer.email,
            name=customer.name,
            stripe_customer_id=customer.id,
        )
        .on_conflict_do_nothing()
    )


async def assign(session: Session, subscriber_id: str, *, sub: str) -> None:
    """Replace a subscriber's placeholder with the reader's ``sub``."""
    await session.execute(update(Row).where(Row.id == subscriber_id).values(sub=sub))
    await session.execute(
        update(Entitlement)
        .where(Entitlement.subscriber_id == subscriber_id)
        .values(sub=sub, version=Entitlement.version + 1)
    )


async def claimable(session: Session, email: str) -> list[UnclaimedSubscriber]:
    """Return the subscribers with an email address whose reader is not known. A look-alike address finds none."""
    running = exists().where(
        Subscription.subscriber_id == Row.id,
        Subscription.status.not_in(OVER),
        Subscription.ended_here_at.is_(None),
    )
    found = await session.execute(
        select(Row.id, running, Row.email)
        .where(func.lower(Row.email).in_(spellings(email)), Row.sub.startswith(UNCLAIMED, autoescape=True))
        .order_by(Row.id)
        .limit(100)
    )
    wanted = canonical(email)
    return [UnclaimedSubscriber(id=row[0], runs=row[1]) for row in found if canonical(row[2]) == wanted]
