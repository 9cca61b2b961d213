"""Payments, followed: what goes back of them, by our own refunds and by hand in Stripe's Dashboard."""

from datetime import datetime

from app.db import payments, recording, refunds, subscribers
from app.db.session import Session, Sessions, new_id
from app.db.subscriptions import Overtaken
from app.domain.errors import NotFound
from app.domain.events import INVOICE, LookFirst
from app.domain.policy import Rules
from app.domain.refunds import DASHBOARD, Refund, SeenRefund
from app.gateway import refunds as at_stripe
from app.gateway.client import Gateway

LOOKS = 5  # how often we look again when somebody saved meanwhile


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
                    await recording.record(
                        session, rules, await _known(session, owner[0], payment_id, seen), seen, now=now
                    )
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
