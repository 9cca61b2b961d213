"""Storing the cancellation that a reader or staff ask for, with its acknowledgment, and what became of it."""

from dataclasses import replace
from datetime import datetime, timedelta

from app.aggregates import declarations as aggregate
from app.aggregates import places
from app.context import Context
from app.db import declarations as declarations_db
from app.db import subscribers
from app.db.engine.session import Session
from app.domain.declarations import UNFINISHED, Channel, Declaration, DeclarationKind, DeclarationStatus
from app.domain.subscriptions import Subscription


class Revoked(Exception):
    """The reader resumed the subscription, or the declaration is settled."""


async def record(
    ctx: Context,
    session: Session,
    subscription: Subscription,
    *,
    by: str,
    ends_at: datetime | None,
    now: datetime,
    status: DeclarationStatus = DeclarationStatus.DONE,
    due_in: timedelta | None = None,
) -> Declaration:
    """Store the cancellation with its acknowledgment. The caller holds the subscriber's lock."""
    subscriber = await subscribers.by_id(session, subscription.subscriber_id)
    if subscriber is None:
        raise LookupError(subscription.subscriber_id)
    return await aggregate.record(
        session,
        ctx.rules,
        ctx.localization,
        kind=DeclarationKind.CANCELLATION,
        channel=Channel.READER if by.startswith("reader:") else Channel.STAFF,
        subscriber=subscriber,
        subscription=subscription,
        place=await places.of_reader(session, subscriber.id, subscription),
        by=by,
        now=now,
        ends_at=ends_at,
        status=status,
        due_in=due_in,
    )


async def pending(session: Session, subscription_id: str) -> Declaration | None:
    """Return the cancellation that Stripe has yet to hear of, if there is one."""
    newest = await declarations_db.newest_cancellation(session, subscription_id)
    return newest if newest is not None and newest.status == DeclarationStatus.PENDING else None


async def check_stands(session: Session, declaration_id: str | None) -> None:
    """
    Check that a declaration is still to be carried out. The caller holds the subscriber's lock.

    :raises Revoked: it isn't.
    """
    found = await declarations_db.by_id(session, declaration_id) if declaration_id is not None else None
    if found is not None and found.status not in UNFINISHED:
        raise Revoked


async def confirm(ctx: Context, subscription: Subscription) -> None:
    """Record that Stripe has heard of the pending cancellation of a subscription, if there is one."""
    async with ctx.sessions.begin() as session:
        found = await pending(session, subscription.id)
    if found is not None:
        await record_done(ctx, found)


async def record_done(
    ctx: Context, cancellation: Declaration, *, status: DeclarationStatus = DeclarationStatus.DONE
) -> None:
    """Record that Stripe has heard of a pending cancellation, or that staff have to act because it declines."""
    if cancellation.subscriber_id is None:
        raise LookupError(cancellation.id)
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, cancellation.subscriber_id)
        found = await declarations_db.by_id(session, cancellation.id)
        if found is not None and found.status == DeclarationStatus.PENDING:  # otherwise it was resumed meanwhile
            await declarations_db.set_outcome(session, replace(found, status=status))


async def record_notice(
    ctx: Context,
    declared: Declaration,
    *,
    status: DeclarationStatus = DeclarationStatus.SCHEDULED,
    now: datetime,
) -> None:
    """Record that Stripe doesn't renew a contract that ends at a month's notice, or that staff have to act on it."""
    if declared.subscriber_id is None:
        raise LookupError(declared.id)
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, declared.subscriber_id)
        found = await declarations_db.by_id(session, declared.id)
        if found is None or found.status != DeclarationStatus.RECEIVED or found.ends_at is None:
            return  # it was resumed meanwhile, for example
        due_in = max(found.ends_at - now, timedelta()) if status == DeclarationStatus.SCHEDULED else None
        await declarations_db.set_outcome(session, replace(found, status=status), due_in=due_in)
