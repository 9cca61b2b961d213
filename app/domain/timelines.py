"""
The story of a reader's access, in plain words: what was paid, given back, given and taken, and until when it lasts.

It is told from what is kept anyway, and only from that: nothing has to be written for it, and it cannot disagree.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from app.domain.comps import Comp
from app.domain.disputes import Dispute
from app.domain.money import Money
from app.domain.refunds import CONFIRMED, FAILED, Refund
from app.domain.subscriptions import Payment, Subscription, Term

PAID, REFUND, ENDED, GIVEN, DISPUTE, NOTED, WAITING, FAILED_PAYMENT = (
    "paid",
    "refund",
    "ended",
    "comp",
    "dispute",
    "noted",
    "waiting",
    "payment_failed",
)
# What the audit log alone knows; the rest of it is told from what it was about.
NOTES = {
    "subscription.cancel_at_period_end": "had the subscription end with what is paid",
    "subscription.cancel_now": "ended the subscription at once",
    "subscription.resume": "had the subscription go on",
    "subscription.extend": "extended the subscription",
    "refund.requested": "asked for a refund",
    "refund.rejected": "refused a refund",
    "subscription.duplicate": "found the subscription to be a double of another, and ended it",
    "fraud_warning.acted": "acted on a bank's warning of fraud",
    "attention.dismissed": "saw to what needed attention",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """An entry of the audit log."""

    at: datetime
    actor: str
    action: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Something that Stripe told of the reader, and that could not be applied so far."""

    at: datetime
    type: str
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is known of one reader."""

    subscriptions: Sequence[tuple[Subscription, Sequence[Term]]]
    payments: Sequence[Payment]
    refunds: Sequence[Refund]
    disputes: Sequence[Dispute]
    comps: Sequence[Comp]
    notes: Sequence[Noted]
    waiting: Sequence[Waiting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened. ``words`` begin with the publisher's day."""

    at: datetime
    kind: str
    words: str


def told(story: Story, zone: ZoneInfo) -> list[Happening]:
    """Return what happened, the earliest first."""
    parts = (
        _bought(story, zone),
        *(_ended(subscription, terms) for subscription, terms in story.subscriptions),
        _refunded(story.refunds),
        _disputed(story.disputes),
        _given(story.comps, zone),
        _noted(story.notes),
        _waiting(story.waiting),
    )
    found = [(at, order, kind, words) for order, part in enumerate(parts) for at, kind, words in part]
    return [
        Happening(at=at, kind=kind, words=f"{day(at, zone)}: {words}")
        for at, _, kind, words in sorted(found, key=lambda one: one[:2])
    ]


def day(at: datetime, zone: ZoneInfo) -> str:
    """Return the publisher's day, as people write it: ``3 March 2026``."""
    there = at.astimezone(zone)
    return f"{there.day} {there:%B %Y}"


Told = Iterator[tuple[datetime, str, str]]


def _bought(story: Story, zone: ZoneInfo) -> Told:
    terms = {term.invoice_id: term for _, held in story.subscriptions for term in held}
    for payment in story.payments:
        term = terms.pop(payment.invoice_id, None)
        sum_ = Money(payment.amount, payment.currency)
        what = f" for {_issues(term)}; access until {day(term.ends_at, zone)}" if term else ""
        yield payment.paid_at, PAID, f"paid {sum_}{what}"
    for term in terms.values():
        yield term.starts_at, PAID, f"{_issues(term)} for nothing; access until {day(term.ends_at, zone)}"
    for subscription, held in story.subscriptions:
        if subscription.status in {"past_due", "unpaid"} and held:
            over = max(term.ends_at for term in held)
            yield over, FAILED_PAYMENT, "the payment of the renewal failed"


def _issues(term: Term) -> str:
    return f"{term.issues_owed} issues{' with print' if term.print_edition else ''}"


def _ended(subscription: Subscription, terms: Sequence[Term]) -> Told:
    at = subscription.ended_here_at or subscription.ended_at
    if at is None:
        return
    by = subscription.ended_by or subscription.end_reason
    why = {
        None: "",
        "cancel_now": ", as it was cancelled at once",
        "cancellation_requested": ", as it was cancelled",
        "payment_failed": ", as its renewal was not paid",
    }.get(by, f" ({_plain(str(by))})")
    access = ", and access with it" if any(term.ends_at > at for term in terms) else ""
    yield at, ENDED, f"the subscription ended{access}{why}"


def _refunded(refunds: Iterable[Refund]) -> Told:
    for refund in refunds:
        words = f"{refund.money} back to the reader ({_plain(refund.basis)}), by {who(refund.requested_by)}"
        if refund.status in CONFIRMED:
            yield refund.recorded_at or refund.created_at, REFUND, words
        elif refund.status == FAILED:
            yield refund.created_at, REFUND, f"{words}: it failed ({refund.failure_reason or 'no reason was told'})"
        else:
            yield refund.created_at, REFUND, f"{words}: {_plain(refund.status)}"


def _disputed(disputes: Iterable[Dispute]) -> Told:
    for dispute in disputes:
        sum_ = Money(dispute.amount, dispute.currency)
        yield (
            dispute.opened_at,
            DISPUTE,
            f"the bank disputes {sum_} ({_plain(dispute.reason)}): {_plain(dispute.status)}",
        )
        if dispute.lost_at is not None:
            yield dispute.lost_at, DISPUTE, "the dispute was lost"


def _given(comps: Iterable[Comp], zone: ZoneInfo) -> Told:
    for comp in comps:
        until = f"until {day(comp.until, zone)}" + (f", for {comp.issues} issues" if comp.issues else "")
        yield comp.starts_at, GIVEN, f"given access for nothing {until}, by {who(comp.given_by)} ({comp.reason})"
        if comp.removed_at is not None:
            yield comp.removed_at, GIVEN, f"the free access was taken back, by {who(comp.removed_by or '')}"


def _noted(notes: Iterable[Noted]) -> Told:
    for note in notes:
        words = NOTES.get(note.action)
        if words is not None:
            yield note.at, NOTED, f"{who(note.actor)} {words}" + (f" ({note.reason})" if note.reason else "")


def _waiting(waiting: Iterable[Waiting]) -> Told:
    for event in waiting:
        why = f": {event.error}" if event.error else ""
        yield event.at, WAITING, f"Stripe told of {event.type}, which could not be applied so far{why}"


def who(actor: str) -> str:
    """Return how people call who did something."""
    kind, _, name = actor.partition(":")
    return {"reader": "the reader", "staff": f"{name} of the staff", "key": f"the server with {name}"}.get(
        kind, {"stripe": "Stripe", "policy": "policy"}.get(actor, actor or "somebody")
    )


def _plain(word: str) -> str:
    return word.replace("_", " ")
