"""
The history of a reader's access: payments, refunds, complimentary access, disputes and events, with their dates.

It is derived from the records that exist anyway, so nothing is stored for it, and it can't contradict them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from operator import itemgetter
from types import MappingProxyType

from app.domain import events
from app.domain.comps import Comp
from app.domain.disputes import Dispute
from app.domain.reasons import EndReason
from app.domain.refunds import CONFIRMED, Refund, RefundStatus
from app.domain.subscriptions import UNPAID, Payment, Subscription, Term
from app.domain.text import Wording


class HistoryKind(StrEnum):
    """What an entry is about. Values are part of the API."""

    PAID = "paid"
    PAYMENT_FAILED = "payment_failed"
    REFUND = "refund"
    ENDED = "ended"
    COMP = "comp"
    DISPUTE = "dispute"
    ACTION = "noted"
    EVENT = "told"
    PENDING_EVENT = "waiting"


_CODE = re.compile(r"[a-z]+(_[a-z]+)*")
CANCELLED, CANCELLED_NOW, RESUMED = (
    "subscription.cancel_at_period_end",
    "subscription.cancel_now",
    "subscription.resume",
)
# The action that ends a subscription for each reason that is a cancellation.
CANCELED_AS: Mapping[str, str] = {EndReason.CANCEL_NOW: CANCELLED_NOW, EndReason.NOT_RENEWED: CANCELLED}
# Actions that only the audit log knows. Others follow from the records that they changed.
ACTIONS = {
    CANCELLED: "scheduled the subscription to end",
    CANCELLED_NOW: "ended the subscription immediately",
    RESUMED: "resumed the subscription",
    f"{CANCELLED}.refused": "declined to schedule the end of the subscription",
    f"{RESUMED}.refused": "declined to resume the subscription",
    "subscription.subscribe_again": "subscribed again, which ended the unpaid subscription",
    "subscription.extend": "extended the subscription",
    "comp.requested": "requested complimentary access above the limit",
    "comp.rejected": "rejected a request for complimentary access",
    "extension.requested": "requested an extension above the limit",
    "extension.rejected": "rejected a request for an extension",
    "refund.requested": "requested a refund",
    "refund.rejected": "rejected a refund",
    "subscription.duplicate": "ended the subscription as a duplicate",
    "customer.deleted": "deleted the customer",
    "address.added": "added a postal address",
    "address.changed": "changed the postal address",
    "print_edition.add_requested": "requested the print edition",
    "print_edition.added": "added the print edition",
    "print_edition.add_failed": "recorded that the print edition was not added",
    "print_edition.payment_awaited": "asked to confirm the payment for the print edition",
    "print_edition.drop_requested": "requested to drop the print edition",
    "print_edition.dropped": "dropped the print edition",
    "print_edition.suspended": "put the print edition on hold",
    "print_edition.restored": "took the print edition off hold",
    "address.removed": "removed a temporary address",
    "subscriber.contact_changed": "changed their email address or name",
    "checkout.duplicate_allowed": "started a checkout although another account with the same email address is subscribed",
    "fraud_warning.acted": "acted on an early fraud warning",
    "notification.not_delivered": "could not deliver a message to the reader",
    "attention.dismissed": "dismissed an item that needed attention",
}
NOT_APPLIED = frozenset({events.EventState.FAILED, events.EventState.DEAD})
# Descriptions of Stripe's event types. Other types are described by their name.
EVENTS = {
    "checkout.session.completed": "the checkout was completed",
    "checkout.session.expired": "the checkout expired",
    "checkout.session.async_payment_succeeded": "the checkout's payment succeeded",
    "checkout.session.async_payment_failed": "the checkout's payment failed",
    "customer.updated": "the customer was updated",
    "customer.deleted": "the customer was deleted",
    "customer.subscription.created": "the subscription was created",
    "customer.subscription.updated": "the subscription was updated",
    "customer.subscription.deleted": "the subscription ended",
    "customer.subscription.paused": "the subscription was paused",
    "customer.subscription.resumed": "the subscription was resumed",
    "customer.subscription.trial_will_end": "the trial ends soon",
    "customer.subscription.pending_update_applied": "a pending change was applied",
    "customer.subscription.pending_update_expired": "a pending change expired",
    "invoice.created": "an invoice was created",
    "invoice.finalized": "an invoice was finalized",
    "invoice.finalization_failed": "an invoice could not be finalized",
    "invoice.paid": "an invoice was paid",
    "invoice.payment_failed": "an invoice payment failed",
    "invoice.payment_action_required": "the bank asked the reader to confirm a payment",
    "invoice.upcoming": "the next renewal is coming up",
    "invoice.payment_succeeded": "an invoice payment succeeded",
    "invoice.updated": "an invoice was updated",
    "invoice.overdue": "an invoice is overdue",
    "invoice.voided": "an invoice was voided",
    "invoice.marked_uncollectible": "an invoice was marked uncollectible",
    "invoice_payment.paid": "a payment arrived",
    "payment_intent.created": "a payment was started",
    "payment_intent.processing": "a payment is processing",
    "payment_intent.succeeded": "a payment succeeded",
    "payment_intent.payment_failed": "a payment failed",
    "charge.succeeded": "a charge succeeded",
    "charge.failed": "a charge failed",
    "refund.created": "a refund was created",
    "refund.updated": "a refund was updated",
    "refund.failed": "a refund failed",
    "charge.refunded": "a charge was refunded",
    "credit_note.created": "a credit note was created",
    "credit_note.updated": "a credit note was updated",
    "credit_note.voided": "a credit note was voided",
    "charge.dispute.created": "a dispute was opened",
    "charge.dispute.updated": "a dispute was updated",
    "charge.dispute.closed": "a dispute was closed",
    "charge.dispute.funds_withdrawn": "the bank withdrew the disputed amount",
    "charge.dispute.funds_reinstated": "the bank returned the disputed amount",
    "radar.early_fraud_warning.created": "the bank sent an early fraud warning",
    "radar.early_fraud_warning.updated": "an early fraud warning was updated",
    "payment_method.attached": "a payment method was added",
    "payment_method.automatically_updated": "the bank updated the card on file",
    "payment_method.detached": "a payment method was removed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedAction:
    """An entry of the audit log."""

    at: datetime
    actor: str
    action: str
    reason: str | None
    about: str | None = None  # the ID of the object


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeEvent:
    """An event about the reader."""

    at: datetime
    type: str
    state: str
    why: str | None  # why it failed or was ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderRecords:
    """Everything that is stored about a reader."""

    subscriptions: Sequence[tuple[Subscription, Sequence[Term]]]
    payments: Sequence[Payment]
    refunds: Sequence[Refund]
    disputes: Sequence[Dispute]
    comps: Sequence[Comp]
    actions: Sequence[LoggedAction]
    stripe_events: Sequence[StripeEvent]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """An entry of the history."""

    at: datetime
    kind: str
    date: str  # in the publisher's time zone and locale
    text: str  # without the date

    @property
    def words(self) -> str:
        """The date and the text."""
        return f"{self.date}: {self.text}"


def history_of(
    records: ReaderRecords,
    wording: Wording,
    *,
    names: Mapping[str, str] = MappingProxyType({}),
    days: int | None = None,
) -> list[HistoryEntry]:
    """
    Return a reader's history, the earliest entry first.

    :param names: the names of staff by their ``sub``.
    :param days: the number of newest days with entries; None: all.
    """
    parts = (
        _payments(records, wording),
        *(_end(subscription, terms, records, names) for subscription, terms in records.subscriptions),
        _refunds(records.refunds, wording, names),
        _disputes(records.disputes, wording),
        _comps(records.comps, wording, names),
        _actions(records.actions, names),
        _stripe_events(records.stripe_events),
    )
    found = [(at, order, kind, words) for order, part in enumerate(parts) for at, kind, words in part]
    found.sort(key=itemgetter(0, 1))
    newest: list[HistoryEntry] = []
    dates: set[str] = set()
    for at, _, kind, words in reversed(found):
        date = wording.date(at)
        dates.add(date)
        if days is not None and len(dates) > days:
            break
        newest.append(HistoryEntry(at=at, kind=kind, date=date, text=words()))
    return newest[::-1]


Words = Callable[[], str]  # only the entries that are shown are put into words
Entries = Iterator[tuple[datetime, HistoryKind, Words]]


def _payments(records: ReaderRecords, wording: Wording) -> Entries:
    terms = {term.invoice_id: term for _, terms in records.subscriptions for term in terms}
    for payment in records.payments:
        term = terms.pop(payment.invoice_id, None)
        yield payment.paid_at, HistoryKind.PAID, partial(_paid, payment, term, wording)
    for term in terms.values():
        yield term.starts_at, HistoryKind.PAID, partial(_received, term, wording)
    for subscription, bought in records.subscriptions:
        if subscription.status in UNPAID and bought:
            over = max(term.ends_at for term in bought)
            yield over, HistoryKind.PAYMENT_FAILED, lambda: "the renewal payment failed"


def _paid(payment: Payment, term: Term | None, wording: Wording) -> str:
    bought = f" for {_issues(term)}; access until {wording.date(term.ends_at)}" if term else ""
    return f"paid {wording.money(payment.amount, payment.currency)}{bought}"


def _received(term: Term, wording: Wording) -> str:
    return f"received {_issues(term)} free of charge; access until {wording.date(term.ends_at)}"


def _issues(term: Term) -> str:
    return f"{term.issues_owed} issues{' with print' if term.print_edition else ''}"


def _end(
    subscription: Subscription, terms: Sequence[Term], records: ReaderRecords, names: Mapping[str, str]
) -> Entries:
    if subscription.over_at is not None:
        yield subscription.over_at, HistoryKind.ENDED, partial(_ended, subscription, terms, records, names)


def _ended(subscription: Subscription, terms: Sequence[Term], records: ReaderRecords, names: Mapping[str, str]) -> str:
    reason = subscription.ended_by or subscription.end_reason
    why = {
        None: "",
        EndReason.CANCEL_NOW: " (canceled immediately)",
        EndReason.NOT_RENEWED: " (canceled before the next period was paid)",
        "cancellation_requested": " (canceled)",
        "payment_failed": " (renewal not paid)",
    }.get(reason, f" ({_plain(str(reason))})")
    by = who_ended(subscription, terms, records)
    at = subscription.over_at
    cut = any(at is not None and term.ends_at > at and not term.outlives(subscription) for term in terms)
    what = "the subscription and access ended" if cut else "the subscription ended"
    return f"{what}{why}" + (f", by {who(by, names)}" if by else "")


def who_ended(subscription: Subscription, terms: Sequence[Term], records: ReaderRecords) -> str | None:
    """
    Return the actor who ended a subscription, in the audit log's form; None: it ended at Stripe, which doesn't say.

    The actor is the person who canceled it, else the person who requested the refund that ended it, else policy.
    """
    ours = sorted((one for one in records.actions if one.about == subscription.id), key=lambda one: one.at)
    if subscription.ended_by is None:
        asked = [one for one in ours if one.action in {CANCELLED, RESUMED}]
        canceled = asked and asked[-1].action == CANCELLED and subscription.end_reason == "cancellation_requested"
        return asked[-1].actor if canceled else None
    asked_for = CANCELED_AS.get(subscription.ended_by)
    if asked_for is not None:
        return next((one.actor for one in reversed(ours) if one.action == asked_for), None)
    invoices = {term.invoice_id for term in terms}
    paid = {payment.id for payment in records.payments if payment.invoice_id in invoices}
    ended = [r for r in records.refunds if r.payment_id in paid and r.basis == subscription.ended_by]
    return min(ended, key=lambda refund: refund.created_at).requested_by if ended else "policy"


def _refunds(refunds: Iterable[Refund], wording: Wording, names: Mapping[str, str]) -> Entries:
    for refund in refunds:
        at = refund.recorded_at if refund.status in CONFIRMED else None
        yield at or refund.created_at, HistoryKind.REFUND, partial(_refunded, refund, wording, names)


def _refunded(refund: Refund, wording: Wording, names: Mapping[str, str]) -> str:
    basis, by = _plain(refund.basis), who(refund.requested_by, names)
    amount = wording.money(refund.amount, refund.currency)
    if refund.status in CONFIRMED:
        return f"refunded {amount} ({basis}), requested by {by}"
    requested = f"refund of {amount} ({basis}), requested by {by}"
    if refund.status == RefundStatus.FAILED:
        return f"{requested}, failed ({refund.failure_reason or 'no reason given'})"
    return f"{requested}: {_plain(refund.status)}"


def _disputes(disputes: Iterable[Dispute], wording: Wording) -> Entries:
    for dispute in disputes:
        yield dispute.opened_at, HistoryKind.DISPUTE, partial(_disputed, dispute, wording)
        if dispute.lost_at is not None:
            yield dispute.lost_at, HistoryKind.DISPUTE, lambda: "the dispute was lost"


def _disputed(dispute: Dispute, wording: Wording) -> str:
    amount = wording.money(dispute.amount, dispute.currency)
    return f"the bank disputed {amount} ({_plain(dispute.reason)}): {_plain(dispute.status)}"


def _comps(comps: Iterable[Comp], wording: Wording, names: Mapping[str, str]) -> Entries:
    for comp in comps:
        yield comp.starts_at, HistoryKind.COMP, partial(_given, comp, wording, names)
        if comp.removed_at is not None:
            yield comp.removed_at, HistoryKind.COMP, partial(_revoked, comp, names)


def _given(comp: Comp, wording: Wording, names: Mapping[str, str]) -> str:
    until = f"until {wording.date(comp.until)}" + (f", for {comp.issues} issues" if comp.issues else "")
    return f"complimentary access {until}, given by {who(comp.given_by, names)} ({comp.reason})"


def _revoked(comp: Comp, names: Mapping[str, str]) -> str:
    return f"complimentary access revoked by {who(comp.removed_by or '', names)}"


def _actions(actions: Iterable[LoggedAction], names: Mapping[str, str]) -> Entries:
    for one in actions:
        if one.action in ACTIONS:
            yield one.at, HistoryKind.ACTION, partial(_acted, one, names)


def _acted(one: LoggedAction, names: Mapping[str, str]) -> str:
    why = f" ({_reason(one.reason)})" if one.reason else ""
    return f"{who(one.actor, names)} {ACTIONS[one.action]}{why}"


def _reason(reason: str) -> str:
    """Return a reason as people read it: the code in words, the note unchanged."""
    code, colon, words = reason.partition(": ")
    return _plain(code) + colon + words if _CODE.fullmatch(code) else reason


def _stripe_events(received: Iterable[StripeEvent]) -> Entries:
    applied, pending = HistoryKind.EVENT, HistoryKind.PENDING_EVENT  # a page has hundreds, so they are looked up once
    for event in received:
        yield event.at, pending if event.state in NOT_APPLIED else applied, partial(_told, event)


def _told(event: StripeEvent) -> str:
    what = describe_event(event.type)
    why = f": {event.why}" if event.why else ""
    if event.state in NOT_APPLIED:
        outcome = "not applied yet" if event.state == events.EventState.FAILED else "failed permanently"
        return f"{what} ({event.type}), {outcome}{why}"
    if event.state == events.EventState.RECEIVED:
        return f"{what}, waiting to be applied"
    if event.state == events.EventState.IGNORED:
        return f"{what}, ignored{why}"
    return what


def describe_event(event_type: str) -> str:
    """Return what an event means, in words."""
    if event_type.startswith("newsstand."):
        return "checked with Stripe"
    return f"Stripe: {EVENTS.get(event_type) or _plain(event_type.replace('.', ' '))}"


def who(actor: str, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return an actor of the audit log as people read it. ``names`` has those of staff."""
    kind, _, name = actor.partition(":")
    if kind == "staff" and name in names:
        return names[name]
    return {"reader": "the reader", "staff": f"staff member {name}", "key": f"API key {name}"}.get(
        kind, {"stripe": "Stripe", "policy": "policy"}.get(actor, actor or "an unknown actor")
    )


def _plain(code: str) -> str:
    return code.replace("_", " ")
