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

from app.db import audit, grants, intents, payments, refunds, subscribers, subscriptions, work
from app.db.session import Session, Sessions, new_id
from app.db.subscriptions import Overtaken
from app.domain.errors import NotFound, StripeFault, StripeRefused, StripeUnavailable
from app.domain.events import INVOICE, LookFirst
from app.domain.money import Money
from app.domain.policy import Rules
from app.domain.refunds import (
    CANCELED,
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
    ends_term,
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
        try:
            await finish(sessions, gateway, rules, refund_id, now=now)
        except StripeUnavailable:
            log.warning("refund_unfinished", refund=refund_id)  # its row is due: a worker goes on
        finally:
            async with sessions.begin() as session:
                await work.release(session, key, owner=refund_id)
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
        try:
            seen = await _pay(sessions, gateway, refund, payment)
        except RefundRefused as refusal:
            async with sessions.begin() as session:
                await _fail(session, refund, refusal.code)
            raise
        async with sessions.begin() as session:
            refund = await _record(session, rules, refund, seen, now=now)
    if refund.status in CONFIRMED and refund.credit_note_id is None:
        await _credit(sessions, gateway, refund, payment)
    async with sessions.begin() as session:
        await refunds.finish(session, refund.id)


async def _pay(sessions: Sessions, gateway: Gateway, refund: Refund, payment: Payment) -> SeenRefund:
    """Phase 2: ask Stripe; before each try look whether an earlier one took effect after all."""
    for _ in range(FAULTS):
        state = await at_stripe.payment_state(gateway, payment.id)
        ours = [seen for seen in state.refunds if seen.ours == refund.id and seen.status not in {FAILED, CANCELED}]
        if ours:
            return ours[-1]
        _refuse_if_gone(state, refund, payment)
        async with sessions.begin() as session:
            await subscribers.lock(session, refund.subscriber_id)
            intent = await intents.record(session, refund.id, "refund", _parameters(refund))
        try:
            return await at_stripe.create(gateway, intent.parameters, key=intent.key)
        except StripeRefused as refusal:
            if refusal.facts.get("stripe_code") == "charge_disputed":
                raise PaymentDisputed from refusal
            if refusal.facts.get("stripe_code") == "charge_already_refunded":
                raise NothingToRefund from refusal
            raise RefundRefused(f"Stripe refused the refund: {refusal}") from refusal
        except StripeFault:
            # The same key would be answered with the same fault. The look at the top of the loop tells whether it took
            # effect; only if it did not is another key used.
            if not await _took_effect(gateway, refund, payment):
                async with sessions.begin() as session:
                    await intents.raise_attempt(session, intent.key)
    raise StripeUnavailable("Stripe keeps answering with faults of its own")


def _parameters(refund: Refund) -> dict[str, object]:
    return {
        "payment_intent": refund.payment_id,
        "amount": refund.amount,
        "reason": "requested_by_customer",
        "metadata": {OUR_REFUND: refund.id, "newsstand_basis": refund.basis},
    }


async def _took_effect(gateway: Gateway, refund: Refund, payment: Payment) -> bool:
    state = await at_stripe.payment_state(gateway, payment.id)
    return any(seen.ours == refund.id for seen in state.refunds)


def _refuse_if_gone(state: SeenPaymentState, refund: Refund, payment: Payment) -> None:
    """Refuse when the money went back in another way since it was quoted."""
    if state.disputed and not state.refundable:
        raise PaymentDisputed
    given = sum(seen.amount for seen in state.refunds if seen.status in COUNTED)
    if not state.refundable or given + refund.amount > payment.amount:
        raise NothingToRefund


async def _fail(session: Session, refund: Refund, why: str) -> None:
    await subscribers.lock(session, refund.subscriber_id)
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


async def _record(session: Session, rules: Rules, refund: Refund, seen: SeenRefund, *, now: datetime) -> Refund:
    """
    Phase 3, in the caller's transaction: keep Stripe's answer and, once, what follows from a confirmed refund.

    A webhook may have been quicker; then the consequences are there already.
    """
    subscriber = await subscribers.lock(session, refund.subscriber_id)
    await payments.advance(session, refund.payment_id)
    held = await refunds.by_id(session, refund.id)
    if held is not None and (held.status, held.stripe_refund_id) != (seen.status, seen.id):
        await refunds.set_status(
            session, refund.id, seen.status, stripe_refund_id=seen.id, failure_reason=seen.failure_reason
        )
    if seen.status in CONFIRMED and await refunds.mark_recorded(session, refund.id, now=now):
        payment = await payments.by_id(session, refund.payment_id)
        owner = await payments.owner_of(session, refund.payment_id)
        given = sum(r.amount for r in await refunds.of_payment(session, refund.payment_id) if r.status in CONFIRMED)
        ended = False
        if payment is not None and owner is not None and ends_term(refund.basis, whole=given >= payment.amount):
            await subscriptions.mark_term_refunded(session, payment.invoice_id, refund.basis)
            ended = await subscriptions.order_end(session, owner[1], by=refund.basis, now=now)
            subscription = await subscriptions.by_id(session, owner[1])
            if subscription is not None:
                await grants.derive(session, subscriber, subscription, rules.catalogue, rules.access)
        await audit.record(
            session,
            actor=refund.requested_by,
            action="refund.confirmed",
            object_id=refund.id,
            subscriber_id=refund.subscriber_id,
            reason=refund.reason,
            before={"status": PROCESSING},
            after={"status": seen.status, "stripe_refund": seen.id, "amount": seen.amount, "ended": ended},
        )
        await work.notify(session)
    recorded = await refunds.by_id(session, refund.id)
    assert recorded is not None
    return recorded


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
                await intents.raise_attempt(session, intent.key)
            raise
    async with sessions.begin() as session:
        await refunds.set_credit_note(session, refund.id, note)


async def follow(sessions: Sessions, gateway: Gateway, rules: Rules, payment_id: str, *, now: datetime) -> None:
    """
    Bring a payment's refunds up to Stripe's state: ours by their metadata, and those made by hand in the Dashboard.

    :raises LookFirst: the payment is not here yet; its invoice's subscription has to be looked at before.
    :raises NotOurs: it is of no invoice.
    """
    for _ in range(LOOKS):
        async with sessions.begin() as session:
            version = await payments.version(session, payment_id)
        if version == 0:
            raise LookFirst(f"{INVOICE}:{await at_stripe.invoice_of(gateway, payment_id)}")
        state = await at_stripe.payment_state(gateway, payment_id)
        async with sessions.begin() as session:
            owner = await payments.owner_of(session, payment_id)
            if owner is None:
                raise NotFound("there is no such payment")
            await subscribers.lock(session, owner[0])
            if await payments.advance(session, payment_id, if_version=version):
                for seen in state.refunds:
                    await _record(session, rules, await _known(session, owner[0], payment_id, seen), seen, now=now)
                return
    raise Overtaken(payment_id)


async def _known(session: Session, subscriber_id: str, payment_id: str, seen: SeenRefund) -> Refund:
    """Return our refund that Stripe's is, or record one that was made by hand there."""
    for held in await refunds.of_payment(session, payment_id):
        if held.stripe_refund_id == seen.id or (held.stripe_refund_id is None and held.id == seen.ours):
            return held
    refund = Refund(
        id=new_id("rfd"),
        payment_id=payment_id,
        subscriber_id=subscriber_id,
        basis=DASHBOARD,
        amount=seen.amount,
        tax=0,
        currency=seen.currency,
        reason="made_in_stripe",
        note=None,
        requested_by="stripe",
        status=seen.status,
        stripe_refund_id=seen.id,
        failure_reason=seen.failure_reason,
        created_at=seen.created_at,
    )
    await refunds.insert(session, refund, unfinished=False)
    return refund
