"""How a reader stands, in a sentence: the first thing that support wants to know."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from app.domain.issues import Ledger
from app.domain.subscriptions import Subscription, Term
from app.domain.text import format_date

ENDED_BY = {
    "guarantee": "refunded under the money-back guarantee",
    "unserved_issues": "refunded for its unserved issues",
    "duplicate": "it was a second one, and was refunded",
    "paid_after_end": "it was paid after its end, and was refunded",
    "fraud_warning": "refunded for a fraud warning",
    "dashboard": "refunded in Stripe's Dashboard",
    "cancel_now": "cancelled at once",
    "dispute": "its payment was disputed",
}
ENDED_FOR = {
    "payment_failed": "its renewal was never paid",
    "payment_disputed": "its payment was disputed",
    "cancellation_requested": "cancelled",
}


def choose(held: Sequence[tuple[Subscription, Sequence[Term]]]) -> tuple[Subscription, Sequence[Term]] | None:
    """Return the subscription that counts: the newest live one, else the newest."""
    return max(held, key=lambda one: (one[0].is_live, one[0].created_at, one[0].id), default=None)


def sentence(
    held: Sequence[tuple[Subscription, Sequence[Term]]],
    *,
    ledgers: Mapping[str, Ledger] | None = None,
    guest_until: datetime | None = None,
    now: datetime,
    zone: ZoneInfo,
) -> str:
    """
    Say how a reader stands.

    :param held: their subscriptions, each with its terms.
    :param ledgers: of the terms, by their invoices, where issues are counted.
    :param guest_until: until when something else than a subscription lets them in: a comp, say.
    """
    chosen = choose(held)
    if chosen is None or not chosen[0].is_live:
        if guest_until is not None and guest_until > now:
            before = "no subscription" if chosen is None else "the subscription is over"
            return f"Reads as a guest until {format_date(guest_until, zone)}: {before}"
        return "Never subscribed" if chosen is None else _over(chosen[0], now, zone)
    subscription, terms = chosen
    counted = [term for term in terms if term.refunded_as is None]
    last = max(counted, key=lambda term: term.ends_at, default=None)
    editions = _editions(subscription, last)
    if last is None:
        return _unpaid(subscription, zone)
    if subscription.status == "past_due":
        return f"Paid until {format_date(last.ends_at, zone)}, {editions}: the renewal is not paid yet"
    said = f"Paid until {format_date(last.ends_at, zone)}, {editions}"
    owed, unserved = _to_come(last, counted, ledgers or {})
    if owed:
        said += f", {unserved} of {owed} issues still to come"
    if subscription.cancel_at is not None:
        ends = subscription.cancel_at
        said += ": ends then" if ends >= last.ends_at else f": ends on {format_date(ends, zone)}"
    return said


def _to_come(last: Term, counted: Sequence[Term], ledgers: Mapping[str, Ledger]) -> tuple[int, int]:
    """Return how many issues are owed, and how many of them still to come: of the newest term, and earlier ones' rests."""
    found = [ledgers[term.invoice_id] for term in counted if term.invoice_id in ledgers]
    open_ones = [one for one in found if one.unserved or one.invoice_id == last.invoice_id]
    return sum(one.owed for one in open_ones), sum(one.unserved for one in open_ones)


def _editions(subscription: Subscription, term: Term | None) -> str:
    printed = term.print_edition if term is not None else subscription.print_edition
    return "print and digital" if printed else "digital"


def _unpaid(subscription: Subscription, zone: ZoneInfo) -> str:
    """Say how a live subscription without a paid term stands."""
    until = subscription.current_period_end
    if subscription.status == "trialing" and until is not None:
        return f"On trial until {format_date(until, zone)}, digital"
    if subscription.status == "past_due":
        return "The first payment after the trial is not paid yet"
    return "Subscribed, and nothing is paid yet"


def _over(subscription: Subscription, now: datetime, zone: ZoneInfo) -> str:
    if subscription.status == "incomplete":
        return "Began to subscribe, and the first payment has not arrived"
    if subscription.status == "incomplete_expired":
        return "Began to subscribe, and never paid"
    if subscription.status == "paused":
        return "Paused: nothing is charged and nothing is sent"
    if subscription.status == "unpaid":
        return "The renewal was never paid"
    why = ENDED_BY.get(subscription.ended_by or "") or ENDED_FOR.get(
        subscription.end_reason or "", "it was not renewed"
    )
    ended = subscription.access_ended_at or subscription.ended_at
    return f"Ended on {format_date(ended, zone)}: {why}" if ended is not None else f"Ended: {why}"
