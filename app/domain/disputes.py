"""
Disputes and early fraud warnings, and their effect on access.

A dispute suspends or ends only the term that the disputed payment opened, or the print that it added to one
(:mod:`app.domain.print_returns`). A term opened by another payment runs to its own
end, even if a lost dispute has ended the subscription. The disputed amount is stored and shown, but decides nothing: banks
dispute parts of a payment, and in other currencies.

Statuses are Stripe's (docs.stripe.com/api/disputes/object). :data:`STATUS_EFFECTS` has the effect of each; an unknown status
has no effect and is shown to staff.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from app.domain.reasons import EndReason

# These end a subscription because of one payment. An earlier term, paid with another payment, runs to its end.
KEEPS_OTHER_TERMS = frozenset({EndReason.DISPUTE_LOST, EndReason.FRAUD_WARNING})


class PolicyAction(StrEnum):
    """An action of the publisher's policy. Values are those of the catalogue."""

    SUSPEND = "suspend"
    KEEP = "keep"
    REFUND = "refund"
    STAYS_ENDED = "ended"
    RESTORE = "restore"


class AccessEffect(StrEnum):
    """The effect of a dispute's status on the term that the disputed payment opened."""

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
    The publisher's policy for disputes, warnings and failed refunds from ``since`` on (rules.md, rule 12).

    By default, a chargeback suspends access: the bank has withdrawn the money, copies cost postage, and a reader who
    disputed by mistake withdraws the dispute sooner. An actionable fraud warning refunds and cancels, which costs less than
    the dispute that would follow. If a refund fails, access stays ended and staff repeat the refund.
    """

    since: datetime
    dispute: str = PolicyAction.SUSPEND  # or keep: what an open chargeback does to access
    fraud_warning: str = PolicyAction.REFUND  # or keep: what an actionable warning does
    failed_refund: str = PolicyAction.STAYS_ENDED  # or restore: access after a succeeded refund has failed


DEFAULT_POLICY = DisputePolicy(since=datetime(1970, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeDisputeState:
    """The current state of a dispute at Stripe."""

    id: str  # dp_…, du_…
    charge_id: str
    payment_id: str | None
    status: str
    amount: int
    currency: str
    reason: str
    due_by: datetime | None  # deadline for evidence
    refundable: bool  # whether the charge can still be refunded
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute(StripeDisputeState):
    """Our copy of a dispute."""

    subscriber_id: str | None  # None: the payment is not ours
    concern: str | None  # why staff must review it
    lost_at: datetime | None  # when the loss was applied to access
    closed_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether the dispute is undecided."""
        return effect_of(self.status).is_open

    @property
    def needs_response(self) -> bool:
        """Whether the bank waits for evidence."""
        return self.status.endswith("needs_response")

    @property
    def meaning(self) -> str:
        """What the status means, for staff."""
        return effect_of(self.status).words


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeWarningState:
    """The current state of an early fraud warning at Stripe."""

    id: str  # issfr_…
    charge_id: str
    payment_id: str | None
    actionable: bool  # not disputed yet, and not refunded in full
    fraud_type: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEffect:
    """The effect of a dispute's status. ``words`` describes it for staff."""

    is_open: bool
    access: str
    words: str


STATUS_EFFECTS: Mapping[str, StatusEffect] = {
    "warning_needs_response": StatusEffect(
        is_open=True,
        access=AccessEffect.KEPT,
        words="Inquiry: the bank asks for information. No money has moved, and access continues.",
    ),
    "warning_under_review": StatusEffect(
        is_open=True,
        access=AccessEffect.KEPT,
        words="The bank is reviewing the response to the inquiry. Access continues.",
    ),
    "warning_closed": StatusEffect(
        is_open=False, access=AccessEffect.KEPT, words="The inquiry was closed without a dispute."
    ),
    "needs_response": StatusEffect(
        is_open=True,
        access=AccessEffect.BY_POLICY,
        words="Chargeback: the bank has withdrawn the money. Submit evidence before the deadline.",
    ),
    "under_review": StatusEffect(
        is_open=True, access=AccessEffect.BY_POLICY, words="The bank is reviewing the evidence."
    ),
    "appeal_needs_response": StatusEffect(
        is_open=True,
        access=AccessEffect.BY_POLICY,
        words="The decision was appealed. Submit evidence before the deadline.",
    ),
    "appeal_under_review": StatusEffect(
        is_open=True, access=AccessEffect.BY_POLICY, words="The bank is reviewing the appeal."
    ),
    "won": StatusEffect(
        is_open=False, access=AccessEffect.RESTORED, words="The bank returned the money. Access is restored."
    ),
    "lost": StatusEffect(
        is_open=False,
        access=AccessEffect.ENDED,
        words="The payment counts as refunded, and it can't be refunded again: the term and the subscription end. If it"
        " added print within a term, only print ends.",
    ),
    "prevented": StatusEffect(
        is_open=False,
        access=AccessEffect.KEPT,
        words="The dispute was prevented. A refund that prevented it counts like any other.",
    ),
}
UNKNOWN = StatusEffect(
    is_open=True,
    access=AccessEffect.KEPT,
    words="Unknown status: access continues, and staff must check it.",
)


def effect_of(status: str) -> StatusEffect:
    """Return the effect of a status, known or unknown."""
    return STATUS_EFFECTS.get(status, UNKNOWN)


def policy_at(policies: Sequence[DisputePolicy], at: datetime) -> DisputePolicy:
    """Return the policy that applied at ``at``: the newest that had begun."""
    return max((p for p in policies if p.since <= at), key=lambda p: p.since, default=DEFAULT_POLICY)


def suspends(dispute: StripeDisputeState, policies: Sequence[DisputePolicy]) -> bool:
    """Return whether a dispute suspends the term of its payment. A lost dispute ends the term instead."""
    policy = policy_at(policies, dispute.opened_at)
    return effect_of(dispute.status).access == AccessEffect.BY_POLICY and policy.dispute == PolicyAction.SUSPEND


def attention_reason(
    dispute: StripeDisputeState, *, paid: int, currency: str, refunded: int, lost_before: bool
) -> str | None:
    """
    Return why staff must review a dispute of one of our payments, apart from responding in time; None if they need not.

    :param paid: the amount of the payment, in minor units of ``currency``.
    :param refunded: the refunded part of it.
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
