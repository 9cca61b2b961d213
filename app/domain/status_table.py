"""
The status table: one cell for each Stripe status of a subscription and each circumstance.

A cell says what access it gives, and what the reader and staff see. An impossible cell says why. If it occurs anyway, it is
reported: paid terms keep their access, and nothing beyond them is granted. ``docs/concepts/subscription-states.md`` is
generated from this table (``make reference``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from app.domain.dunning import AccessPolicy
from app.domain.subscriptions import OVER, Subscription, Term
from app.domain.transitions import CANCEL, DOCS, PAUSE, TRIALS, unreachable_reason
from app.domain.transitions import RETRIES as DUNNING
from app.domain.transitions import STATUSES as LIFECYCLE


class AccessRule(Enum):
    """The access that a cell gives, in addition to a trial's."""

    NOTHING = "none"
    TERM = "until the end of the paid term"
    ALLOWANCE = "paid term plus renewal allowance"
    GRACE = "paid term plus grace period"
    CUT = "until the subscription ended"


class Circumstance(Enum):
    """What else is true of a subscription. The first that applies counts, in this order."""

    ENDED_HERE = "ended by Newsstand"
    REFUNDED = "newest term refunded"
    NEVER_PAID = "no paid term"
    NOT_COLLECTED = "collection paused"
    ENDS = "ends with the paid term"
    PAID = "paid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What applies in one cell."""

    access: AccessRule
    code: str  # stable, for programs
    reader: str = ""  # the notice for the reader; empty: none
    staff: str  # the description for staff
    action: str | None = None  # what the reader can do: update_payment_method, confirm_payment or resume
    source: str


@dataclass(frozen=True, slots=True)
class ImpossibleState:
    """An impossible cell, and why. If it occurs anyway, paid terms keep their access and nothing beyond them is granted."""

    why: str
    code: str = "impossible_state"
    access = AccessRule.TERM


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice for the reader. ``until`` is when their access ends, if nothing changes."""

    code: str
    text: str
    until: datetime | None
    action: str | None
    pay_url: str | None = None  # where the reader can pay, or confirm the payment with their bank


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """The cell of a subscription."""

    status: str
    circumstance: Circumstance
    cell: Cell | ImpossibleState

    @property
    def access(self) -> AccessRule:
        """The access that the cell gives."""
        return self.cell.access

    @property
    def staff_summary(self) -> str:
        """The description for staff."""
        return self.cell.staff if isinstance(self.cell, Cell) else f"Impossible state: {self.cell.why}."

    @property
    def anomaly(self) -> tuple[str, str] | None:
        """The code and the reason of an impossible state, which staff must check; None if the state is possible."""
        if isinstance(self.cell, Cell):
            return None
        return self.cell.code, f"{self.status}, {self.circumstance.value}: {self.cell.why}"


FIXED_BY_PAYING = frozenset({"update_payment_method", "confirm_payment"})
COLLECTION = f"{DOCS}/billing/subscriptions/pause-payment"
# Newsstand's own rules (rules.md), by subject.
PAYERS, REFUNDS, CANCELLING = "paying readers keep access", "a refunded term is over", "cancel anytime"

STATES: Mapping[str, str] = {
    "incomplete": "The first invoice is not paid: the card was declined, or the bank requires 3-D Secure.",
    "incomplete_expired": "The first invoice was not paid within 23 hours. Stripe voided it and ended the subscription.",
    "trialing": "On a trial: nothing is charged before it ends. A billing date moved manually also counts as a trial.",
    "active": "Paid, or about to be: Stripe charges a renewal an hour after the new period starts.",
    "past_due": "A renewal payment failed, and Stripe retries it.",
    "unpaid": "All retries failed, and the Stripe account is set to keep such subscriptions without collecting.",
    "paused": "The subscription itself is paused: no invoices and no new periods until it is resumed.",
    "canceled": "The subscription has ended. This is final.",
}

_FIRST_IS_OPEN = ImpossibleState("nothing can be paid while the first invoice is open")
_REFUND_ENDS = ImpossibleState("the transaction that records such a refund also ends the subscription")
_EXPIRED = ImpossibleState("a subscription that was never paid has no paid term")
_OVER = ImpossibleState("an ended subscription is not scheduled to end")
_CLOSING = Cell(
    access=AccessRule.CUT,
    code="ended",
    reader="Your subscription has ended.",
    staff="Ended by Newsstand. Canceling it at Stripe: its open invoices are voided and its pending items deleted.",
    source=f"{CANCELLING}; {CANCEL}",
)
_ENDED = Cell(
    access=AccessRule.CUT,
    code="ended",
    reader="Your subscription has ended.",
    staff="Canceled at Stripe. Open invoices are voided, pending items are deleted, and later payments are refunded.",
    source=f"{CANCEL}; {CANCELLING}; {REFUNDS}",
)
_NEVER = Cell(
    access=AccessRule.NOTHING,
    code="never_paid",
    reader="We didn't receive your payment, so your subscription didn't start.",
    staff="Ended without ever being paid.",
    source=LIFECYCLE,
)
_PAST_DUE = Cell(
    access=AccessRule.GRACE,
    code="payment_failed",
    reader="We couldn't charge your renewal. You keep access while we try again. Please update your card.",
    staff="The renewal payment failed. Stripe retries it, and the grace period starts at the end of the paid term.",
    action="update_payment_method",
    source=f"{DUNNING}; {PAYERS}",
)
_UNPAID = Cell(
    access=AccessRule.TERM,
    code="unpaid",
    reader="We couldn't charge your renewal, and we've stopped trying. Please update your card.",
    staff="All retries failed and the grace period is over. Nothing is collected until the open invoice is paid.",
    action="update_payment_method",
    source=LIFECYCLE,
)
_PAUSED = Cell(
    access=AccessRule.TERM,
    code="paused",
    reader="Your subscription is paused. You keep access until the end of the period you paid for.",
    staff="The subscription itself is paused. Access continues until the end of the paid term, even if Stripe credits the "
    "rest of it. Resuming starts and charges a new period.",
    action="resume",
    source=PAUSE,
)
_COLLECTION_PAUSED = Cell(
    access=AccessRule.TERM,
    code="collection_paused",
    reader="Payments for your subscription are paused. You keep access until the end of the period you paid for.",
    staff="Payment collection is paused: new periods start, but their invoices are not collected and open no term.",
    source=COLLECTION,
)
_ENDS = Cell(
    access=AccessRule.TERM,
    code="ends",
    reader="Your subscription is scheduled to end. You can resume it until then.",
    staff="Scheduled to end. If it ends within a period, nothing is refunded automatically.",
    action="resume",
    source=f"{CANCEL}; {CANCELLING}",
)

_E, _R, _N, _C, _S, _P = Circumstance
TABLE: Mapping[str, Mapping[Circumstance, Cell | ImpossibleState]] = {
    "incomplete": {
        _E: _CLOSING,
        _R: _FIRST_IS_OPEN,
        _N: Cell(
            access=AccessRule.NOTHING,
            code="payment_incomplete",
            reader="Your payment is incomplete. Your bank may require you to confirm it. It expires after 23 hours.",
            staff="The first invoice is open: the payment was declined or requires 3-D Secure. It expires after 23 hours.",
            action="confirm_payment",
            source=LIFECYCLE,
        ),
        _C: _FIRST_IS_OPEN,
        _S: _FIRST_IS_OPEN,
        _P: _FIRST_IS_OPEN,
    },
    "incomplete_expired": {_E: _NEVER, _R: _EXPIRED, _N: _NEVER, _C: _EXPIRED, _S: _EXPIRED, _P: _EXPIRED},
    "trialing": {
        _E: _CLOSING,
        _R: _REFUND_ENDS,
        _N: Cell(
            access=AccessRule.ALLOWANCE,
            code="trial",
            reader="You're on a trial. Your first payment is due when it ends.",
            staff="On a trial: digital access until it ends, and no issues owed. Nothing is paid yet.",
            source=TRIALS,
        ),
        _C: _COLLECTION_PAUSED,
        _S: _ENDS,
        _P: Cell(
            access=AccessRule.ALLOWANCE,
            code="billing_moved",
            staff="Paid before. A trial moved the next billing date, and digital access continues until then.",
            source=TRIALS,
        ),
    },
    "active": {
        _E: _CLOSING,
        _R: _REFUND_ENDS,
        _N: Cell(
            access=AccessRule.ALLOWANCE,
            code="payment_incomplete",
            reader="We haven't received your first payment yet.",
            staff="Active at Stripe, but no term is paid. If its trial has just ended, the renewal allowance applies. If it "
            "is billed by mail or its collection is paused, it gives no access.",
            source=LIFECYCLE,
        ),
        _C: _COLLECTION_PAUSED,
        _S: _ENDS,
        _P: Cell(
            access=AccessRule.ALLOWANCE,
            code="active",
            staff="Renews at the end of its period. Stripe charges an hour later, and its events may arrive days later.",
            source=f"{LIFECYCLE}; {PAYERS}",
        ),
    },
    "past_due": {
        _E: _CLOSING,
        _R: _REFUND_ENDS,
        _N: Cell(
            access=AccessRule.NOTHING,
            code="payment_failed",
            reader="We couldn't charge your first payment. Please update your card.",
            staff="The first payment failed, for example after a trial. Only a paid term is followed by a grace period.",
            action="update_payment_method",
            source=DUNNING,
        ),
        _C: _PAST_DUE,
        _S: _PAST_DUE,
        _P: _PAST_DUE,
    },
    "unpaid": {
        _E: _CLOSING,
        _R: _REFUND_ENDS,
        _N: Cell(
            access=AccessRule.NOTHING,
            code="unpaid",
            reader="We couldn't charge your payment. Please update your card.",
            staff="Never paid, and no longer retried.",
            action="update_payment_method",
            source=LIFECYCLE,
        ),
        _C: _UNPAID,
        _S: _UNPAID,
        _P: _UNPAID,
    },
    "paused": {
        _E: _CLOSING,
        _R: _REFUND_ENDS,
        _N: Cell(
            access=AccessRule.NOTHING,
            code="paused",
            reader="Your trial has ended, and we have no card to charge. Add a card to continue.",
            staff="Paused at the end of a trial, because there is no card.",
            action="update_payment_method",
            source=TRIALS,
        ),
        _C: _PAUSED,
        _S: _PAUSED,
        _P: _PAUSED,
    },
    "canceled": {
        _E: _ENDED,
        _R: Cell(
            access=AccessRule.CUT,
            code="refunded",
            reader="Your subscription was refunded and has ended.",
            staff="Ended, and the newest term was refunded. It is never granted again.",
            source=REFUNDS,
        ),
        _N: _NEVER,
        _C: _ENDED,
        _S: _OVER,
        _P: _ENDED,
    },
}


def circumstance_of(subscription: Subscription, terms: Sequence[Term]) -> Circumstance:
    """Return the first circumstance that applies, in the order of :class:`Circumstance`."""
    newest = max(terms, key=lambda term: (term.ends_at, term.invoice_id), default=None)
    if subscription.access_ended_at is not None:
        return Circumstance.ENDED_HERE
    if newest is None:
        return Circumstance.NEVER_PAID
    if newest.is_refunded:
        return Circumstance.REFUNDED
    if subscription.collection_paused is not None:
        return Circumstance.NOT_COLLECTED
    if subscription.cancel_at is not None and subscription.cancel_at <= newest.ends_at:
        return Circumstance.ENDS
    return Circumstance.PAID


def classify(subscription: Subscription, terms: Sequence[Term]) -> Classification:
    """
    Return the cell of a subscription.

    A status that this release doesn't know, or one that can't follow the previous status, counts as an impossible state.
    """
    circumstance = circumstance_of(subscription, terms)
    before = subscription.came_from
    if before is not None and (why := unreachable_reason(before, subscription.status)) is not None:
        cell: Cell | ImpossibleState = ImpossibleState(f"it was {before} before, and {why}", "impossible_move")
    elif subscription.status in OVER and subscription.ended_at is None and subscription.access_ended_at is None:
        cell = ImpossibleState("Stripe says that it has ended, but not when")
    elif subscription.status not in TABLE:
        cell = ImpossibleState("this release doesn't know the status", "unknown_state")
    else:
        cell = TABLE[subscription.status][circumstance]
    return Classification(status=subscription.status, circumstance=circumstance, cell=cell)


def notice_of(subscription: Subscription, terms: Sequence[Term], policy: AccessPolicy) -> Notice | None:
    """Return the notice for a subscription's reader; None if there is nothing to report."""
    cell = classify(subscription, terms).cell
    if isinstance(cell, ImpossibleState) or not cell.reader:
        return None
    paid_until = max((term.ends_at for term in terms if not term.is_refunded), default=None)
    until = max((at for at in (paid_until, subscription.trial_end) if at is not None), default=None)
    if cell.access is AccessRule.GRACE and until is not None:
        until += policy.grace_period
    ends = [
        at for at in (subscription.ended_at, subscription.access_ended_at, subscription.cancel_at) if at is not None
    ]
    if until is not None and ends and cell.access is not AccessRule.GRACE:
        until = min([until, *ends])
    pay_url = subscription.pay_url if cell.action in FIXED_BY_PAYING else None
    return Notice(code=cell.code, text=cell.reader, until=until, action=cell.action, pay_url=pay_url)
