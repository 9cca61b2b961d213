"""A reader's subscription in one line for support staff: what applies, one date, and the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.domain.access_status import AccessStatus, access_status, is_over
from app.domain.current_subscription import current_subscription
from app.domain.dunning import AccessPolicy
from app.domain.ledgers import Ledger
from app.domain.reasons import EndReason
from app.domain.refunds import RefundBasis
from app.domain.status_cells import Cell
from app.domain.subscriptions import UNPAID, Subscription, SubscriptionStatus, Term
from app.domain.text import Wording

ENDED_BY: Mapping[str, str] = {
    RefundBasis.GUARANTEE: "refunded under the money-back guarantee",
    RefundBasis.WITHDRAWAL: "the reader withdrew from the contract",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSummary:
    """The status of a reader. ``text`` has one date and its reason."""

    text: str
    details: str = ""  # the editions, and the issues to come
    needs_attention: bool = False  # something is unusual, such as an unpaid renewal or a dispute


def summary_of(
    subscriptions: Sequence[tuple[Subscription, Sequence[Term]]],
    *,
    policy: AccessPolicy,
    ledgers: Mapping[str, Ledger] | None = None,
    guest_until: datetime | None = None,
    now: datetime,
) -> ReaderSummary:
    """
    Return the status of a reader's subscription.

    :param subscriptions: the reader's subscriptions, each with its terms.
    :param policy: how long access continues after a term, and how dates are written.
    :param ledgers: ledgers of the terms, by invoice.
    :param guest_until: end of access from another source than a subscription, such as a comp.
    """
    wording = policy.wording
    chosen = current_subscription(subscriptions)
    if chosen is None or not chosen[0].is_live:
        if guest_until is not None and guest_until > now:
            why = "no subscription" if chosen is None else "subscription ended"
            return ReaderSummary(text=f"Complimentary access until {wording.date(guest_until)} ({why})")
        if chosen is None:
            return ReaderSummary(text="Never subscribed")
    subscription, terms = chosen
    counted = [term for term in terms if not term.is_refunded]
    last = max(counted, key=lambda term: term.ends_at, default=None)
    if is_over(subscription) or subscription.status == SubscriptionStatus.INCOMPLETE:
        return ReaderSummary(text=_ended(subscription, terms, wording))
    status = access_status(subscription, terms, policy, now=now)
    if last is None:
        unpaid, attention = _unpaid(subscription, status, wording), subscription.status in UNPAID
        return ReaderSummary(text=unpaid, needs_attention=attention)
    details = _editions(last)
    owed, unserved = _issues_to_come(last, counted, ledgers or {})
    if owed:
        details += f", {unserved} of {owed} issues remaining"
    unusual = _unusual(status, last, wording, now=now)
    return ReaderSummary(
        text=unusual or _usual(subscription, last, wording), details=details, needs_attention=bool(unusual)
    )


def _usual(subscription: Subscription, last: Term, wording: Wording) -> str:
    ends = subscription.cancel_at
    if ends is None:
        price = wording.money(subscription.price, subscription.currency)
        return f"Paid until {wording.date(last.ends_at)}, then renews for {price}"
    if ends >= last.ends_at:
        return f"Paid until {wording.date(last.ends_at)}, does not renew (canceled)"
    return f"Ends on {wording.date(ends)} (canceled before the end of the paid period)"


def _unusual(status: AccessStatus, last: Term, wording: Wording, *, now: datetime) -> str:
    """Return until when access continues, and what is unusual; empty if nothing is."""
    what = status.cell.summary if isinstance(status.cell, Cell) else "in an impossible state"
    if not what and status.has_access and now >= last.ends_at:
        what = "the renewal is pending"
    if last.suspended_as is not None:
        what = "payment disputed" + (f"; {what}" if what else "")
        if not status.has_access:
            return f"Access on hold: {what}"
    return f"{_access(status, wording)}: {what}" if what else ""


def _access(status: AccessStatus, wording: Wording) -> str:
    if status.until is None:
        return "Access continues until the payment succeeds or fails" if status.has_access else "No access yet"
    return f"Access {'until' if status.has_access else 'ended on'} {wording.date(status.until)}"


def _issues_to_come(last: Term, counted: Sequence[Term], ledgers: Mapping[str, Ledger]) -> tuple[int, int]:
    """Return the issues owed and those not yet served: of the newest term, and of earlier terms that still owe some."""
    found = [ledgers[term.invoice_id] for term in counted if term.invoice_id in ledgers]
    open_ones = [one for one in found if one.unserved or one.invoice_id == last.invoice_id]
    return sum(one.owed for one in open_ones), sum(one.unserved for one in open_ones)


def _editions(term: Term) -> str:
    return "Print and digital" if term.print_edition else "Digital"


def _unpaid(subscription: Subscription, status: AccessStatus, wording: Wording) -> str:
    """Return the line for a subscription that has not ended and has no paid term."""
    until = subscription.current_period_end
    if subscription.status == SubscriptionStatus.TRIALING and until is not None and not status.has_lapsed:
        return f"Trial until {wording.date(until)}, digital"
    if subscription.status in UNPAID:
        return "First payment failed"
    what = status.cell.summary if isinstance(status.cell, Cell) else ""
    if status.has_access or status.has_lapsed:
        return f"{_access(status, wording)}: subscribed, not paid yet"
    return f"Subscribed, not paid yet: {what}" if what else "Subscribed, not paid yet"


def _ended(subscription: Subscription, terms: Sequence[Term], wording: Wording) -> str:
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
    return f"Ended on {wording.date(ended)}: {why}" if ended is not None else f"Ended: {why}"
