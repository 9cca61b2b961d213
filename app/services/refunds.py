"""
Refunds: quoted, recorded, paid once, followed.

In phases that can each be repeated, whoever was killed in between: (1) under the subscriber's lock the quote is checked and
the intent recorded, with its parameters and its key; (2) Stripe is asked, after a look whether it has done it already;
(3) in one commit the answer is recorded, access ends, and the subscription's cancellation becomes due; then the credit note
is written, and a worker cancels at Stripe. Access ends before the credit note, so that a slow one keeps no door open.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from app.db import audit, intents, payments, recording, refunds, subscribers, subscriptions, work
from app.db.session import Session, Sessions
from app.db.subscriptions import Overtaken
from app.domain.errors import NotFound, StripeFault, StripeRefused, StripeUnavailable
from app.domain.money import Money
from app.domain.policy import Rules
from app.domain.refunds import (
    CONFIRMED,
    COUNTED,
    DASHBOARD,
    FAILED,
    PROCESSING,
    Case,
    NothingToRefund,
    PaymentDisputed,
    Quote,
    Refund,
    RefundInProgress,
    RefundRefused,
    SeenPaymentState,
    SeenRefund,
    accept,
    quote_guarantee,
)
from app.domain.subscriptions import NoSubscription, Payment
from app.gateway import refunds as at_stripe
from app.gateway.client import Gateway
from app.gateway.translate import OUR_REFUND

FAULTS = 3  # faults of Stripe's in a row, before a worker goes on later
LOOKS = 5
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRequest:
    """What an agent asks for."""

    payment_id: str
    basis: str
    reason: str
    note: str | None
    expected: Money


async def quote(sessions: Sessions, rules: Rules, payment_id: str, *, now: datetime) -> list[Quote]:
    """
    Return what each basis would pay for a payment now, and why or why not.

    :raises NotFound: there is no such payment.
    """
    async with sessions.begin() as session:
        case = await _case(session, rules, payment_id)
    return [quote_guarantee(case, now=now, zone=rules.zone)]


async def guarantee_of(sessions: Sessions, rules: Rules, sub: str, *, now: datetime) -> tuple[str, Quote]:
    """
    Return the payment that a reader's guarantee is about, with what it would pay now.

    :raises NoSubscription: they never paid for one.
    """
    async with sessions.begin() as session:
        subscriber = await subscribers.by_sub(session, sub)
        held = await subscriptions.current(session, subscriber.id) if subscriber else None
        paid = [p for p in await payments.of_subscription(session, held.id) if p.amount > 0] if held else []
        if not paid:
            raise NoSubscription
        case = await _case(session, rules, paid[0].id)
    return paid[0].id, quote_guarantee(case, now=now, zone=rules.zone)


async def _case(session: Session, rules: Rules, payment_id: str, *, lock: bool = False) -> Case:
    payment = await payments.by_id(session, payment_id)
    owner = await payments.owner_of(session, payment_id)
    if payment is None or owner is None:
        raise NotFound("there is no such payment")
    subscriber_id, subscription_id = owner
    if lock:
        await subscribers.lock(session, subscriber_id)
    subscription = await subscriptions.by_id(session, subscription_id)
    if subscription is None:
        raise NotFound("the payment is of no subscription")
    return Case(
        payment=payment,
        payments=await payments.of_subscription(session, subscription_id),
        refunds=await refunds.of_subscriber(session, subscriber_id),
        guarantee_days=rules.catalogue.plan(subscription.plan).guarantee.days,
    )


async def issue(
    sessions: Sessions,
    gateway: Gateway,
    rules: Rules,
    request: RefundRequest,
    *,
    refund_id: str,
    by: str,
    lease: timedelta,
    now: datetime,
) -> Refund:
    """
    Give money back on one payment, once. Called again with the same ``refund_id`` it goes on where it was.

    :param by: who asks, as the audit log writes it.
    :returns: the refund; still ``processing`` when Stripe has not answered, and then a worker goes on with it.
    :raises RefundRefused: the basis does not hold, or Stripe will not.
    :raises QuoteChanged: it is worth something else than what was shown.
    :raises RefundInProgress: another refund of the payment is on its way.
    """
    key = refunds.work_key(request.payment_id)
    async with sessions.begin() as session:
        if await refunds.by_id(session, refund_id) is None:
            await _begin(session, rules, request, refund_id=refund_id, by=by, now=now)
        leased = await work.take(session, key, owner=refund_id, lease=lease)
    if leased:
        async with work.held(sessions, key, owner=refund_id, lease=lease):
            try:
                await finish(sessions, gateway, rules, refund_id, now=now)
            except (StripeUnavailable, Overtaken):
                log.warning("refund_unfinished", refund=refund_id)  # its row is due: a worker goes on
    async with sessions.begin() as session:
        refund = await refunds.by_id(session, refund_id)
    if refund is None:
        raise NotFound("there is no such refund")
    return refund


async def _begin(
    session: Session, rules: Rules, request: RefundRequest, *, refund_id: str, by: str, now: datetime
) -> None:
    """Phase 1: what is to happen is decided and recorded, before anything does."""
    case = await _case(session, rules, request.payment_id, lock=True)
    if await refunds.unresolved(session, request.payment_id) is not None:
        raise RefundInProgress
    quoted = quote_guarantee(case, now=now, zone=rules.zone)
    accept(quoted, request.expected)
    owner = await payments.owner_of(session, request.payment_id)
    assert owner is not None
    refund = Refund(
        id=refund_id,
        payment_id=request.payment_id,
        subscriber_id=owner[0],
        basis=request.basis,
        amount=quoted.amount,
        tax=quoted.tax,
        currency=quoted.currency,
        reason=request.reason,
        note=request.note,
        requested_by=by,
        status=PROCESSING,
        created_at=now,
    )
    await refunds.insert(session, refund, unfinished=True)
    await intents.record(session, refund.id, "refund", _parameters(refund))
    await audit.record(
        session,
        actor=by,
        action="refund.requested",
        object_id=refund.id,
        subscriber_id=refund.subscriber_id,
        reason=refund.reason,
        after={"payment": refund.payment_id, "basis": refund.basis, "amount": refund.amount, "tax": refund.tax},
    )


async def finish(sessions: Sessions, gateway: Gateway, rules: Rules, refund_id: str, *, now: datetime) -> None:
    """
    Bring a recorded refund to its end, from wherever it stands. The caller holds the payment's lease.

    :raises StripeUnavailable: Stripe does not answer; call again later.
    :raises RefundRefused: Stripe will not; the refund is marked as failed.
    """
    async with sessions.begin() as session:
        refund = await refunds.by_id(session, refund_id)
        payment = await payments.by_id(session, refund.payment_id) if refund else None
    if refund is None or payment is None:
        raise NotFound("there is no such refund")
    if refund.status == PROCESSING:
        refund = await _settle(sessions, gateway, rules, refund, payment, now=now)
    if refund.status in CONFIRMED and refund.credit_note_id is None:
        await _credit(sessions, gateway, refund, payment)
    async with sessions.begin() as session:
        await refunds.finish(session, refund.id)


async def _settle(
    sessions: Sessions, gateway: Gateway, rules: Rules, refund: Refund, payment: Payment, *, now: datetime
) -> Refund:
    """Phases 2 and 3. What was seen is recorded only if nothing newer was meanwhile; else we look again."""
    for _ in range(LOOKS):
        async with sessions.begin() as session:
            version = await payments.version(session, payment.id)
        try:
            seen = await _pay(sessions, gateway, refund, payment)
        except RefundRefused as refusal:
            async with sessions.begin() as session:
                await subscribers.lock(session, refund.subscriber_id)
                newest = await payments.advance(session, payment.id, if_version=version)
                if newest:
                    await _fail(session, refund, refusal.code)
            if newest:
                raise
            continue
        async with sessions.begin() as session:
            await subscribers.lock(session, refund.subscriber_id)
            if await payments.advance(session, payment.id, if_version=version):
                return await recording.record(session, rules, refund, seen, now=now)
    raise Overtaken(f"the refund {refund.id} kept changing while it was looked at")


async def _pay(sessions: Sessions, gateway: Gateway, refund: Refund, payment: Payment) -> SeenRefund:
    """Phase 2: ask Stripe; before each try look whether an earlier one took effect after all."""
    for _ in range(FAULTS):
        state = await at_stripe.payment_state(gateway, payment.id)
        for seen in state.refunds:
            if seen.ours == refund.id:
                return seen
        _refuse_if_gone(state, refund, payment)
        async with sessions.begin() as session:
            await subscribers.lock(session, refund.subscriber_id)
            intent = await intents.record(session, refund.id, "refund", _parameters(refund))
        try:
            return await at_stripe.create(gateway, intent.parameters, key=intent.key)
        except StripeRefused as refusal:
            if seen_after_all := await _look_for(gateway, refund, payment):
                return seen_after_all
            if refusal.facts.get("stripe_code") == "charge_disputed":
                raise PaymentDisputed from refusal
            if refusal.facts.get("stripe_code") == "charge_already_refunded":
                raise NothingToRefund from refusal
            raise RefundRefused(f"Stripe refused the refund: {refusal}") from refusal
        except StripeFault:
            # The same key would be answered with the same fault. Only if it had no effect is another key used.
            if await _look_for(gateway, refund, payment) is None:
                async with sessions.begin() as session:
                    await intents.settle(session, intent.key)
    raise StripeUnavailable("Stripe keeps answering with faults of its own")


def _parameters(refund: Refund) -> dict[str, object]:
    return {
        "payment_intent": refund.payment_id,
        "amount": refund.amount,
        "reason": "requested_by_customer",
        "metadata": {OUR_REFUND: refund.id, "newsstand_basis": refund.basis},
    }


async def _look_for(gateway: Gateway, refund: Refund, payment: Payment) -> SeenRefund | None:
    """Return what Stripe has of a refund of ours, by its metadata."""
    state = await at_stripe.payment_state(gateway, payment.id)
    return next((seen for seen in state.refunds if seen.ours == refund.id), None)


def _refuse_if_gone(state: SeenPaymentState, refund: Refund, payment: Payment) -> None:
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


async def _credit(sessions: Sessions, gateway: Gateway, refund: Refund, payment: Payment) -> None:
    """Record the reversal and its tax on the invoice, linked to the refund; once."""
    if refund.stripe_refund_id is None or refund.basis == DASHBOARD:
        return
    note = await at_stripe.credit_note_of(gateway, payment.invoice_id, refund.stripe_refund_id)
    if note is None:
        parameters = {
            "invoice": payment.invoice_id,
            "amount": refund.amount,
            "refunds": [{"refund": refund.stripe_refund_id, "amount_refunded": refund.amount}],
            "metadata": {OUR_REFUND: refund.id},
        }
        async with sessions.begin() as session:
            await subscribers.lock(session, refund.subscriber_id)
            intent = await intents.record(session, refund.id, "credit_note", parameters)
        try:
            note = await at_stripe.credit(gateway, intent.parameters, key=intent.key)
        except StripeRefused as refusal:
            # The money is back and access has ended; what is missing is a paper, and a person has to look at it.
            log.error("credit_note_refused", refund=refund.id, reason=str(refusal))
            return
        except StripeFault:
            async with sessions.begin() as session:
                await intents.settle(session, intent.key)  # asked again, it is asked under another key, after a look
            raise
    async with sessions.begin() as session:
        await refunds.set_credit_note(session, refund.id, note)
