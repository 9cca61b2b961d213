"""
Refunds: recorded, paid once, followed.

In phases that can each be repeated, whoever was killed in between: (1) under the subscriber's lock the quote is checked and
the intent recorded, one refund for each payment of it; (2) Stripe is asked, after a look whether it has done it already;
(3) in one commit the answer is recorded, access ends, and the subscription's cancellation becomes due; then the credit note
is written, and a worker cancels at Stripe. Access ends before the credit note, so that a slow one keeps no door open.
"""

import asyncio
from collections.abc import Set
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from app.aggregates import quotes, refund_orders, refund_results
from app.context import Context
from app.db import attention, audit, intents, payments, refunds, subscribers
from app.db.engine import leases
from app.db.engine.session import Session, new_id
from app.db.subscriptions import ConcurrentUpdate
from app.domain.credit_notes import CreditNoteRefused, parameter_variants, reusable_credit_note
from app.domain.errors import NotFound, StripeFault, StripeRefused, StripeUnavailable
from app.domain.money import Money
from app.domain.quotes import accept, needs_approval, payments_of_term, quote
from app.domain.refunds import (
    AWAITING,
    CONFIRMED,
    COUNTED,
    FAILED,
    GUARANTEE,
    PROCESSING,
    UNDERWAY,
    NothingToRefund,
    PaymentDisputed,
    Refund,
    RefundRefused,
    StripePaymentState,
    StripeRefundState,
)
from app.domain.rules import Rules
from app.domain.subscriptions import Payment
from app.gateway import refunds as at_stripe
from app.gateway.client import Gateway
from app.gateway.translate import OUR_REFUND

FAULTS = 3  # faults of Stripe's in a row, before a worker goes on later
LOOKS = 5
MOMENTS, MOMENT = 15, 0.1  # how often, and after how many seconds, a payment that a worker is at is tried again
LOOK_AGAIN = timedelta(hours=1)  # at money that is promised and not there: its event may be lost
CREDIT_TRIES = 8  # for a credit note that Stripe refuses; then staff are shown it, and it is tried once in a while
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """What is asked for. ``amount``: of goodwill only."""

    payment_id: str
    basis: str
    reason: str
    note: str | None
    expected: Money
    amount: Money | None = None


async def issue(ctx: Context, request: RefundRequest, *, refund_id: str, by: str, now: datetime) -> list[Refund]:
    """
    Give money back, once: one refund for each payment that the basis is about, the one that was named first.

    Called again with the same ``refund_id`` it goes on where it was.

    :param by: who asks, as the audit log writes it.
    :returns: the refunds; ``awaiting_approval``, or still ``processing`` when Stripe has not answered, and then a worker
        goes on with them.
    :raises RefundRefused: the basis does not hold, or Stripe will not.
    :raises QuoteChanged: it is worth something else than what was shown.
    :raises RefundTooLarge: more was asked for than is left.
    :raises RefundInProgress: another refund of the payment is on its way.
    """
    async with ctx.sessions.begin() as session:
        if await refunds.by_id(session, refund_id) is None:
            await _begin(session, ctx.rules, request, refund_id=refund_id, by=by, now=now)
        taken = await refunds.take(session, refund_id, owner=new_id("own"), lease=ctx.settings.lease)
    return await pay(ctx, taken, now=now)


async def pay(ctx: Context, taken: refunds.Taken, *, now: datetime) -> list[Refund]:
    """
    Bring what was asked for in one go as far as Stripe lets it now; a worker does the rest.

    :raises RefundRefused: Stripe will pay none of it.
    """
    taken = await _leased(ctx, taken)
    refusals: list[RefundRefused] = []
    async with AsyncExitStack() as stack:
        ours = [refund for refund in taken.act if refund.id in taken.leased]
        for refund in ours:
            key = refunds.work_key(refund.payment_id)
            await stack.enter_async_context(leases.held(ctx.sessions, key, owner=taken.owner, lease=ctx.settings.lease))
        for refund in ours:
            try:
                await finish(ctx, refund.id, now=now)
            except RefundRefused as refusal:
                refusals.append(refusal)
            except (StripeUnavailable, ConcurrentUpdate, CreditNoteRefused):
                log.warning("refund_unfinished", refund=refund.id)  # its row is due: a worker goes on
    if refusals and len(refusals) == len(taken.act):
        raise refusals[0]
    async with ctx.sessions.begin() as session:
        return await refunds.of_act(session, taken.act[0].id)


async def _leased(ctx: Context, taken: refunds.Taken) -> refunds.Taken:
    """Wait a moment for payments that a worker is at: it only follows what Stripe told of them just now."""
    for _ in range(MOMENTS):
        if all(refund.id in taken.leased or refund.status != PROCESSING for refund in taken.act):
            break
        await asyncio.sleep(MOMENT)
        async with ctx.sessions.begin() as session:
            more = await refunds.take(session, taken.act[0].id, owner=taken.owner, lease=ctx.settings.lease)
        taken = replace(more, leased=taken.leased | more.leased)
    return taken


async def _begin(
    session: Session, rules: Rules, request: RefundRequest, *, refund_id: str, by: str, now: datetime
) -> None:
    """Phase 1: what is to happen is decided and recorded, before anything does."""
    owner = await payments.owner_of(session, request.payment_id)
    if owner is None:
        raise NotFound("there is no such payment")
    await subscribers.lock(session, owner[0])
    asked = await quotes.of_payment(session, rules, request.payment_id, now=now)
    if asked is None:
        raise NotFound("there is no such payment")
    case = asked.case
    quoted = quote(case, request.basis, now=now, zone=rules.zone)
    parts = accept(quoted, request.expected, amount=request.amount, refunds=case.refunds)
    money = request.amount or quoted.money
    waits = needs_approval(request.basis, money, rules.catalogue.policies, now=now, zone=rules.zone)
    if request.basis == GUARANTEE:
        whole_term = [payment.id for payment in payments_of_term(case.payment, case.payments, case.terms)]
        await refund_orders.withdraw_waiting(session, whole_term, by=by, why=GUARANTEE, now=now)
    for index, part in enumerate(parts):
        refund = Refund(
            id=refund_id if index == 0 else new_id("rfd"),
            act_id=refund_id,
            payment_id=part.payment.id,
            subscriber_id=asked.subscriber_id,
            basis=request.basis,
            amount=part.amount,
            tax=part.tax,
            currency=part.payment.currency,
            reason=request.reason,
            note=request.note,
            requested_by=by,
            status=AWAITING if waits else PROCESSING,
            created_at=now,
        )
        await _insert(session, refund)


async def _insert(session: Session, refund: Refund) -> None:
    waits = refund.status == AWAITING
    await refunds.insert(session, refund, unfinished=not waits)
    if not waits:
        await intents.record(session, refund.id, "refund", _parameters(refund))
    await audit.record(
        session,
        actor=refund.requested_by,
        action="refund.requested",
        object_id=refund.id,
        subscriber_id=refund.subscriber_id,
        reason=refund.reason,
        after={
            "payment": refund.payment_id,
            "basis": refund.basis,
            "amount": refund.amount,
            "tax": refund.tax,
            "status": refund.status,
        },
    )


async def finish(ctx: Context, refund_id: str, *, now: datetime) -> None:
    """
    Bring a recorded refund to its end, from wherever it stands. The caller holds the payment's lease.

    :raises StripeUnavailable: Stripe does not answer; call again later.
    :raises RefundRefused: Stripe will not; the refund is marked as failed.
    :raises CreditNoteRefused: the money is back, and Stripe takes no credit note for it; call again later.
    """
    async with ctx.sessions.begin() as session:
        refund = await refunds.by_id(session, refund_id)
        payment = await payments.by_id(session, refund.payment_id) if refund else None
    if refund is None or payment is None:
        raise NotFound("there is no such refund")
    if refund.status == PROCESSING:
        refund = await _settle(ctx, refund, payment, now=now)
    elif refund.status in UNDERWAY:
        refund = await _look_again(ctx, refund, now=now)
    if refund.status in CONFIRMED and refund.credit_note_id is None and not await _credit(ctx, refund, payment):
        return
    async with ctx.sessions.begin() as session:
        await refunds.finish(session, refund.id, again_in=LOOK_AGAIN if refund.status in UNDERWAY else None)


async def _look_again(ctx: Context, refund: Refund, *, now: datetime) -> Refund:
    """Look what became of promised money, in case that the event which tells of it was lost."""
    async with ctx.sessions.begin() as session:
        version = await payments.version(session, refund.payment_id)
    state = await at_stripe.payment_state(ctx.gateway, refund.payment_id)
    seen = next((one for one in state.refunds if one.id == refund.stripe_refund_id), None)
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, refund.subscriber_id)
        if seen is not None and await payments.advance(session, refund.payment_id, if_version=version):
            return await refund_results.record(session, ctx.rules, refund, seen, now=now)
        return await refunds.by_id(session, refund.id) or refund


async def _settle(ctx: Context, refund: Refund, payment: Payment, *, now: datetime) -> Refund:
    """Phases 2 and 3. What was seen is recorded only if nothing newer was meanwhile; else we look again."""
    for _ in range(LOOKS):
        async with ctx.sessions.begin() as session:
            version = await payments.version(session, payment.id)
        try:
            seen = await _pay(ctx, refund, payment)
        except RefundRefused as refusal:
            async with ctx.sessions.begin() as session:
                await subscribers.lock(session, refund.subscriber_id)
                newest = await payments.advance(session, payment.id, if_version=version)
                if newest:
                    await _fail(session, refund, refusal.code)
            if newest:
                raise
            continue
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, refund.subscriber_id)
            if await payments.advance(session, payment.id, if_version=version):
                return await refund_results.record(session, ctx.rules, refund, seen, now=now)
    raise ConcurrentUpdate(f"the refund {refund.id} kept changing while it was looked at")


async def _pay(ctx: Context, refund: Refund, payment: Payment) -> StripeRefundState:
    """Phase 2: ask Stripe; before each try look whether an earlier one took effect after all."""
    async with ctx.sessions.begin() as session:
        others = {one.stripe_refund_id for one in await refunds.of_payment(session, payment.id) if one.id != refund.id}
    for _ in range(FAULTS):
        state = await at_stripe.payment_state(ctx.gateway, payment.id)
        if done := _found(state, refund, others):
            return done
        _refuse_if_gone(state, refund, payment)
        async with ctx.sessions.begin() as session:
            await subscribers.lock(session, refund.subscriber_id)
            intent = await intents.record(session, refund.id, "refund", _parameters(refund))
        try:
            return await at_stripe.create(ctx.gateway, intent.parameters, key=intent.key)
        except StripeRefused as refusal:
            if seen_after_all := await _look_for(ctx.gateway, refund, others):
                return seen_after_all
            if refusal.facts.get("stripe_code") == "charge_disputed":
                raise PaymentDisputed from refusal
            if refusal.facts.get("stripe_code") == "charge_already_refunded":
                raise NothingToRefund from refusal
            raise RefundRefused(f"Stripe refused the refund: {refusal}") from refusal
        except StripeFault:
            # The same key would be answered with the same fault. Only if it had no effect is another key used.
            if await _look_for(ctx.gateway, refund, others) is None:
                async with ctx.sessions.begin() as session:
                    await intents.settle(session, intent.key)
    raise StripeUnavailable("Stripe keeps answering with faults of its own")


def _parameters(refund: Refund) -> dict[str, object]:
    return {
        "payment_intent": refund.payment_id,
        "amount": refund.amount,
        "reason": "requested_by_customer",
        "metadata": {OUR_REFUND: refund.id, "newsstand_basis": refund.basis},
    }


async def _look_for(gateway: Gateway, refund: Refund, others: Set[str | None]) -> StripeRefundState | None:
    """Return what Stripe has of a refund of ours, by its metadata."""
    return _found(await at_stripe.payment_state(gateway, refund.payment_id), refund, others)


def _found(state: StripePaymentState, refund: Refund, others: Set[str | None]) -> StripeRefundState | None:
    """Return Stripe's refund that is ours, and that is not known to be another."""
    return next((seen for seen in state.refunds if seen.is_of(refund) and seen.id not in others), None)


def _refuse_if_gone(state: StripePaymentState, refund: Refund, payment: Payment) -> None:
    """Refuse when the money went back in another way since it was quoted."""
    if state.disputed and not state.refundable:
        raise PaymentDisputed
    given = sum(seen.amount for seen in state.refunds if seen.status in COUNTED)
    if not state.refundable or given + refund.amount > payment.amount:
        raise NothingToRefund


async def _fail(session: Session, refund: Refund, why: str) -> None:
    await refunds.set_status(session, refund.id, FAILED, failure_reason=why)
    await refunds.finish(session, refund.id)
    await audit.record(
        session,
        actor="stripe",
        action="refund.failed",
        object_id=refund.id,
        subscriber_id=refund.subscriber_id,
        reason=why,
        before={"status": refund.status},
        after={"status": FAILED},
    )


async def _credit(ctx: Context, refund: Refund, payment: Payment) -> bool:
    """
    Record the reversal and its tax on the invoice, linked to the refund; once.

    The money is back and access has ended; what is missing is a paper. If Stripe takes none, it is tried again later; in the
    end staff are shown it, and it is tried every hour, until there is one or somebody has seen to it.

    :returns: False: staff are shown that there is none.
    :raises CreditNoteRefused: to be tried again.
    """
    assert refund.stripe_refund_id is not None
    async with ctx.sessions.begin() as session:
        note = reusable_credit_note(refund, await refunds.of_payment(session, payment.id))
    if note is None:
        note = await at_stripe.credit_note_of(ctx.gateway, payment.invoice_id, refund.stripe_refund_id)
    if note is None:
        invoice = await at_stripe.invoice_lines(ctx.gateway, payment.invoice_id)
        refusal: StripeRefused | None = None
        for parameters in parameter_variants(refund, invoice):
            try:
                note = await _write_note(ctx, refund, {**parameters, "metadata": {OUR_REFUND: refund.id}})
                break
            except StripeRefused as refused:
                refusal = refused
        if note is None:
            return await _leave_note(ctx, refund, str(refusal))
    async with ctx.sessions.begin() as session:
        await refunds.set_credit_note(session, refund.id, note)
    return True


async def _write_note(ctx: Context, refund: Refund, parameters: dict[str, object]) -> str:
    async with ctx.sessions.begin() as session:
        await subscribers.lock(session, refund.subscriber_id)
        intent = await intents.record(session, refund.id, "credit_note", parameters)
    try:
        return await at_stripe.credit(ctx.gateway, intent.parameters, key=intent.key)
    except (StripeFault, StripeRefused):
        async with ctx.sessions.begin() as session:
            await intents.settle(session, intent.key)  # asked again, it is asked under another key, after a look
        raise


async def _leave_note(ctx: Context, refund: Refund, why: str) -> bool:
    log.error("credit_note_refused", refund=refund.id, reason=why)
    async with ctx.sessions.begin() as session:
        if await refunds.attempts(session, refund.id) < CREDIT_TRIES:
            raise CreditNoteRefused(why)
        seen_to = refund.status not in UNDERWAY and await attention.is_dismissed(session, refund.id)
        await refunds.show(
            session,
            refund.id,
            attention=f"Stripe refuses the credit note: {why}",
            again_in=None if seen_to else LOOK_AGAIN,
        )
    return False
