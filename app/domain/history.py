"""
The story of a reader's access, in plain words: what was paid, given back, given and taken, and until when it lasts.

It is told from what is kept anyway, and only from that: nothing has to be written for it, and it cannot disagree.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from app.domain import events
from app.domain.comps import Comp
from app.domain.disputes import Dispute
from app.domain.money import Money
from app.domain.refunds import CONFIRMED, FAILED, Refund
from app.domain.subscriptions import Payment, Subscription, Term
from app.domain.text import format_date

PAID, REFUND, ENDED, GIVEN, DISPUTE, NOTED, TOLD, WAITING, FAILED_PAYMENT = (
    "paid",
    "refund",
    "ended",
    "comp",
    "dispute",
    "noted",
    "told",
    "waiting",
    "payment_failed",
)
_CODE = re.compile(r"[a-z]+(_[a-z]+)*")
CANCELLED, CANCELLED_NOW, RESUMED = (
    "subscription.cancel_at_period_end",
    "subscription.cancel_now",
    "subscription.resume",
)
# What the audit log alone knows; the rest of it is told from what it was about.
NOTES = {
    CANCELLED: "had the subscription end with what is paid",
    CANCELLED_NOW: "ended the subscription at once",
    RESUMED: "had the subscription go on",
    "subscription.extend": "extended the subscription",
    "refund.requested": "asked for a refund",
    "refund.rejected": "refused a refund",
    "subscription.duplicate": "found the subscription to be a double of another, and ended it",
    "customer.deleted": "told that the reader was deleted there",
    "fraud_warning.acted": "acted on a bank's warning of fraud",
    "attention.dismissed": "saw to what needed attention",
}
# What Stripe tells of, in words. What is of no type here is called by its type.
EVENTS = {
    "checkout.session.completed": "the checkout was completed",
    "checkout.session.expired": "the checkout ran out before it was completed",
    "checkout.session.async_payment_succeeded": "the payment of the checkout arrived",
    "checkout.session.async_payment_failed": "the payment of the checkout failed",
    "customer.updated": "the reader's details at Stripe changed",
    "customer.deleted": "the reader was deleted at Stripe",
    "customer.subscription.created": "the subscription was made",
    "customer.subscription.updated": "the subscription changed",
    "customer.subscription.deleted": "the subscription ended",
    "customer.subscription.paused": "the subscription was paused",
    "customer.subscription.resumed": "the subscription was resumed",
    "customer.subscription.trial_will_end": "the trial ends soon",
    "customer.subscription.pending_update_applied": "a change that waited for its payment was made",
    "customer.subscription.pending_update_expired": "a change that waited for its payment was dropped",
    "invoice.created": "an invoice was drawn up",
    "invoice.finalized": "an invoice was finished",
    "invoice.finalization_failed": "an invoice could not be finished",
    "invoice.paid": "an invoice was paid",
    "invoice.payment_failed": "the payment of an invoice failed",
    "invoice.payment_action_required": "the bank asks the reader to confirm a payment",
    "invoice.upcoming": "the renewal comes up",
    "invoice.payment_succeeded": "the payment of an invoice arrived",
    "invoice.updated": "an invoice changed",
    "invoice.voided": "an invoice was voided",
    "invoice.marked_uncollectible": "an invoice was given up as unpaid",
    "invoice_payment.paid": "a payment arrived",
    "payment_intent.created": "a payment was begun",
    "payment_intent.succeeded": "a payment arrived",
    "payment_intent.payment_failed": "a payment failed",
    "charge.succeeded": "a card was charged",
    "charge.failed": "a card could not be charged",
    "refund.created": "a refund was made",
    "refund.updated": "a refund changed",
    "refund.failed": "a refund failed",
    "charge.refunded": "a payment was refunded",
    "credit_note.created": "a credit note was written",
    "credit_note.updated": "a credit note changed",
    "credit_note.voided": "a credit note was voided",
    "charge.dispute.created": "the bank disputes a payment",
    "charge.dispute.updated": "a dispute changed",
    "charge.dispute.closed": "a dispute was decided",
    "charge.dispute.funds_withdrawn": "the bank took the disputed money",
    "charge.dispute.funds_reinstated": "the bank gave the disputed money back",
    "radar.early_fraud_warning.created": "the bank warns of fraud",
    "radar.early_fraud_warning.updated": "a warning of fraud changed",
    "payment_method.attached": "the reader has a new way to pay",
    "payment_method.automatically_updated": "the reader's card was renewed by the bank",
    "payment_method.detached": "the reader took a way to pay away",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """An entry of the audit log."""

    at: datetime
    actor: str
    action: str
    reason: str | None
    about: str | None = None  # the id of what it was done to


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something that Stripe told of the reader, and what became of it."""

    at: datetime
    type: str
    state: str
    why: str | None  # it failed, or was put aside


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is known of one reader."""

    subscriptions: Sequence[tuple[Subscription, Sequence[Term]]]
    payments: Sequence[Payment]
    refunds: Sequence[Refund]
    disputes: Sequence[Dispute]
    comps: Sequence[Comp]
    notes: Sequence[Noted]
    told: Sequence[Told]


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
        *(_ended(subscription, terms, story) for subscription, terms in story.subscriptions),
        _refunded(story.refunds),
        _disputed(story.disputes),
        _given(story.comps, zone),
        _noted(story.notes),
        _told(story.told),
    )
    found = [(at, order, kind, words) for order, part in enumerate(parts) for at, kind, words in part]
    return [
        Happening(at=at, kind=kind, words=f"{format_date(at, zone)}: {words}")
        for at, _, kind, words in sorted(found, key=lambda one: one[:2])
    ]


Parts = Iterator[tuple[datetime, str, str]]


def _bought(story: Story, zone: ZoneInfo) -> Parts:
    terms = {term.invoice_id: term for _, held in story.subscriptions for term in held}
    for payment in story.payments:
        term = terms.pop(payment.invoice_id, None)
        sum_ = Money(payment.amount, payment.currency)
        what = f" for {_issues(term)}; access until {format_date(term.ends_at, zone)}" if term else ""
        yield payment.paid_at, PAID, f"paid {sum_}{what}"
    for term in terms.values():
        yield term.starts_at, PAID, f"{_issues(term)} for nothing; access until {format_date(term.ends_at, zone)}"
    for subscription, held in story.subscriptions:
        if subscription.status in {"past_due", "unpaid"} and held:
            over = max(term.ends_at for term in held)
            yield over, FAILED_PAYMENT, "the payment of the renewal failed"


def _issues(term: Term) -> str:
    return f"{term.issues_owed} issues{' with print' if term.print_edition else ''}"


def _ended(subscription: Subscription, terms: Sequence[Term], story: Story) -> Parts:
    at = subscription.over_at
    if at is None:
        return
    reason = subscription.ended_by or subscription.end_reason
    why = {
        None: "",
        "cancel_now": ", as it was cancelled at once",
        "cancellation_requested": ", as it was cancelled",
        "payment_failed": ", as its renewal was not paid",
    }.get(reason, f" ({_plain(str(reason))})")
    by = who_ended(subscription, terms, story)
    access = ", and access with it" if any(term.ends_at > at for term in terms) else ""
    yield at, ENDED, f"the subscription ended{access}{why}" + (f", by {who(by)}" if by else "")


def who_ended(subscription: Subscription, terms: Sequence[Term], story: Story) -> str | None:
    """
    Return who had a subscription end, as the audit log writes them; None: it was done at Stripe, and it does not say.

    That is who cancelled it, else who asked for the refund that ended it, else policy.
    """
    ours = sorted((note for note in story.notes if note.about == subscription.id), key=lambda note: note.at)
    if subscription.ended_by is None:
        asked = [note for note in ours if note.action in {CANCELLED, RESUMED}]
        meant = asked and asked[-1].action == CANCELLED and subscription.end_reason == "cancellation_requested"
        return asked[-1].actor if meant else None
    if subscription.ended_by == "cancel_now":
        return next((note.actor for note in ours if note.action == CANCELLED_NOW), None)
    invoices = {term.invoice_id for term in terms}
    paid = {payment.id for payment in story.payments if payment.invoice_id in invoices}
    ended = [r for r in story.refunds if r.payment_id in paid and r.basis == subscription.ended_by]
    return min(ended, key=lambda refund: refund.created_at).requested_by if ended else "policy"


def _refunded(refunds: Iterable[Refund]) -> Parts:
    for refund in refunds:
        words = f"{refund.money} back to the reader ({_plain(refund.basis)}), by {who(refund.requested_by)}"
        if refund.status in CONFIRMED:
            yield refund.recorded_at or refund.created_at, REFUND, words
        elif refund.status == FAILED:
            yield refund.created_at, REFUND, f"{words}: it failed ({refund.failure_reason or 'no reason was told'})"
        else:
            yield refund.created_at, REFUND, f"{words}: {_plain(refund.status)}"


def _disputed(disputes: Iterable[Dispute]) -> Parts:
    for dispute in disputes:
        sum_ = Money(dispute.amount, dispute.currency)
        yield (
            dispute.opened_at,
            DISPUTE,
            f"the bank disputes {sum_} ({_plain(dispute.reason)}): {_plain(dispute.status)}",
        )
        if dispute.lost_at is not None:
            yield dispute.lost_at, DISPUTE, "the dispute was lost"


def _given(comps: Iterable[Comp], zone: ZoneInfo) -> Parts:
    for comp in comps:
        until = f"until {format_date(comp.until, zone)}" + (f", for {comp.issues} issues" if comp.issues else "")
        yield comp.starts_at, GIVEN, f"given access for nothing {until}, by {who(comp.given_by)} ({comp.reason})"
        if comp.removed_at is not None:
            yield comp.removed_at, GIVEN, f"the free access was taken back, by {who(comp.removed_by or '')}"


def _noted(notes: Iterable[Noted]) -> Parts:
    for note in notes:
        words = NOTES.get(note.action)
        if words is not None:
            yield note.at, NOTED, f"{who(note.actor)} {words}" + (f" ({_reason(note.reason)})" if note.reason else "")


def _reason(reason: str) -> str:
    """Return a reason of the list in words, and a person's own words as they are."""
    code, colon, words = reason.partition(": ")
    return _plain(code) + colon + words if _CODE.fullmatch(code) else reason


def _told(told: Iterable[Told]) -> Parts:
    for event in told:
        what = what_of(event.type)
        why = f": {event.why}" if event.why else ""
        if event.state in {events.FAILED, events.DEAD}:
            again = "it could not be applied so far" if event.state == events.FAILED else "it was given up"
            yield event.at, WAITING, f"{what} ({event.type}), and {again}{why}"
        elif event.state == events.RECEIVED:
            yield event.at, TOLD, f"{what}, and it is about to be applied"
        elif event.state == events.IGNORED:
            yield event.at, TOLD, f"{what}, and nothing follows from it{why}"
        else:
            yield event.at, TOLD, what


def what_of(kind: str) -> str:
    """Return what an event tells, as people say it."""
    if kind.startswith("newsstand."):
        return "Newsstand asked Stripe again by itself"
    return f"Stripe told us: {EVENTS.get(kind) or _plain(kind.replace('.', ' '))}"


def who(actor: str) -> str:
    """Return how people call who did something."""
    kind, _, name = actor.partition(":")
    return {"reader": "the reader", "staff": f"{name} of the staff", "key": f"the server with {name}"}.get(
        kind, {"stripe": "Stripe", "policy": "policy"}.get(actor, actor or "somebody")
    )


def _plain(word: str) -> str:
    return word.replace("_", " ")
