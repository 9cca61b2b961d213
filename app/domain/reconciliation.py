"""
In what our books differ from Stripe's, in words.

Stripe is the authority on money and on the state of a subscription, so what differs is looked at anew there, by the same
refetch that a webhook leaves. What no look would mend, a person has to see: it is said, and nothing is changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

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
)

EVENT_RETENTION = timedelta(days=30)  # for how long Stripe lists its events
LOOKBACK = timedelta(
    days=90
)  # how old an invoice can be that is paid, or a refund that changes, since the night before
FULL_INTERVAL = timedelta(days=30)  # without a whole comparison for so long, the next one goes back to the beginning


class SweepKind(StrEnum):
    """The purpose of a sweep over the objects at Stripe."""

    RECONCILE = "reconcile"
    IMPORT = "import"


class SweepPhase(StrEnum):
    """The part of a sweep that runs."""

    EVENTS = "events"
    SUBSCRIPTIONS = "subscriptions"
    PAYMENTS = "payments"
    REFUNDS = "refunds"
    DONE = "done"


PHASES: Mapping[str, Sequence[SweepPhase]] = {
    SweepKind.RECONCILE: tuple(SweepPhase),
    SweepKind.IMPORT: (SweepPhase.SUBSCRIPTIONS, SweepPhase.PAYMENTS, SweepPhase.REFUNDS, SweepPhase.DONE),
}


class AlreadyReconciling(Conflict):
    """Another reconciliation is running."""

    code = "already_reconciling"
    title = "Reconciliation already running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference. ``key`` is what is looked at to mend it; None: a person has to look."""

    object_id: str
    words: str
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedInvoice:
    """An invoice of a list, with the subscription it is of, if it is of one."""

    subscription_id: str | None
    invoice: StripeInvoiceState


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRefund:
    """A refund of a list, with the payment it is of, if Stripe says of which."""

    refund: StripeRefundState
    payment_id: str | None


def next_phase(kind: str, phase: str) -> str:
    """Return what comes after a phase."""
    phases = PHASES[kind]
    return phases[phases.index(phase) + 1]


def compare_subscription(
    held: Subscription | None, seen: StripeSubscriptionState, *, has_owner: bool, catalogue: Catalogue
) -> Difference | None:
    """
    Return in what a subscription differs.

    :param has_owner: whether its customer is one of our subscribers.
    """
    key = f"{RefetchKind.SUBSCRIPTION}:{seen.id}"
    try:
        plan = seen.plan
    except ForeignStripeObject:
        if held is None:
            return None  # of another product on the account
        return _difference(seen.id, held.status, "none of our plans", key=None)
    if held is None:
        if not has_owner:
            words = f"nobody's here, {seen.status} at Stripe for the customer {seen.customer_id}, who is no subscriber"
            return Difference(object_id=seen.id, words=f"subscription {seen.id}: {words}", key=None)
        if plan not in catalogue.plans:
            return _difference(seen.id, "unknown", f"of the plan {plan}, which the catalogue lacks", key=None)
        return _difference(seen.id, "unknown", seen.status, key=key)
    pairs = [(ours, theirs) for ours, theirs in _compared(held, seen) if ours != theirs]
    if pairs:
        return _difference(
            seen.id, ", ".join(ours for ours, _ in pairs), ", ".join(theirs for _, theirs in pairs), key=key
        )
    if (held.canceled_at, held.end_reason, held.created_at) != (seen.canceled_at, seen.end_reason, seen.created_at):
        return _difference(seen.id, "another date or reason of its end or beginning", "than", key=key)
    return None


def unknown_at_stripe(held: Subscription) -> Difference:
    """Return what is to be said of a subscription that Stripe does not have: perhaps the key is of another account."""
    return _difference(held.stripe_id, held.status, "unknown", key=None)


def _difference(stripe_id: str, ours: str, theirs: str, *, key: str | None) -> Difference:
    return Difference(object_id=stripe_id, words=f"subscription {stripe_id}: {ours} here, {theirs} at Stripe", key=key)


def _compared(held: Subscription, seen: StripeSubscriptionState) -> list[tuple[str, str]]:
    period = seen.period
    return [
        (held.status, seen.status),
        (_format_end(held.cancel_at), _format_end(seen.cancel_at)),
        (_format_ended(held.ended_at), _format_ended(seen.ended_at)),
        (f"plan {held.plan}", f"plan {seen.plan}"),
        (_format_print(held.print_edition), _format_print(seen.print_edition)),
        (_format_amount(held.price, held.currency), _format_amount(seen.price, seen.currency)),
        (
            _format_period(held.current_period_start, held.current_period_end),
            _format_period(*period) if period else _format_period(None, None),
        ),
    ]


def compare_payments(listed: ListedInvoice, held: Mapping[str, Payment]) -> list[Difference]:
    """Return in what the payments of an invoice of ours differ. ``held``: those that we have, by id."""
    found = []
    for payment in listed.invoice.payments:
        ours, paid = held.get(payment.id), _format_amount(payment.amount, listed.invoice.currency)
        if ours is None:
            words = f"payment {payment.id}: unknown here, {paid} at Stripe"
            key: str | None = f"{RefetchKind.SUBSCRIPTION}:{listed.subscription_id}"
            found.append(Difference(object_id=payment.id, words=words, key=key))
        elif (ours.amount, ours.currency) != (payment.amount, listed.invoice.currency):
            words = f"payment {payment.id}: {_format_amount(ours.amount, ours.currency)} here, {paid} at Stripe"
            found.append(Difference(object_id=payment.id, words=words, key=None))
    return found


def compare_refund(held: Refund | None, listed: ListedRefund) -> Difference | None:
    """Return in what a refund of a payment of ours differs. One of ours that is on its way differs in nothing."""
    seen, key = listed.refund, f"{RefetchKind.PAYMENT}:{listed.payment_id}"
    amount = _format_amount(seen.amount, seen.currency)
    if held is None:
        words = f"refund {seen.id}: unknown here, {amount} of {listed.payment_id} {seen.status} at Stripe"
        return Difference(object_id=seen.id, words=words, key=key)
    if held.status == RefundStatus.PROCESSING:
        return None
    if (held.amount, held.currency) != (seen.amount, seen.currency):
        words = f"refund {seen.id}: {_format_amount(held.amount, held.currency)} here, {amount} at Stripe"
        return Difference(object_id=seen.id, words=words, key=None)
    if held.status != seen.status:
        words = f"refund {seen.id}: {held.status} here, {seen.status} at Stripe"
        return Difference(object_id=seen.id, words=words, key=key)
    return None


def comparison_start(*, since: datetime | None, scheduled: bool, full_before: bool, now: datetime) -> datetime | None:
    """
    Return how far back payments and refunds are compared; None: to the beginning.

    A night compares what can have changed since the night before, if there was a whole comparison not long ago.
    """
    if since is not None:
        return since
    return now - LOOKBACK if scheduled and full_before else None


def until_next(at: time, *, now: datetime, zone: ZoneInfo) -> timedelta:
    """Return how long it is until a time of day in the publisher's zone."""
    today = now.astimezone(zone).date()
    coming = datetime.combine(today, at, zone).astimezone(UTC)
    if coming <= now:
        coming = datetime.combine(today + timedelta(days=1), at, zone).astimezone(UTC)
    return coming - now


def batches(types: Sequence[str], *, of: int) -> list[Sequence[str]]:
    """Return types of events in as many calls as they need."""
    return [types[start : start + of] for start in range(0, len(types), of)]


def _format_end(at: datetime | None) -> str:
    return f"ends {_format_time(at)}" if at is not None else "renews"


def _format_ended(at: datetime | None) -> str:
    return f"over since {_format_time(at)}" if at is not None else "not over"


def _format_print(wanted: object) -> str:
    return "with print" if wanted else "without print"


def _format_period(start: datetime | None, end: datetime | None) -> str:
    return f"from {_format_time(start)} to {_format_time(end)}" if start and end else "without a period"


def _format_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S").removesuffix(" 00:00:00")


def _format_amount(amount: int, currency: str) -> str:
    return f"{amount} {currency}"
