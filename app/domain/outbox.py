"""
The outbox: what happened to a reader, for everybody outside who acts on it.

An event is recorded in the transaction of the change that it reports, and never changes. Its payload says everything that a
receiver needs: the state after the change, and where it matters the state before. The events of a reader are in order of
their sequence, because each is recorded while the reader is locked.

A breaking change of a payload gets a new version; a new member doesn't.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from app.domain.claims import Claim
from app.domain.entitlements import OPEN_ENDED, EntitlementSet
from app.domain.erasures import ERASED
from app.domain.imports import UNCLAIMED
from app.domain.refunds import Refund, RefundStatus
from app.domain.renewals import Renewal, RenewalOutcome
from app.domain.subscriptions import LIVE, UNPAID, Subscription, SubscriptionStatus, Term

UNSTARTED = frozenset({SubscriptionStatus.INCOMPLETE, SubscriptionStatus.INCOMPLETE_EXPIRED})
ASKS_FOR_PAYMENT = frozenset({RenewalOutcome.FAILED, RenewalOutcome.ACTION_REQUIRED})


class OutboxType(StrEnum):
    """What happened. Values are part of the API."""

    SUBSCRIPTION_STARTED = "subscription.started"
    SUBSCRIPTION_RENEWED = "subscription.renewed"
    SUBSCRIPTION_CANCEL_SCHEDULED = "subscription.cancel_scheduled"
    SUBSCRIPTION_CANCEL_UNDONE = "subscription.cancel_undone"
    SUBSCRIPTION_ENDED = "subscription.ended"
    SUBSCRIPTION_PAYMENT_FAILED = "subscription.payment_failed"
    SUBSCRIPTION_PAUSED = "subscription.paused"
    SUBSCRIPTION_RESUMED = "subscription.resumed"
    ENTITLEMENTS_CHANGED = "entitlements.changed"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"
    ADDRESS_NEEDED = "address.needed"
    COPY_MAILED = "copy.mailed"
    CLAIM_DECIDED = "claim.decided"
    READER_ERASED = "reader.erased"
    NOTICE_DUE = "notice.due"
    WEBHOOK_TEST = "webhook.test"


VERSIONS: Mapping[OutboxType, int] = dict.fromkeys(OutboxType, 1)
_Found = list[tuple[OutboxType, dict[str, object]]]


@dataclass(frozen=True, slots=True)
class OutboxReader:
    """
    The reader whom an event is about.

    :param sub: None: they are not claimed yet, so the publisher's site doesn't know them.
    """

    id: str  # rdr_…
    sub: str | None

    @classmethod
    def of(cls, subscriber_id: str, sub: str) -> "OutboxReader":
        """Return a subscriber as a reader. A placeholder is not a ``sub``."""
        return cls(subscriber_id, None if sub.startswith((UNCLAIMED, ERASED)) else sub)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOutboxEvent:
    """An event to record. ``data`` is JSON; it depends on the type."""

    type: OutboxType
    reader: OutboxReader | None  # None: it is about none
    data: Mapping[str, object]

    @property
    def version(self) -> int:
        """The version of its data."""
        return VERSIONS[self.type]


def subscription_events(
    reader: OutboxReader,
    before: Subscription | None,
    after: Subscription,
    opened: Sequence[Term],
    *,
    now: datetime,
) -> list[NewOutboxEvent]:
    """
    Return what a sync of a subscription changed.

    A subscription that is new to us has started, unless it had begun before we followed it (an import), is over already, or
    waits for its first payment.

    :param opened: the terms that it opened.
    :param now: policy time. A term that is over is not announced as a renewal.
    """
    if after.access_ended_at is not None or (before is not None and before.over_at is not None):
        return []  # its end was announced when we ended it
    found: _Found
    if before is None:
        is_news = after.followed_since is None and after.status in LIVE and has_started(after)
        found = [(OutboxType.SUBSCRIPTION_STARTED, {})] if is_news else []
    elif not has_started(before):
        is_news = after.ended_at is None and has_started(after)
        found = [(OutboxType.SUBSCRIPTION_STARTED, {})] if is_news else []
    elif after.ended_at is not None:
        found = [(OutboxType.SUBSCRIPTION_ENDED, {"reason": after.end_reason})]
    else:
        found = [*_renewals(opened, now), *_changes(before, after)]
    return [
        NewOutboxEvent(type=type_, reader=reader, data={"subscription": _subscription(after), **more})
        for type_, more in found
    ]


def has_started(subscription: Subscription) -> bool:
    """
    Return whether a subscription is paid for the first time, or its trial began.

    Stripe calls it active while a bank debit for its first period is processing. Who gets an invoice by email starts before
    they pay it.
    """
    unpaid = subscription.renewal
    waits = unpaid is not None and unpaid.starts_at <= subscription.created_at and unpaid.outcome != RenewalOutcome.SENT
    return subscription.status not in UNSTARTED and not waits


def _renewals(opened: Sequence[Term], now: datetime) -> _Found:
    current = [term for term in opened if term.ends_at > now]
    newest = max(current, key=lambda term: term.starts_at, default=None)
    return [(OutboxType.SUBSCRIPTION_RENEWED, {"term": _term(newest)})] if newest is not None else []


def _changes(before: Subscription, after: Subscription) -> _Found:
    found: _Found = []
    if before.cancel_at != after.cancel_at:
        if after.cancel_at is not None:
            found.append((OutboxType.SUBSCRIPTION_CANCEL_SCHEDULED, {"ends_at": _time(after.cancel_at)}))
        else:
            found.append((OutboxType.SUBSCRIPTION_CANCEL_UNDONE, {}))
    if (failure := _failure(after)) is not None and failure != _failure(before):
        found.append((OutboxType.SUBSCRIPTION_PAYMENT_FAILED, _payment_problem(after)))
    if is_paused(after) != is_paused(before):
        type_ = OutboxType.SUBSCRIPTION_PAUSED if is_paused(after) else OutboxType.SUBSCRIPTION_RESUMED
        found.append((type_, {}))
    return found


def subscription_ended(reader: OutboxReader, before: Subscription, after: Subscription) -> list[NewOutboxEvent]:
    """Return the event of a subscription that we ended; none if it had never started, or was over."""
    if before.over_at is not None or not has_started(before):
        return []
    data = {"subscription": _subscription(after), "reason": after.ended_by}
    return [NewOutboxEvent(type=OutboxType.SUBSCRIPTION_ENDED, reader=reader, data=data)]


def is_paused(subscription: Subscription) -> bool:
    """Return whether a subscription is paused, or nothing is collected for it."""
    return subscription.status == SubscriptionStatus.PAUSED or subscription.collection_paused is not None


def _failure(subscription: Subscription) -> str | None:
    """Return the invoice that the reader has to pay; empty if the status says so, and no invoice is known."""
    renewal = subscription.renewal
    if renewal is not None and renewal.outcome in ASKS_FOR_PAYMENT:
        return renewal.invoice_id
    return "" if renewal is None and subscription.status in UNPAID else None


def _payment_problem(subscription: Subscription) -> dict[str, object]:
    renewal: Renewal | None = subscription.renewal
    return {
        "invoice": renewal.invoice_id if renewal is not None else None,
        "action_required": renewal is not None and renewal.outcome == RenewalOutcome.ACTION_REQUIRED,
    }


def entitlements_changed(
    reader: OutboxReader, before: EntitlementSet, after: EntitlementSet, *, now: datetime | None
) -> list[NewOutboxEvent]:
    """
    Return the event of changed entitlements, with the complete state before and after; none if nothing changes from now on.

    Nothing is announced about a reader whom the publisher's site doesn't know: it can't look them up.

    :param now: policy time. None: periods that are over count too.
    """
    if reader.sub is None:
        return []
    data = {"before": entitlements(before, now=now), "after": entitlements(after, now=now)}
    if data["before"] == data["after"]:
        return []
    return [NewOutboxEvent(type=OutboxType.ENTITLEMENTS_CHANGED, reader=reader, data=data)]


def entitlements(access: EntitlementSet, *, now: datetime | None) -> dict[str, object]:
    """Return entitlements as they are announced: the periods of each feature that are not over, without those without."""
    features = {
        name: [
            {
                "starts_at": _time(one.starts_at),
                "until": _time(one.until) if one.until < OPEN_ENDED else None,
                "reason": one.reason,
            }
            for one in periods
            if now is None or one.until > now
        ]
        for name, periods in access.features.items()
    }
    return {"features": {name: periods for name, periods in features.items() if periods}, "otherwise": access.otherwise}


def refund_result(reader: OutboxReader, refund: Refund) -> list[NewOutboxEvent]:
    """Return the event of a refund with its new status; none if that decides nothing, or it was made before we followed."""
    if refund.is_history:
        return []
    if refund.status == RefundStatus.SUCCEEDED:
        decided = OutboxType.REFUND_SUCCEEDED
    elif refund.status in {RefundStatus.FAILED, RefundStatus.CANCELED}:
        decided = OutboxType.REFUND_FAILED
    else:
        return []
    data = {
        "refund": {
            "id": refund.id,
            "payment": refund.payment_id,
            "basis": refund.basis,
            "amount": refund.amount,
            "currency": refund.currency,
            "status": refund.status,
            "failure_reason": refund.failure_reason,
        }
    }
    return [NewOutboxEvent(type=decided, reader=reader, data=data)]


def claim_decided(reader: OutboxReader, claim: Claim, *, granted: bool) -> NewOutboxEvent:
    """Return the event of a claim that was granted or rejected."""
    data = {
        "claim": {
            "id": claim.id,
            "subscription": claim.subscription_id,
            "issue": claim.issue_number,
            "reason": claim.reason,
            "resolution": claim.resolution,
            "status": "granted" if granted else "rejected",
        }
    }
    return NewOutboxEvent(type=OutboxType.CLAIM_DECIDED, reader=reader, data=data)


def address_needed(reader: OutboxReader, *, subscription_id: str, issue: int) -> NewOutboxEvent:
    """Return the event of a copy of an issue that can't be sent, because there is no postal address to use."""
    data = {"subscription": subscription_id, "issue": issue}
    return NewOutboxEvent(type=OutboxType.ADDRESS_NEEDED, reader=reader, data=data)


def copy_mailed(reader: OutboxReader, *, subscription_id: str, issue: int, kind: str) -> NewOutboxEvent:
    """
    Return the event of a printed copy that was mailed.

    :param kind: ``copy``, ``replacement`` or ``back_issue``.
    """
    data = {"subscription": subscription_id, "issue": issue, "kind": kind}
    return NewOutboxEvent(type=OutboxType.COPY_MAILED, reader=reader, data=data)


def reader_erased(reader: OutboxReader) -> NewOutboxEvent:
    """Return the event of an erased reader. It names them one last time, so that receivers erase them too."""
    return NewOutboxEvent(type=OutboxType.READER_ERASED, reader=reader, data={})


def notice_due(reader: OutboxReader | None, data: Mapping[str, object]) -> NewOutboxEvent:
    """Return the event of a notice that the publisher's own mailer sends."""
    return NewOutboxEvent(type=OutboxType.NOTICE_DUE, reader=reader, data=data)


def _subscription(subscription: Subscription) -> dict[str, object]:
    return {
        "id": subscription.id,
        "plan": subscription.plan,
        "print_edition": subscription.print_edition,
        "status": subscription.effective_status,
        "price": {"amount": subscription.price, "currency": subscription.currency},
        "created_at": _time(subscription.created_at),
        "current_period_start": _time(subscription.current_period_start),
        "current_period_end": _time(subscription.current_period_end),
        "trial_end": _time(subscription.trial_end),
        "cancel_at": _time(subscription.cancel_at),
        "ended_at": _time(subscription.over_at),
    }


def _term(term: Term) -> dict[str, object]:
    return {
        "invoice": term.invoice_id,
        "starts_at": _time(term.starts_at),
        "ends_at": _time(term.ends_at),
        "issues": term.issues_owed,
    }


def _time(at: datetime | None) -> str | None:
    """Return a time as it is announced: in UTC, in whole seconds."""
    return at.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z") if at is not None else None
