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
from enum import StrEnum

from app.domain.reasons import EndReason

# These end a subscription because of one payment. An earlier term, paid with another payment, runs to its end.
SPARES_OTHER_TERMS = frozenset({EndReason.DISPUTE_LOST, EndReason.FRAUD_WARNING})


class PolicyAction(StrEnum):
    """What the publisher's policy does. Values are those of the catalogue."""

    SUSPEND = "suspend"
    KEEP = "keep"
    REFUND = "refund"
    STAYS_ENDED = "ended"
    RESTORE = "restore"


class AccessEffect(StrEnum):
    """What the status of a dispute does to the term that the disputed payment opened."""

    KEPT = "kept"
    BY_POLICY = "by_policy"
    RESTORED = "restored"
    ENDED = "ended"


class DisputeConcern(StrEnum):
    """Why staff have to review a dispute."""

    UNKNOWN_STATUS = "unknown_status"
    UNKNOWN_PAYMENT = "unknown_payment"
    OTHER_CURRENCY = "other_currency"
    PARTIAL = "in_part"
    ALREADY_REFUNDED = "refunded_too"
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
    dispute: str = PolicyAction.SUSPEND  # or keep: what an open chargeback does to access
    fraud_warning: str = PolicyAction.REFUND  # or keep: what an actionable warning does
    failed_refund: str = (
        PolicyAction.STAYS_ENDED
    )  # or restore: what becomes of access when a refund fails after it succeeded


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
        is_open=True,
        access=AccessEffect.KEPT,
        words="An inquiry: the bank only asks. No money has moved, and access stays.",
    ),
    "warning_under_review": StatusEffect(
        is_open=True, access=AccessEffect.KEPT, words="The inquiry was answered; the bank looks at it. Access stays."
    ),
    "warning_closed": StatusEffect(is_open=False, access=AccessEffect.KEPT, words="The inquiry came to nothing."),
    "needs_response": StatusEffect(
        is_open=True,
        access=AccessEffect.BY_POLICY,
        words="A chargeback: the bank has taken the money. Evidence has a deadline.",
    ),
    "under_review": StatusEffect(
        is_open=True, access=AccessEffect.BY_POLICY, words="Evidence was given; the bank looks at it."
    ),
    "appeal_needs_response": StatusEffect(
        is_open=True,
        access=AccessEffect.BY_POLICY,
        words="The verdict was appealed, and evidence has a deadline again.",
    ),
    "appeal_under_review": StatusEffect(
        is_open=True, access=AccessEffect.BY_POLICY, words="The appeal is being looked at."
    ),
    "won": StatusEffect(
        is_open=False, access=AccessEffect.RESTORED, words="The money is back here: access is as if nothing had been."
    ),
    "lost": StatusEffect(
        is_open=False,
        access=AccessEffect.ENDED,
        words="Counts as refunded: the term and the subscription end, and the payment is never refunded again.",
    ),
    "prevented": StatusEffect(
        is_open=False,
        access=AccessEffect.KEPT,
        words="It never became a dispute. A refund that prevented it counts as any other.",
    ),
}
UNKNOWN = StatusEffect(
    is_open=True,
    access=AccessEffect.KEPT,
    words="A status that does not exist yet: nothing is guessed, staff look at it.",
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
    return effect_of(dispute.status).access == AccessEffect.BY_POLICY and policy.dispute == PolicyAction.SUSPEND


def attention_reason(
    dispute: StripeDisputeState, *, paid: int, currency: str, refunded: int, lost_before: bool
) -> str | None:
    """
    Return why staff have to look at a dispute of a payment of ours, besides answering it in time; None: they have not to.

    :param paid: what the payment was, in minor units of ``currency``; ``refunded``: what of it was given back.
    """
    access = effect_of(dispute.status).access
    if dispute.status not in STATUS_EFFECTS:
        return DisputeConcern.UNKNOWN_STATUS
    if lost_before and access != AccessEffect.ENDED:
        return (
            DisputeConcern.WON_AFTER_LOST
        )  # an appeal: the money may come back, and the term stays ended until staff say otherwise
    if dispute.currency != currency:
        return DisputeConcern.OTHER_CURRENCY
    if access in {AccessEffect.BY_POLICY, AccessEffect.ENDED} and refunded > 0:
        return DisputeConcern.ALREADY_REFUNDED  # the money is on its way twice: the evidence to give is the refund
    if access == AccessEffect.ENDED and dispute.amount < paid:
        return DisputeConcern.PARTIAL
    return None
