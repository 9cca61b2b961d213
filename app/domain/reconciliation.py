"""
Reconciliation: the differences between our records and Stripe's.

Stripe is the authority on money and on the state of a subscription, so an object that differs is fetched again, like after a
webhook. A difference that this can't resolve is reported to staff, and nothing is changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from app.domain.customers import StripeCustomerState
from app.domain.disputes import Dispute, StripeDisputeState
from app.domain.errors import Conflict
from app.domain.events import RefetchKind
from app.domain.plans import Catalogue
from app.domain.refunds import Refund, RefundStatus, StripeRefundState
from app.domain.subscriptions import (
    ForeignStripeObject,
    Payment,
    StripeInvoiceState,
    StripeSubscriptionState,
    Subscription,
    Term,
)

EVENT_RETENTION = timedelta(days=30)  # for how long Stripe lists its events
LOOKBACK = timedelta(
    days=90
)  # how old an invoice can be that is paid, or a refund that changes, since the night before
FULL_INTERVAL = timedelta(days=30)  # if the last full comparison is older, the next one is full again


class SweepKind(StrEnum):
    """The purpose of a sweep over the objects at Stripe."""

    RECONCILE = "reconcile"
    IMPORT = "import"
    RECOVER = "recover"  # after a backup was restored


class SweepPhase(StrEnum):
    """The part of a sweep that runs."""

    EVENTS = "events"
    SUBSCRIPTIONS = "subscriptions"
    PAYMENTS = "payments"
    REFUNDS = "refunds"
    DISPUTES = "disputes"
    DONE = "done"


PHASES: Mapping[str, Sequence[SweepPhase]] = {
    SweepKind.RECONCILE: tuple(SweepPhase),
    SweepKind.IMPORT: tuple(phase for phase in SweepPhase if phase != SweepPhase.EVENTS),
    SweepKind.RECOVER: tuple(SweepPhase),
}


class AlreadyReconciling(Conflict):
    """Another reconciliation is running."""

    code = "already_reconciling"
    title = "Reconciliation already running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    A difference. ``key`` is the refetch that resolves it; None: staff must check it.

    With ``code``, it is none, but something unusual that staff will see after an import.
    """

    object_id: str
    words: str
    key: str | None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSubscription:
    """A listed subscription without its invoices, and its customer if it was listed with it."""

    state: StripeSubscriptionState
    customer: StripeCustomerState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedInvoice:
    """A listed invoice, with the ID of its subscription if it has one."""

    subscription_id: str | None
    invoice: StripeInvoiceState


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRefund:
    """A listed refund, with the ID of its payment if Stripe returns one."""

    refund: StripeRefundState
    payment_id: str | None


def next_phase(kind: str, phase: str) -> str:
    """Return the phase that follows."""
    phases = PHASES[kind]
    return phases[phases.index(phase) + 1]


def compare_subscription(
    subscription: Subscription | None,
    seen: StripeSubscriptionState,
    *,
    has_owner: bool,
    catalogue: Catalogue,
    lacks_address: bool = False,
) -> Difference | None:
    """
    Return how our copy of a subscription differs from Stripe's; None if it doesn't.

    :param has_owner: whether its customer is one of our subscribers.
    :param lacks_address: whether its copies are owed to a reader without an address.
    """
    key = f"{RefetchKind.SUBSCRIPTION}:{seen.id}"
    try:
        plan = seen.plan
    except ForeignStripeObject:
        if subscription is None:
            return None  # of another product on the account
        return _difference(seen.id, subscription.status, "not one of our plans", key=None)
    if subscription is None:
        if not has_owner:
            words = f"unknown here, {seen.status} at Stripe for {seen.customer_id}, which is not a known customer"
            return Difference(object_id=seen.id, words=f"subscription {seen.id}: {words}", key=None)
        if plan not in catalogue.plans:
            return _difference(seen.id, "unknown", f"plan {plan}, which is not in the catalogue,", key=None)
        return _difference(seen.id, "unknown", seen.status, key=key)
    pairs = [(ours, theirs) for ours, theirs in _compared(subscription, seen) if ours != theirs]
    if pairs:
        return _difference(
            seen.id, ", ".join(ours for ours, _ in pairs), ", ".join(theirs for _, theirs in pairs), key=key
        )
    dates_and_reason = (subscription.canceled_at, subscription.end_reason, subscription.created_at)
    if dates_and_reason != (seen.canceled_at, seen.end_reason, seen.created_at):
        words = f"subscription {seen.id}: the start date, cancellation date or end reason differs"
        return Difference(object_id=seen.id, words=words, key=key)
    if seen.card is not None and seen.card != subscription.card and subscription.is_live:
        return Difference(object_id=seen.id, words=f"subscription {seen.id}: the card that pays differs", key=key)
    if lacks_address and seen.shipping is not None:
        words = f"subscription {seen.id}: no postal address here, and one at Stripe"
        return Difference(object_id=seen.id, words=words, key=key)
    return None


def unknown_at_stripe(subscription: Subscription) -> Difference:
    """Return the difference for a subscription that Stripe doesn't have, perhaps because the key is for another account."""
    return _difference(subscription.stripe_id, subscription.status, "unknown", key=None)


def _difference(stripe_id: str, ours: str, theirs: str, *, key: str | None) -> Difference:
    return Difference(object_id=stripe_id, words=f"subscription {stripe_id}: {ours} here, {theirs} at Stripe", key=key)


def _compared(subscription: Subscription, seen: StripeSubscriptionState) -> list[tuple[str, str]]:
    period = seen.period
    return [
        (subscription.status, seen.status),
        (_format_end(subscription.cancel_at), _format_end(seen.cancel_at)),
        (_format_ended(subscription.ended_at), _format_ended(seen.ended_at)),
        (f"plan {subscription.plan}", f"plan {seen.plan}"),
        (_format_print(subscription.print_edition), _format_print(seen.print_edition)),
        (_format_amount(subscription.price, subscription.currency), _format_amount(seen.price, seen.currency)),
        (
            _format_period(subscription.current_period_start, subscription.current_period_end),
            _format_period(*period) if period else _format_period(None, None),
        ),
    ]


def compare_payments(listed: ListedInvoice, stored: Mapping[str, Payment]) -> list[Difference]:
    """Return how the payments of an invoice differ from our copies. ``stored`` has our copies by ID."""
    found = []
    for payment in listed.invoice.payments:
        ours, paid = stored.get(payment.id), _format_amount(payment.amount, listed.invoice.currency)
        if ours is None:
            words = f"payment {payment.id}: unknown here, {paid} at Stripe"
            key: str | None = f"{RefetchKind.SUBSCRIPTION}:{listed.subscription_id}"
            found.append(Difference(object_id=payment.id, words=words, key=key))
        elif (ours.amount, ours.currency) != (payment.amount, listed.invoice.currency):
            words = f"payment {payment.id}: {_format_amount(ours.amount, ours.currency)} here, {paid} at Stripe"
            found.append(Difference(object_id=payment.id, words=words, key=None))
    return found


def may_open_term(invoice: StripeInvoiceState, subscription: Subscription | None) -> bool:
    """Return whether a listed invoice without a payment may open a term: it is ours, and for a time after the trial."""
    if subscription is None:
        return False
    trial_end = subscription.trial_end
    return trial_end is None or any(line.span.ends_at > trial_end for line in invoice.lines)


def missing_term(term: Term, subscription_id: str) -> Difference:
    """Return the difference for a term that we don't have, whose invoice was paid without a payment."""
    period = _format_period(term.starts_at, term.ends_at)
    words = f"invoice {term.invoice_id}: no term here, paid without a payment at Stripe, {period}"
    return Difference(object_id=term.invoice_id, words=words, key=f"{RefetchKind.SUBSCRIPTION}:{subscription_id}")


def compare_refund(stored: Refund | None, listed: ListedRefund) -> Difference | None:
    """Return how a refund differs from our copy; None if it doesn't, or while we process it."""
    seen, key = listed.refund, f"{RefetchKind.PAYMENT}:{listed.payment_id}"
    amount = _format_amount(seen.amount, seen.currency)
    if stored is None:
        words = f"refund {seen.id}: unknown here, {amount} of {listed.payment_id} {seen.status} at Stripe"
        return Difference(object_id=seen.id, words=words, key=key)
    if stored.status == RefundStatus.PROCESSING:
        return None
    if (stored.amount, stored.currency) != (seen.amount, seen.currency):
        words = f"refund {seen.id}: {_format_amount(stored.amount, stored.currency)} here, {amount} at Stripe"
        return Difference(object_id=seen.id, words=words, key=None)
    if stored.status != seen.status:
        words = f"refund {seen.id}: {stored.status} here, {seen.status} at Stripe"
        return Difference(object_id=seen.id, words=words, key=key)
    return None


def compare_dispute(ours: Dispute | None, theirs: StripeDisputeState) -> Difference | None:
    """Return how a dispute of one of our payments differs from our copy; None if it doesn't."""
    key = f"{RefetchKind.PAYMENT}:{theirs.payment_id}"
    if ours is None or ours.subscriber_id is None:
        words = f"dispute {theirs.id}: unknown here, {theirs.status} at Stripe"
    elif ours.status != theirs.status:
        words = f"dispute {theirs.id}: {ours.status} here, {theirs.status} at Stripe"
    else:
        return None
    return Difference(object_id=theirs.id, words=words, key=key)


def comparison_start(
    *, kind: str, since: datetime | None, scheduled: bool, full_before: bool, now: datetime
) -> datetime | None:
    """
    Return from when on payments and refunds are compared; None: from the beginning.

    A scheduled reconciliation compares only what can have changed, if there was a full comparison recently. After a backup
    was restored, an invoice that was created before the backup can have been paid since.
    """
    if since is not None:
        return since - LOOKBACK if kind == SweepKind.RECOVER else since
    return now - LOOKBACK if scheduled and full_before else None


def until_next(at: time, *, now: datetime, zone: ZoneInfo) -> timedelta:
    """Return the time until the next ``at`` in the publisher's time zone."""
    today = now.astimezone(zone).date()
    coming = datetime.combine(today, at, zone).astimezone(UTC)
    if coming <= now:
        coming = datetime.combine(today + timedelta(days=1), at, zone).astimezone(UTC)
    return coming - now


def batches(types: Sequence[str], *, of: int) -> list[Sequence[str]]:
    """Split event types into batches of ``of``, one for each call."""
    return [types[start : start + of] for start in range(0, len(types), of)]


def _format_end(at: datetime | None) -> str:
    return f"ends {_format_time(at)}" if at is not None else "renews"


def _format_ended(at: datetime | None) -> str:
    return f"ended {_format_time(at)}" if at is not None else "not ended"


def _format_print(wanted: object) -> str:
    return "with print" if wanted else "without print"


def _format_period(start: datetime | None, end: datetime | None) -> str:
    return f"from {_format_time(start)} to {_format_time(end)}" if start and end else "without a period"


def _format_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S").removesuffix(" 00:00:00")


def _format_amount(amount: int, currency: str) -> str:
    return f"{amount} {currency}"
