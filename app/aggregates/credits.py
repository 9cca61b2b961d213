"""
Credits of a subscription, and what follows from them. The caller holds the subscriber's lock.

They come from a fetched subscription, or from the steps that complete its end at Stripe.
"""

from collections.abc import Sequence
from datetime import datetime

from app.aggregates import cancellations
from app.db import audit, credits, payments, refunds, subscriptions
from app.db.engine.session import Session
from app.domain.credits import OF_NOTES, Credit, CreditPart, credit_parts, is_whole
from app.domain.refunds import RefundBasis
from app.domain.rules import Rules
from app.domain.subscriptions import Subscription


async def save(session: Session, subscription_id: str, found: Sequence[Credit]) -> list[Credit]:
    """
    Save credits, and what was credited of each payment since.

    :returns: those that are new or changed.
    """
    if not found:
        return []
    changed = await credits.save(session, subscription_id, found)
    await allocate(session, subscription_id)
    return changed


async def allocate(session: Session, subscription_id: str) -> None:
    """Save what was credited of each payment, after a change of its credits or refunds."""
    known = await credits.of_subscription(session, subscription_id)
    if not known:
        return
    subscription = await subscriptions.by_id(session, subscription_id)
    assert subscription is not None
    paid = await payments.of_subscription(session, subscription_id)
    terms = await subscriptions.terms_of(session, subscription_id)
    given = await refunds.of_subscriber(session, subscription.subscriber_id)
    found: dict[str, list[CreditPart]] = {one.id: [] for one in paid}
    for part in credit_parts(paid, terms, known, given):
        found[part.payment_id].append(part)
    await payments.set_credited(session, found)


async def record(
    session: Session, rules: Rules, subscription: Subscription, found: Sequence[Credit], *, now: datetime
) -> None:
    """Save credits that were just fetched. A credit note that returns a payment whole counts as a whole refund of it."""
    changed = await save(session, subscription.id, found)
    invoices = {one.invoice_id for one in changed if one.kind in OF_NOTES}
    if not invoices:
        return
    paid = await payments.of_subscription(session, subscription.id)
    given = await refunds.of_subscriber(session, subscription.subscriber_id)
    known = await credits.of_subscription(session, subscription.id)
    terms = await subscriptions.terms_of(session, subscription.id)
    for term in terms:
        if term.invoice_id not in invoices or term.is_refunded:
            continue
        if not is_whole(term.invoice_id, paid, known, given):
            continue
        await subscriptions.mark_term_refunded(session, term.invoice_id, RefundBasis.DASHBOARD, at=now)
        ended = False
        if term == terms[-1]:
            ended = await cancellations.end(session, rules, subscription.id, by=RefundBasis.DASHBOARD, now=now)
        await audit.record(
            session,
            actor="stripe",
            action="payment.credited",
            object_id=term.invoice_id,
            subscriber_id=subscription.subscriber_id,
            reason="made_in_stripe",
            after={"subscription": subscription.id, "basis": RefundBasis.DASHBOARD, "ended": ended},
        )
