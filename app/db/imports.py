"""Subscribers made of Stripe's customers, and given to their readers."""

from collections.abc import Iterable, Mapping

from sqlalchemy import exists, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.db import audit, grants, subscribers
from app.db.engine.session import Session, new_id
from app.db.models import Entitlement, Subscription
from app.db.models import Subscriber as Row
from app.db.subscribers import Subscriber
from app.domain.customers import StripeCustomerState
from app.domain.imports import UNCLAIMED, NotClaimable, UnclaimedSubscriber, sub_of
from app.domain.reconciliation import Difference
from app.domain.subscriptions import OVER


async def subscribers_of(
    session: Session,
    customers: Iterable[StripeCustomerState],
    *,
    subs: Mapping[str, str],
    metadata_key: str,
    by: str,
    dry_run: bool,
) -> tuple[int, list[Difference]]:
    """
    Make subscribers of customers, or give those that have a placeholder to their readers, now that they are known.

    :returns: how many there are to make or to give, and what is in the way of others.
    """
    done, problems = 0, []
    for customer in customers:
        sub = sub_of(customer, subs=subs, metadata_key=metadata_key)
        held = await subscribers.by_customer(session, customer.id)
        if held is not None and (held.sub == sub or sub.startswith(UNCLAIMED)):
            continue
        other = await subscribers.by_sub(session, sub)
        why = _in_the_way(customer, sub, held, other)
        if why is not None:
            problems.append(Difference(object_id=customer.id, words=f"customer {customer.id}: {why}", key=None))
            continue
        done += 1
        if dry_run:
            continue
        if held is not None:
            await give(session, held, sub=sub, by=by, why="import")
        elif other is not None:
            await subscribers.set_customer(session, other.id, customer.id)
        else:
            await session.execute(
                insert(Row)
                .values(
                    id=new_id("rdr"),
                    sub=sub,
                    email=customer.email,
                    name=customer.name,
                    stripe_customer_id=customer.id,
                )
                .on_conflict_do_nothing()
            )
    if done and not dry_run:
        await audit.record(
            session, actor=by, action="subscribers.imported", object_id="subscribers", after={"subscribers": done}
        )
    return done, problems


def _in_the_way(
    customer: StripeCustomerState, sub: str, held: Subscriber | None, other: Subscriber | None
) -> str | None:
    if held is not None and not held.sub.startswith(UNCLAIMED):
        return f"is {sub} as the file or the metadata says, and belongs to {held.sub} here"
    if other is not None and other.stripe_customer_id is not None:
        return f"is {sub} as the file or the metadata says, who has the customer {other.stripe_customer_id} already"
    if other is not None and held is not None:
        return f"is {sub} as the file or the metadata says, who is a subscriber by themselves already"
    return None


async def claimable(session: Session, email: str) -> list[UnclaimedSubscriber]:
    """Return the subscribers of an address of whom nobody knows who they are."""
    running = exists().where(
        Subscription.subscriber_id == Row.id,
        Subscription.status.not_in(OVER),
        Subscription.ended_here_at.is_(None),
    )
    found = await session.execute(
        select(Row.id, Row.sub, running)
        .where(func.lower(Row.email) == email.lower(), Row.sub.startswith(UNCLAIMED, autoescape=True))
        .order_by(Row.id)
        .limit(100)
    )
    return [UnclaimedSubscriber(id=row[0], placeholder=row[1], runs=row[2]) for row in found]


async def give(session: Session, held: Subscriber, *, sub: str, by: str, why: str) -> Subscriber:
    """
    Give a subscriber under a placeholder to the reader it is, with all that they have.

    :raises NotClaimable: it is somebody's already, or the reader is a subscriber by themselves.
    """
    locked = await subscribers.lock(session, held.id)
    if not locked.sub.startswith(UNCLAIMED):
        raise NotClaimable("the customer is somebody's already", subscriber=locked.sub)
    if await subscribers.by_sub(session, sub) is not None:
        raise NotClaimable("the reader is a subscriber by themselves already", subscriber=sub)
    await session.execute(update(Row).where(Row.id == held.id).values(sub=sub))
    await session.execute(
        update(Entitlement).where(Entitlement.subscriber_id == held.id).values(sub=sub, version=Entitlement.version + 1)
    )
    given = await subscribers.lock(session, held.id)
    await grants.rebuild(session, given)
    await audit.record(
        session,
        actor=by,
        action="subscriber.claimed",
        object_id=held.id,
        subscriber_id=held.id,
        reason=why,
        before={"placeholder": locked.sub},
    )
    return given
