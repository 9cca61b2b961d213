"""
Disputes and warnings of fraud: what follows when a bank takes a reader's side about a payment.

A dispute concerns the payment that it names, never "the latest order": what is suspended or ended is the term which that
payment opened. What other payments bought is another matter, so a term that another payment opened runs to its own end,
even after a loss has ended the subscription. Amounts are kept and shown, and nothing is decided by them: banks dispute
parts, and in currencies of their own.

Statuses are Stripe's (docs.stripe.com/api/disputes/object); each has one answer in :data:`STATUS_EFFECTS`. A new one of
Stripe's has one too: nothing is guessed, and staff are shown it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

# Why a term is not granted, and why a subscription ended.
DISPUTE_OPEN = "dispute_open"
DISPUTE_LOST = "dispute_lost"
FRAUD_WARNING = "fraud_warning"
REFUND_FAILED = "refund_failed"
# These end a subscription for the sake of one payment. A term that began before, and was paid with another, runs to its end.
SPARES_OTHER_TERMS = frozenset({DISPUTE_LOST, FRAUD_WARNING})

# The policies, and what each may be.
SUSPEND, KEEP, REFUND, STAYS_ENDED, RESTORE = "suspend", "keep", "refund", "ended", "restore"

# What a status does to the term that the disputed payment opened.
KEPT, BY_POLICY, RESTORED, ENDED = "kept", "by_policy", "restored", "ended"

# Why staff have to look at a dispute themselves.
UNKNOWN_STATUS = "unknown_status"
UNKNOWN_PAYMENT = "unknown_payment"
OTHER_CURRENCY = "other_currency"
IN_PART = "in_part"
REFUNDED_TOO = "refunded_too"
WON_AFTER_LOST = "won_after_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputePolicy:
    """
    What the publisher does by policy, for whatever begins from ``since`` on (rules.md, rule 12).

    By default a chargeback suspends: the bank has taken the money back, copies cost postage, and a reader who did not mean
    it withdraws it sooner. An actionable warning refunds and cancels, which costs less than the dispute that would follow. A
    reader whose refund came to nothing was told that it is over, so access stays ended, and staff give the money back again.
    """

    since: datetime
    dispute: str = SUSPEND  # or keep: what an open chargeback does to access
    fraud_warning: str = REFUND  # or keep: what an actionable warning does
    failed_refund: str = STAYS_ENDED  # or restore: what becomes of access when a refund fails after it succeeded


DEFAULT_POLICY = DisputePolicy(since=datetime(1970, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeDisputeState:
    """A dispute as Stripe holds it now."""

    id: str  # dp_…, du_…
    charge_id: str
    payment_id: str | None
    status: str
    amount: int
    currency: str
    reason: str
    due_by: datetime | None  # until when the bank takes evidence
    refundable: bool  # whether the charge can be given back all the same
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute(StripeDisputeState):
    """Our copy of a dispute."""

    subscriber_id: str | None  # None: of a payment that is none of ours
    concern: str | None  # why staff have to look at it
    lost_at: datetime | None  # when a loss had its consequences here
    closed_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether it is undecided."""
        return effect_of(self.status).is_open


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeWarningState:
    """An early fraud warning as Stripe holds it now."""

    id: str  # issfr_…
    charge_id: str
    payment_id: str | None
    actionable: bool  # not disputed yet, and not refunded in full
    fraud_type: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEffect:
    """What follows from one status of a dispute."""

    is_open: bool
    access: str
    words: str


STATUS_EFFECTS: Mapping[str, StatusEffect] = {
    "warning_needs_response": StatusEffect(
        is_open=True, access=KEPT, words="An inquiry: the bank only asks. No money has moved, and access stays."
    ),
    "warning_under_review": StatusEffect(
        is_open=True, access=KEPT, words="The inquiry was answered; the bank looks at it. Access stays."
    ),
    "warning_closed": StatusEffect(is_open=False, access=KEPT, words="The inquiry came to nothing."),
    "needs_response": StatusEffect(
        is_open=True, access=BY_POLICY, words="A chargeback: the bank has taken the money. Evidence has a deadline."
    ),
    "under_review": StatusEffect(is_open=True, access=BY_POLICY, words="Evidence was given; the bank looks at it."),
    "appeal_needs_response": StatusEffect(
        is_open=True, access=BY_POLICY, words="The verdict was appealed, and evidence has a deadline again."
    ),
    "appeal_under_review": StatusEffect(is_open=True, access=BY_POLICY, words="The appeal is being looked at."),
    "won": StatusEffect(
        is_open=False, access=RESTORED, words="The money is back here: access is as if nothing had been."
    ),
    "lost": StatusEffect(
        is_open=False,
        access=ENDED,
        words="Counts as refunded: the term and the subscription end, and the payment is never refunded again.",
    ),
    "prevented": StatusEffect(
        is_open=False, access=KEPT, words="It never became a dispute. A refund that prevented it counts as any other."
    ),
}
UNKNOWN = StatusEffect(
    is_open=True, access=KEPT, words="A status that does not exist yet: nothing is guessed, staff look at it."
)


def effect_of(status: str) -> StatusEffect:
    """Return what follows from a status, known or not."""
    return STATUS_EFFECTS.get(status, UNKNOWN)


def policy_at(policies: Sequence[DisputePolicy], at: datetime) -> DisputePolicy:
    """Return the policy for what began at ``at``: the newest that had begun by then."""
    return max((p for p in policies if p.since <= at), key=lambda p: p.since, default=DEFAULT_POLICY)


def suspends(dispute: StripeDisputeState, policies: Sequence[DisputePolicy]) -> bool:
    """Tell whether a dispute keeps its payment's term from being granted. A lost one ends it, which is another thing."""
    policy = policy_at(policies, dispute.opened_at)
    return effect_of(dispute.status).access == BY_POLICY and policy.dispute == SUSPEND


def attention_reason(
    dispute: StripeDisputeState, *, paid: int, currency: str, refunded: int, lost_before: bool
) -> str | None:
    """
    Return why staff have to look at a dispute of a payment of ours, besides answering it in time; None: they have not to.

    :param paid: what the payment was, in minor units of ``currency``; ``refunded``: what of it was given back.
    """
    access = effect_of(dispute.status).access
    if dispute.status not in STATUS_EFFECTS:
        return UNKNOWN_STATUS
    if lost_before and access != ENDED:
        return WON_AFTER_LOST  # an appeal: the money may come back, and the term stays ended until staff say otherwise
    if dispute.currency != currency:
        return OTHER_CURRENCY
    if access in {BY_POLICY, ENDED} and refunded > 0:
        return REFUNDED_TOO  # the money is on its way twice: the evidence to give is the refund
    if access == ENDED and dispute.amount < paid:
        return IN_PART
    return None
