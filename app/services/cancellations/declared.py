"""
Cancellations without a sign-in (section 312k of the German Civil Code).

The request only stores the declaration and acknowledges it: the answer, and how long it takes, are the same for everybody. A
worker then looks for the contract. What it can't match with certainty, or what needs a judgment, waits for staff.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from app.aggregates import declarations
from app.context import Context
from app.db import declarations as declarations_db
from app.db import payments, subscribers, subscriptions
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.declarations import (
    UNFINISHED,
    CancellationInvalid,
    CancellationNotice,
    Channel,
    Declaration,
    DeclarationStatus,
)
from app.domain.errors import StripeRefused
from app.domain.subscriptions import AlreadyEnded, NoSubscription, Subscription
from app.email_addresses import canonical
from app.services.cancellations.declarations import Revoked, record_done, record_notice
from app.services.cancellations.requests import cancel_at_period_end, exit_of

ACTOR = "policy"


async def declare(ctx: Context, notice: CancellationNotice, *, now: datetime) -> Declaration:
    """
    Store a cancellation that somebody declares without a sign-in. Whose contract it is remains open.

    :raises CancellationInvalid: a part is missing or wrong.
    """
    checked = notice.checked(today=now.astimezone(ctx.rules.zone).date())
    if canonical(checked.email) is None:
        raise CancellationInvalid("`email` must be an email address", field="email")
    async with ctx.sessions.begin() as session:
        return await declarations.record_notice(session, ctx.rules, ctx.localization, checked, now=now)


async def act(ctx: Context, declaration_id: str, *, now: datetime) -> None:
    """
    Find the contract of a declaration and cancel it, or leave it to staff. It can be repeated.

    If the contract is known already, what is left is that Stripe doesn't renew it.

    An extraordinary cancellation is for staff to judge. Until then the contract is canceled as by an ordinary one, so that
    nothing is charged meanwhile.

    :raises StripeUnavailable: call again.
    """
    async with ctx.sessions.begin() as session:
        declared = await declarations_db.by_id(session, declaration_id)
        if declared is None or declared.status not in UNFINISHED:
            return
    await (_stop_renewal if declared.subscription_id is not None else _match)(ctx, declared, now=now)


async def _stop_renewal(ctx: Context, declared: Declaration, *, now: datetime) -> None:
    """Make sure that Stripe doesn't renew a contract."""
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_id(session, declared.subscriber_id or "")
    if subscriber is None:
        raise LookupError(declared.id)
    refused = False
    try:
        with suppress(AlreadyEnded, NoSubscription, Revoked):
            await cancel_at_period_end(
                ctx,
                subscriber.sub,
                reason="requested_by_reader",
                comment=None,
                by=None if declared.channel == Channel.READER else ACTOR,
                only=declared.subscription_id,
                is_declared=True,
                declaration_id=declared.id,
                now=now,
            )
    except StripeRefused:
        refused = True
    if declared.status == DeclarationStatus.PENDING:
        await record_done(ctx, declared, status=DeclarationStatus.QUEUED if refused else DeclarationStatus.DONE)
    else:
        await record_notice(
            ctx, declared, status=DeclarationStatus.QUEUED if refused else DeclarationStatus.SCHEDULED, now=now
        )


async def _match(ctx: Context, declared: Declaration, *, now: datetime) -> None:
    async with ctx.sessions.begin() as session:
        notice = CancellationNotice.load(declared.words)
        found = await _contract_of(session, notice)
        if found is None:
            await declarations_db.set_outcome(session, replace(declared, status=DeclarationStatus.QUEUED))
            return
        subscriber, subscription = found
        exit_at = await exit_of(ctx, session, subscription, now=now, wanted=notice.ends_on)
        ends_at = exit_at or subscription.current_period_end or now
        if exit_at is not None and not notice.extraordinary:
            declared = replace(
                declared, subscriber_id=subscriber.id, subscription_id=subscription.id, ends_at=exit_at
            )  # stored first, because the notification of the cancellation says when it ends
            await declarations_db.set_outcome(session, declared, due_in=ctx.settings.lease)
    if declared.subscription_id is not None:
        await _stop_renewal(ctx, declared, now=now)
        return
    known = replace(declared, subscriber_id=subscriber.id, subscription_id=subscription.id)
    last_day = ends_at.astimezone(ctx.rules.zone).date()
    outcome = replace(known, status=DeclarationStatus.DONE, ends_at=ends_at)
    if notice.ends_on is not None and exit_at is None and notice.ends_on > last_day:
        outcome = replace(known, status=DeclarationStatus.QUEUED)  # it would renew before: staff ask the reader
    else:
        try:
            with suppress(AlreadyEnded, NoSubscription):
                await cancel_at_period_end(
                    ctx,
                    subscriber.sub,
                    reason="requested_by_reader",
                    comment=None,
                    by=ACTOR,
                    only=subscription.id,
                    is_declared=True,
                    now=now,
                )
        except StripeRefused:
            outcome = replace(known, status=DeclarationStatus.QUEUED)
        else:
            if notice.extraordinary:
                outcome = replace(outcome, status=DeclarationStatus.QUEUED)
    async with ctx.sessions.begin() as session:
        await declarations_db.set_outcome(session, outcome)


async def _contract_of(session: Session, notice: CancellationNotice) -> tuple[Subscriber, Subscription] | None:
    """
    Return the contract that a notice is about, if it is certain.

    There is one with that email address, and the notice has the reader's name, or a number of the contract.
    """
    found: list[tuple[Subscriber, Subscription]] = []
    for subscriber in await subscribers.with_email(session, notice.email):
        own_payments = await payments.of_subscriber(session, subscriber.id)
        for one in await subscriptions.of_subscriber(session, subscriber.id):
            numbers = [one.id, one.stripe_id]
            numbers += [paid.invoice_number for paid in own_payments if paid.invoice_number is not None]
            if one.can_be_canceled and notice.is_from(subscriber.name, numbers):
                found.append((subscriber, one))
    return found[0] if len(found) == 1 else None
