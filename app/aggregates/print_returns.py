"""
Print that was added within a term and whose payment is disputed or was returned: put on hold, restored, or ended.

The end is stored as a change of the print edition that nobody requested and that refunds nothing, in the transaction that
records the return. A worker takes print from the subscription at Stripe, as for any other change. Label runs leave the
copies out as soon as it is stored.

The caller holds the subscriber's lock.
"""

from datetime import datetime

from app.aggregates import grants
from app.db import audit, disputes, editions, payments, print_changes, refunds, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session, new_id
from app.domain.disputes import suspends
from app.domain.print_changes import PrintChange, PrintChangeKind, PrintChangeStatus
from app.domain.print_returns import basis_of_return, end_of_print, has_lost, suspended_from
from app.domain.progress import term_of
from app.domain.reasons import SuspensionReason
from app.domain.rules import Rules
from app.domain.subscriptions import Payment

ACTOR = "policy"


async def follow_disputes(session: Session, rules: Rules, subscription_id: str, payment: Payment) -> None:
    """Put the copies of the period that a payment added on hold, or send them again, as its disputes say."""
    terms = await subscriptions.terms_of(session, subscription_id)
    term = term_of(payment, terms)
    if term is None:
        return
    paid = await payments.of_subscription(session, subscription_id)
    added = [one for one in paid if one.print_from is not None and term_of(one, terms) == term]
    found = {one.id: await disputes.of_invoice(session, one.invoice_id) for one in added}
    ended = await print_changes.returned_invoices(session, subscription_id)
    at = suspended_from(added, found, rules.catalogue.disputes, ended=ended)
    if not await subscriptions.suspend_print(session, term.invoice_id, at):
        return
    subscription = await subscriptions.by_id(session, subscription_id)
    subscriber = await subscribers.by_id(session, subscription.subscriber_id) if subscription is not None else None
    if subscription is None or subscriber is None:
        return
    own = found.get(payment.id, [])
    is_held = has_lost(own) or any(suspends(one, rules.catalogue.disputes) for one in own)
    await audit.record(
        session,
        actor=ACTOR,
        action="print_edition.suspended" if is_held else "print_edition.restored",
        object_id=payment.id,
        subscriber_id=subscriber.id,
        reason=SuspensionReason.DISPUTE_OPEN if is_held else "dispute_over",
        after={"invoice": payment.invoice_id, "disputes": [one.id for one in own]},
    )
    await grants.derive(session, rules, subscriber, subscription)


async def end(
    session: Session, rules: Rules, subscription_id: str, payment: Payment, *, basis: str, at: datetime, now: datetime
) -> bool:
    """
    End print, because the payment that added it was returned whole. Return whether that is stored now.

    Nothing is left to end once that period is over, or print is being dropped. An addition that has not joined the
    subscription yet looks for itself, when it is completed (:func:`end_if_returned`).

    :param basis: the basis of the refund, or why the payment was lost.
    :param at: when it was returned.
    """
    subscription = await subscriptions.by_id(session, subscription_id)
    terms = await subscriptions.terms_of(session, subscription_id)
    term = term_of(payment, terms)
    if subscription is None or term is None or await print_changes.undecided(session, subscription_id) is not None:
        return False
    calendar = (await editions.locked(session, rules.zone)).calendar
    ends_at = end_of_print(payment, term, subscription, calendar, at=at, now=now)
    if ends_at is None:
        return False
    change = PrintChange(
        id=new_id("pch"),
        subscription_id=subscription_id,
        subscriber_id=subscription.subscriber_id,
        kind=PrintChangeKind.DROP,
        status=PrintChangeStatus.PROCESSING,
        issues=0,
        first_issue=None,
        price=0,
        total=0,
        tax=0,
        due=0,
        currency=payment.currency,
        price_id=None,
        starts_at=ends_at,
        ends_at=term.ends_at,
        requested_by=ACTOR,
        created_at=now if ends_at > at else at,  # what counted by a label cut-off
    )
    await print_changes.insert(session, change)
    await print_changes.set_invoice(session, change.id, payment.invoice_id)
    await subscriptions.suspend_print(session, term.invoice_id, payment.print_from)
    await audit.record(
        session,
        actor=ACTOR,
        action="print_edition.drop_requested",
        object_id=change.id,
        subscriber_id=subscription.subscriber_id,
        reason=basis,
        before={"subscription": subscription_id},
        after={"invoice": payment.invoice_id, "payment": payment.id},
    )
    await leases.notify(session)
    if subscriber := await subscribers.by_id(session, subscription.subscriber_id):
        await grants.derive(session, rules, subscriber, subscription)
    return True


async def end_if_returned(session: Session, rules: Rules, change: PrintChange, *, now: datetime) -> None:
    """End print that has just joined the subscription, if its payment was returned whole meanwhile."""
    paid = await payments.of_invoice(session, change.invoice_id or "")
    given = [one for payment in paid for one in await refunds.of_payment(session, payment.id)]
    basis = basis_of_return(paid, given, await disputes.of_invoice(session, change.invoice_id or ""))
    if basis is not None:
        await end(session, rules, change.subscription_id, paid[0], basis=basis, at=now, now=now)
