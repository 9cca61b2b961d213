"""
Withdrawals from contracts, by their readers.

One transaction stores the declaration and what follows from it: the refunds of all payments, due at once, or the end of the
contract if nothing was paid yet or money can't be refunded now. A payment that arrives later is refunded like any that
arrives after the end. So a process that stops afterwards loses nothing, and a worker completes the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.aggregates import cancellations, current_subscription, cutoffs, declarations, quotes
from app.context import Context
from app.db import credits, payments, refunds, subscribers, subscriptions
from app.db import declarations as declarations_db
from app.db.engine.session import Session, new_id
from app.db.subscribers import Subscriber
from app.domain.declarations import AlreadyWithdrawn, Channel, Declaration, DeclarationKind
from app.domain.money import Money
from app.domain.quotes import Quote, guarantee_quote
from app.domain.reasons import RefundReason
from app.domain.refunds import Refund, RefundBasis
from app.domain.subscriptions import NoSubscription, Subscription, Term
from app.domain.withdrawal_offers import WithdrawalOffer, offer, recommended_right, unpaid_offer, with_balance
from app.services.refunds import payout
from app.services.refunds.requests import RefundRequest, create


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalPreview:
    """What withdrawing would do, and which of the reader's two rights is recommended."""

    subscription: Subscription
    offer: WithdrawalOffer
    recommended: str | None  # the basis; None: neither right applies


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """A withdrawal and its refunds, one for each payment."""

    declaration: Declaration
    refunds: Sequence[Refund]


async def preview_withdrawal(ctx: Context, sub: str, *, now: datetime) -> WithdrawalPreview:
    """
    Return what withdrawing from a reader's current contract would do. Nothing is changed.

    :raises NoSubscription: the reader has none.
    """
    async with ctx.sessions.begin() as session:
        _, subscription, terms = await _current(session, sub)
        found, guarantee = await _offer(ctx, session, subscription, terms, now=now)
    return WithdrawalPreview(subscription=subscription, offer=found, recommended=recommended_right(found, guarantee))


async def withdraw(
    ctx: Context,
    sub: str,
    *,
    declaration_id: str,
    expected: Money,
    request_hash: str | None = None,
    now: datetime,
) -> Withdrawal:
    """
    Withdraw from a reader's current contract.

    A repeated call with the same ``declaration_id`` continues where the first one stopped.

    :param expected: the amount that the reader saw in the preview.
    :raises NoSubscription: the reader has none.
    :raises AlreadyWithdrawn: they have withdrawn from it before.
    :raises QuoteChanged: the amount is another one.
    :raises RefundRefused: the reader has no right of withdrawal, or its period is over.
    :raises RefundInProgress: another refund of a payment is in progress.
    :raises AlreadyEnded: nothing was paid, and the contract has ended.
    """
    async with ctx.sessions.begin() as session:
        declared = await declarations_db.by_id(session, declaration_id)
        if declared is None:
            declared = await _declare(
                ctx, session, sub, declaration_id=declaration_id, expected=expected, request_hash=request_hash, now=now
            )
        taken = None
        if declared.refund_id is not None:
            owner = new_id("own")
            taken = await refunds.lease_group(session, declared.refund_id, owner=owner, lease=ctx.settings.lease)
    paid = await payout.pay(ctx, taken, now=now) if taken is not None else []
    return Withdrawal(declaration=declared, refunds=paid)


async def _declare(
    ctx: Context,
    session: Session,
    sub: str,
    *,
    declaration_id: str,
    expected: Money,
    request_hash: str | None,
    now: datetime,
) -> Declaration:
    """Store the declaration with its refunds, or with the end of the contract."""
    known = await subscribers.by_sub(session, sub)
    if known is not None:
        await subscribers.lock(session, known.id)
        now = await cutoffs.settle(session, ctx.rules.zone, now=now)
    subscriber, subscription, terms = await _current(session, sub)
    earlier = await declarations_db.withdrawal_from(session, subscription.id)
    if earlier is not None:
        raise AlreadyWithdrawn(declaration=earlier.id)
    found, _ = await _offer(ctx, session, subscription, terms, now=now)
    found.check(expected)
    by, law = f"reader:{sub}", found.right.law.code if found.right is not None else None
    if found.payment_id is not None:
        request = RefundRequest(
            payment_id=found.payment_id,
            basis=RefundBasis.WITHDRAWAL,
            reason=RefundReason.REQUESTED_BY_READER,
            note=None,
            expected=expected,
            request_hash=request_hash,
        )
        made = await create(session, ctx.rules, request, refund_id=new_id("rfd"), by=by, now=now)
        declared = await declarations.record_withdrawal(
            session,
            ctx.rules,
            ctx.localization,
            made,
            channel=Channel.READER,
            by=by,
            now=now,
            declaration_id=declaration_id,
            law=law,
        )
        assert declared is not None
        return declared
    declared = await declarations.record(
        session,
        ctx.rules,
        ctx.localization,
        kind=DeclarationKind.WITHDRAWAL,
        channel=Channel.READER,
        subscriber=subscriber,
        subscription=subscription,
        place=found.place,
        by=by,
        now=now,
        declaration_id=declaration_id,
        law=law,
        ends_at=now,
        is_queued=found.manual_refund_reason is not None,
    )
    if subscription.can_be_canceled:
        if found.manual_refund_reason is None:
            for term in terms:  # closing the end returns to the customer's balance what it paid
                if term.paid_by_balance > 0 and not term.is_refunded:
                    await subscriptions.mark_term_refunded(session, term.invoice_id, RefundBasis.WITHDRAWAL, at=now)
        await cancellations.end(session, ctx.rules, subscription.id, by=RefundBasis.WITHDRAWAL, now=now)
    return declared


async def _current(session: Session, sub: str) -> tuple[Subscriber, Subscription, Sequence[Term]]:
    subscriber = await subscribers.by_sub(session, sub)
    current = await current_subscription.find(session, subscriber.id) if subscriber is not None else None
    if subscriber is None or current is None:
        raise NoSubscription
    return subscriber, *current


async def _offer(
    ctx: Context, session: Session, subscription: Subscription, terms: Sequence[Term], *, now: datetime
) -> tuple[WithdrawalOffer, Quote | None]:
    """Return what withdrawing would do, and the guarantee's quote."""
    zone = ctx.rules.zone
    credited = await credits.of_subscription(session, subscription.id)
    found = await quotes.of_subscription(session, ctx.rules, subscription.id, now=now)
    if found is not None:
        guarantee = guarantee_quote(found.case, now=now, zone=zone)[1]
        return with_balance(offer(found.case, subscription, now=now, zone=zone), terms, credited), guarantee
    paid = await payments.of_subscription(session, subscription.id)
    contract, place = await quotes.contract_and_place(session, subscription, terms, paid, now=now)
    return with_balance(unpaid_offer(subscription, contract, place, now=now, zone=zone), terms, credited), None
