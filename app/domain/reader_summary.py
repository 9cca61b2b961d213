"""A reader's subscription in one sentence, for support staff."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from app.domain.access_status import AccessStatus, access_status, is_over
from app.domain.current_subscription import current_subscription
from app.domain.dunning import AccessPolicy
from app.domain.ledgers import Ledger
from app.domain.reasons import EndReason
from app.domain.refunds import RefundBasis
from app.domain.status_cells import Cell
from app.domain.subscriptions import UNPAID, Subscription, SubscriptionStatus, Term
from app.domain.text import format_date

ENDED_BY: Mapping[str, str] = {
    RefundBasis.GUARANTEE: "refunded under the money-back guarantee",
    RefundBasis.UNSERVED_ISSUES: "refunded for unserved issues",
    RefundBasis.DUPLICATE: "duplicate subscription, refunded",
    RefundBasis.PAID_AFTER_END: "paid after its end, refunded",
    RefundBasis.DASHBOARD: "refunded in Stripe's Dashboard",
    **{reason: reason.label for reason in EndReason},
}
ENDED_FOR = {
    "payment_failed": "renewal never paid",
    "payment_disputed": "payment disputed",
    "cancellation_requested": "canceled",
}


def summary_of(
    subscriptions: Sequence[tuple[Subscription, Sequence[Term]]],
    *,
    policy: AccessPolicy,
    ledgers: Mapping[str, Ledger] | None = None,
    guest_until: datetime | None = None,
    now: datetime,
) -> str:
    """
    Return one sentence about a reader's subscription.

    :param subscriptions: the reader's subscriptions, each with its terms.
    :param policy: how long access continues after a term, and the publisher's time zone.
    :param ledgers: ledgers of the terms, by invoice.
    :param guest_until: end of access from another source than a subscription, such as a comp.
    """
    zone = policy.zone
    chosen = current_subscription(subscriptions)
    if chosen is None or not chosen[0].is_live:
        if guest_until is not None and guest_until > now:
            why = "no subscription" if chosen is None else "subscription ended"
            return f"Complimentary access until {format_date(guest_until, zone)} ({why})"
        if chosen is None:
            return "Never subscribed"
    subscription, terms = chosen
    counted = [term for term in terms if not term.is_refunded]
    last = max(counted, key=lambda term: term.ends_at, default=None)
    if is_over(subscription) or subscription.status == SubscriptionStatus.INCOMPLETE:
        return _ended_summary(subscription, terms, zone)
    status = access_status(subscription, terms, policy, now=now)
    if last is None:
        return _unpaid_summary(subscription, status, zone)
    text = f"Paid until {format_date(last.ends_at, zone)}, {_editions(subscription, last)}"
    owed, unserved = _issues_to_come(last, counted, ledgers or {})
    if owed:
        text += f", {unserved} of {owed} issues remaining"
    if last.suspended_as is not None:
        text += "; payment disputed, access on hold"
    if unusual := _unusual(status, last, zone, now=now):
        return f"{text}; {unusual}"
    if subscription.cancel_at is not None:
        ends = subscription.cancel_at
        text += "; does not renew" if ends >= last.ends_at else f"; ends on {format_date(ends, zone)}"
    return text


def _unusual(status: AccessStatus, last: Term, zone: ZoneInfo, *, now: datetime) -> str:
    """Return what is unusual, and until when access continues; empty if nothing is."""
    what = status.cell.summary if isinstance(status.cell, Cell) else "in an impossible state"
    if not what and status.has_access and now >= last.ends_at:
        what = "the renewal is pending"
    return f"{what}; {_access(status, zone)}" if what else ""


def _access(status: AccessStatus, zone: ZoneInfo) -> str:
    if status.until is None:
        return "access continues until the payment succeeds or fails" if status.has_access else "no access yet"
    return f"access {'until' if status.has_access else 'ended on'} {format_date(status.until, zone)}"


def _issues_to_come(last: Term, counted: Sequence[Term], ledgers: Mapping[str, Ledger]) -> tuple[int, int]:
    """Return the issues owed and those not yet served: of the newest term, and of earlier terms that still owe some."""
    found = [ledgers[term.invoice_id] for term in counted if term.invoice_id in ledgers]
    open_ones = [one for one in found if one.unserved or one.invoice_id == last.invoice_id]
    return sum(one.owed for one in open_ones), sum(one.unserved for one in open_ones)


def _editions(subscription: Subscription, term: Term | None) -> str:
    printed = term.print_edition if term is not None else subscription.print_edition
    return "print and digital" if printed else "digital"


def _unpaid_summary(subscription: Subscription, status: AccessStatus, zone: ZoneInfo) -> str:
    """Return the sentence for a subscription that has not ended and has no paid term."""
    until = subscription.current_period_end
    if subscription.status == SubscriptionStatus.TRIALING and until is not None and not status.has_lapsed:
        return f"Trial until {format_date(until, zone)}, digital"
    if subscription.status in UNPAID:
        return "First payment failed"
    what = status.cell.summary if isinstance(status.cell, Cell) else ""
    if status.has_access or status.has_lapsed:
        return f"Subscribed, not paid yet; {_access(status, zone)}"
    return f"Subscribed, not paid yet; {what}" if what else "Subscribed, not paid yet"


def _ended_summary(subscription: Subscription, terms: Sequence[Term], zone: ZoneInfo) -> str:
    if subscription.status == SubscriptionStatus.INCOMPLETE and subscription.access_ended_at is None:
        return "Checkout started, first payment pending"
    if subscription.status == SubscriptionStatus.INCOMPLETE_EXPIRED:
        return "Checkout started, never paid"
    failed = any(term.refund_failed and term.is_refunded for term in terms)
    why = (
        "refund failed"
        if failed
        else ENDED_BY.get(subscription.ended_by or "") or ENDED_FOR.get(subscription.end_reason or "", "not renewed")
    )
    ended = subscription.access_ended_at or subscription.ended_at
    return f"Ended on {format_date(ended, zone)}: {why}" if ended is not None else f"Ended: {why}"
