"""
Imported subscribers: matching existing Stripe customers to readers.

Stripe identifies a customer by email address, and Newsstand a reader by the identity provider's ``sub``. The publisher's
file or the customer's metadata connects the two. Otherwise the subscriber gets a placeholder and is *claimed* later: by a
reader who signs in with that address, if the identity provider has verified it and only one subscriber matches; else by
support. An unverified address claims nothing, because anyone could sign up with it.

An import costs nobody money (rules.md, rule 4). What happened before Newsstand followed a subscription is *history*: no
policy acts on it, and staff see what is unusual. Newsstand follows a subscription from its beginning if it came from its own
checkout or if Stripe reported its creation; otherwise from the moment when it was first seen, for example in an import.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from app.domain.callers import LONGEST_SUB
from app.domain.customers import StripeCustomerState
from app.domain.disputes import AccessEffect, effect_of
from app.domain.errors import Conflict
from app.domain.refunds import CONFIRMED, StripePaymentState
from app.domain.subscriptions import OVER, Payment, Subscription, Term

UNCLAIMED = "unclaimed:"  # prefix of the placeholder ``sub``
# Events of a creation come within seconds of it, and Stripe delivers an event for up to three days.
CREATION_EVENTS, DELIVERY_PERIOD = timedelta(hours=1), timedelta(days=3)
# What staff see (anomalies).
REFUNDED_EARLIER = "refunded_earlier"
DISPUTE_LOST_EARLIER = "dispute_lost_earlier"
PAID_AFTER_END_EARLIER = "paid_after_end_earlier"
SEVERAL_SUBSCRIPTIONS = "several_subscriptions"
DISPUTE_OPEN = "dispute_open"  # in the list of disputes
HISTORY_CODES = (REFUNDED_EARLIER, DISPUTE_LOST_EARLIER, PAID_AFTER_END_EARLIER)  # of a subscription


class NotClaimable(Conflict):
    """The Stripe customer can't be assigned to this reader."""

    code = "not_claimable"
    title = "Customer can't be assigned to this reader"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnclaimedSubscriber:
    """A subscriber with a placeholder ``sub``."""

    id: str
    runs: bool  # has a subscription that has not ended


def sub_of(customer: StripeCustomerState, *, subs: Mapping[str, str], metadata_key: str) -> str:
    """Return the ``sub`` of a customer: from the publisher's file, else from their metadata, else a placeholder."""
    sub = (subs.get(customer.id) or customer.metadata.get(metadata_key) or "").strip()
    usable = sub and len(sub) <= LONGEST_SUB and sub.isprintable() and not sub.startswith(UNCLAIMED)
    return sub if usable else f"{UNCLAIMED}{customer.id}"


def is_named(customer: StripeCustomerState, metadata_key: str) -> bool:
    """Return whether a customer's metadata names a reader."""
    return not sub_of(customer, subs={}, metadata_key=metadata_key).startswith(UNCLAIMED)


def only_match(found: Sequence[UnclaimedSubscriber]) -> UnclaimedSubscriber | None:
    """
    Return the only subscriber that an address can mean; None if there is none or more than one.

    Several customers with one address are common, because each purchase may have created one. The only one with a
    subscription counts.
    """
    running = [one for one in found if one.runs]
    if len(running) == 1:
        return running[0]
    return found[0] if len(found) == 1 else None


def is_history(subscription: Subscription, payment: Payment, at: datetime, *, listed: bool) -> bool:
    """
    Return whether something that happened to a payment at ``at`` is history.

    :param listed: whether an import listed it. Stripe's times are in whole seconds, and its clock is not ours.
    """
    since = subscription.followed_since
    return since is not None and payment.is_history and (listed or at < since)


def ended_earlier(subscription: Subscription) -> bool:
    """Return whether a subscription ended before we followed it."""
    since, ended_at = subscription.followed_since, subscription.ended_at
    return since is not None and ended_at is not None and ended_at <= since


def returned_earlier(
    payments: Sequence[Payment], states: Mapping[str, StripePaymentState]
) -> dict[str, tuple[str, datetime]]:
    """
    Return the ``returned`` of :func:`history_anomalies` for payments that are all history.

    :param states: by payment; those made outside Stripe have none.
    """
    found = {}
    for invoice_id in {one.invoice_id for one in payments}:
        parts = [one for one in payments if one.invoice_id == invoice_id]  # it can be paid in several parts
        seen = [states[part.id] for part in parts if part.id in states]
        given = [one for state in seen for one in state.refunds if one.status in CONFIRMED]
        if given and sum(one.amount for one in given) >= sum(part.amount for part in parts):
            found[invoice_id] = REFUNDED_EARLIER, max(one.created_at for one in given)
        for dispute in (one for state in seen for one in state.disputes):
            if effect_of(dispute.status).access == AccessEffect.ENDED:
                found[invoice_id] = DISPUTE_LOST_EARLIER, dispute.opened_at
    return found


def history_anomalies(
    status: str,
    ended_at: datetime | None,
    terms: Sequence[Term],
    payments: Sequence[Payment],
    returned: Mapping[str, tuple[str, datetime]],
    *,
    zone: ZoneInfo,
) -> dict[str, str]:
    """
    Return what is unusual in the history of a subscription: the reason by code.

    A refunded term of a subscription that has ended is usual.

    :param status: of the subscription.
    :param ended_at: when it ended at Stripe.
    :param payments: all payments of the subscription.
    :param returned: by invoice whose payments were returned in whole: the code (empty if that is not history), and when.
    """
    found: dict[str, list[str]] = {}
    newest = max((term.ends_at for term in terms), default=None)
    if status not in OVER:
        for term in terms:
            code, at = returned.get(term.invoice_id, ("", term.starts_at))
            if code:
                found.setdefault(code, []).append(
                    _returned_words(term, code, at, zone, is_newest=term.ends_at == newest)
                )
    elif ended_at is not None:
        found[PAID_AFTER_END_EARLIER] = [
            f"Payment {one.id} was made on {_day(one.paid_at, zone)}, after the subscription had ended. It was not refunded."
            for one in payments
            if one.is_history and one.amount > 0 and one.paid_at > ended_at and one.invoice_id not in returned
        ]
    return {code: " ".join(words) for code, words in found.items() if words}


def _returned_words(term: Term, code: str, at: datetime, zone: ZoneInfo, *, is_newest: bool) -> str:
    how = "was refunded" if code == REFUNDED_EARLIER else "was lost in a dispute"
    rest = (
        "It gives no access, but the subscription continues and will renew unless you cancel it."
        if is_newest
        else "Later terms were paid, so the subscription continues."
    )
    start, end = _day(term.starts_at, zone), _day(term.ends_at, zone)
    since = f"opened on {_day(at, zone)}" if code == DISPUTE_LOST_EARLIER else f"on {_day(at, zone)}"
    return f"The payment of the term from {start} to {end} {how} {since}. {rest}"


def several_subscriptions(stripe_ids: Sequence[str]) -> str:
    """Return the reason of :data:`SEVERAL_SUBSCRIPTIONS`."""
    return (
        f"{len(stripe_ids)} subscriptions are running: {', '.join(sorted(stripe_ids))}. Newsstand did not follow them from "
        "their beginning, so it cancels and refunds none. Check whether one is a duplicate or for another reader."
    )


def open_disputes(disputes: Sequence[tuple[str, str]]) -> str:
    """Return the words for open disputes, given by ID and status."""
    words = "; ".join(f"{dispute} ({status}). {effect_of(status).words}" for dispute, status in disputes)
    return f"A payment is disputed: {words}"


def _day(at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f"{local:%B} {local.day}, {local.year}"
