"""
The life of a subscription: for each state that Stripe can put one in, and each circumstance of it, one answer.

A cell says what access it gives, what the reader is told and what staff are told. A cell that cannot be says why; if one is
met all the same it is reported and not guessed: what is paid for stays, and nothing beyond it is given.
`docs/concepts/subscription-states.md` is made from this table (``make reference``).
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
    """What a cell gives, beside what a trial does."""

    NOTHING = "nothing"
    TERM = "what is paid for, to its end"
    ALLOWANCE = "what is paid for, and the renewal allowance after it"
    GRACE = "what is paid for, and the grace period after it"
    CUT = "what is paid for, to the moment of the end"


class Circumstance(Enum):
    """What else is true of a subscription. The first that applies counts, in this order."""

    ENDED_HERE = "ended by us"
    REFUNDED = "its newest term given back"
    NEVER_PAID = "no term paid yet"
    NOT_COLLECTED = "collection paused"
    ENDS = "ends with what is paid"
    PAID = "goes on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The answer of one cell."""

    access: AccessRule
    code: str  # stable, for programs
    reader: str = ""  # what the reader is told; empty: nothing out of the ordinary
    staff: str
    action: str | None = None  # what would mend it: update_payment_method, confirm_payment or resume
    source: str


@dataclass(frozen=True, slots=True)
class ImpossibleState:
    """A cell that cannot be, and why. Met all the same, it gives what is paid for and nothing beyond."""

    why: str
    code: str = "impossible_state"
    access = AccessRule.TERM


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What the reader is told out of the ordinary. ``until``: how long they can read on, as things stand."""

    code: str
    text: str
    until: datetime | None
    action: str | None
    pay_url: str | None = None  # where the reader can pay, or confirm what their bank asks about


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """Where a subscription stands: its cell, or what is out of order with it."""

    status: str
    circumstance: Circumstance
    cell: Cell | ImpossibleState

    @property
    def access(self) -> AccessRule:
        """What it gives."""
        return self.cell.access

    @property
    def told(self) -> str:
        """What staff are told."""
        return self.cell.staff if isinstance(self.cell, Cell) else f"Out of order: {self.cell.why}."

    @property
    def anomaly(self) -> tuple[str, str] | None:
        """What staff have to look at: a code, and why. None: it is as it can be."""
        if isinstance(self.cell, Cell):
            return None
        return self.cell.code, f"{self.status}, {self.circumstance.value}: {self.cell.why}"


MENDED_BY_PAYING = frozenset({"update_payment_method", "confirm_payment"})
COLLECTION = f"{DOCS}/billing/subscriptions/pause-payment"
# Newsstand's own rules (rules.md), by what they are about.
PAYERS, REFUNDS, CANCELLING = "a payer is not locked out", "a refunded term is over", "cancel anytime"

STATES: Mapping[str, str] = {
    "incomplete": "The first invoice is not paid: the card was declined, or its bank wants 3-D Secure.",
    "incomplete_expired": "The first invoice was not paid within 23 hours. Stripe voids it; the subscription is over.",
    "trialing": "A trial: nothing is charged before its end. A billing date that was moved by hand is one, too.",
    "active": "Paid, or about to be: Stripe charges a renewal an hour after the period has turned.",
    "past_due": "A renewal failed and is tried again.",
    "unpaid": "All tries failed, and the account is set to keep such a subscription without collecting.",
    "paused": "Paused itself: no invoice is made and no period turns until it is resumed.",
    "canceled": "Over, whoever ended it. Nothing leads back.",
}

_FIRST_IS_OPEN = ImpossibleState("nothing of it can be paid while its first invoice is open")
_REFUND_ENDS = ImpossibleState("the transaction that records such a refund ends the subscription as well")
_EXPIRED = ImpossibleState("one that was never paid has no paid term")
_OVER = ImpossibleState("what is over is no longer scheduled to end")
_CLOSING = Cell(
    access=AccessRule.CUT,
    code="ended",
    reader="Your subscription has ended.",
    staff="Ended by us; Stripe is being told, until it has cancelled, voided what is open and deleted what is pending.",
    source=f"{CANCELLING}; {CANCEL}",
)
_ENDED = Cell(
    access=AccessRule.CUT,
    code="ended",
    reader="Your subscription has ended.",
    staff="Over at Stripe. What was open is voided, what was pending deleted, what is paid after it goes back.",
    source=f"{CANCEL}; {CANCELLING}; {REFUNDS}",
)
_NEVER = Cell(
    access=AccessRule.NOTHING,
    code="never_paid",
    reader="Your payment never arrived, so the subscription has not begun.",
    staff="Over before it was ever paid.",
    source=LIFECYCLE,
)
_DYING = Cell(
    access=AccessRule.GRACE,
    code="payment_failed",
    reader="Your renewal could not be charged. You can read on for now while it is tried again; please look at your card.",
    staff="The renewal failed; Stripe tries again, and the grace period runs from the end of what is paid.",
    action="update_payment_method",
    source=f"{DUNNING}; {PAYERS}",
)
_GAVE_UP = Cell(
    access=AccessRule.TERM,
    code="unpaid",
    reader="Your renewal could not be charged, and is no longer tried. Please look after your card.",
    staff="All tries failed, and the grace period with them. Nothing is collected until somebody pays the open invoice.",
    action="update_payment_method",
    source=LIFECYCLE,
)
_RESTS = Cell(
    access=AccessRule.TERM,
    code="paused",
    reader="Your subscription is paused. What you have paid for stays open to its end.",
    staff="Paused itself. What is paid for stays open, though Stripe may credit the rest of it; nothing follows it. "
    "Resumed, a new period begins and is charged.",
    action="resume",
    source=PAUSE,
)
_SET_ASIDE = Cell(
    access=AccessRule.TERM,
    code="collection_paused",
    reader="Payments of your subscription are paused. What you have paid for stays open to its end.",
    staff="Collection is paused: periods turn and their invoices are set aside, so nothing follows what is paid.",
    source=COLLECTION,
)
_LEAVES = Cell(
    access=AccessRule.TERM,
    code="ends",
    reader="Your subscription ends with what is paid, or earlier where you chose so. You can take that back until then.",
    staff="Scheduled to end, in one of Stripe's three forms. Ended within a period, it gives back nothing by itself.",
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
            reader="Your payment is not complete. Your bank may want you to confirm it; it lapses after 23 hours.",
            staff="The first invoice is open: declined, or waiting for 3-D Secure. Stripe gives it up after 23 hours.",
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
            reader="You are reading on trial; the first payment follows when it ends.",
            staff="A trial: it gives what is digital until its end and owes no issues. Nothing is paid yet.",
            source=TRIALS,
        ),
        _C: _SET_ASIDE,
        _S: _LEAVES,
        _P: Cell(
            access=AccessRule.ALLOWANCE,
            code="billing_moved",
            staff="Paid before, and its next billing date was moved by a trial: what is digital stays open until then.",
            source=TRIALS,
        ),
    },
    "active": {
        _E: _CLOSING,
        _R: _REFUND_ENDS,
        _N: Cell(
            access=AccessRule.ALLOWANCE,
            code="payment_incomplete",
            reader="Your first payment has not arrived yet.",
            staff="Active at Stripe, and no invoice that opens a term is paid: its trial has just ended, which the renewal "
            "allowance follows; or it is billed by mail, or collection is paused, and it gives nothing.",
            source=LIFECYCLE,
        ),
        _C: _SET_ASIDE,
        _S: _LEAVES,
        _P: Cell(
            access=AccessRule.ALLOWANCE,
            code="active",
            staff="Renews at the end of its period. Stripe charges an hour later and its events may come days later still.",
            source=f"{LIFECYCLE}; {PAYERS}",
        ),
    },
    "past_due": {
        _E: _CLOSING,
        _R: _REFUND_ENDS,
        _N: Cell(
            access=AccessRule.NOTHING,
            code="payment_failed",
            reader="Your first payment could not be charged. Please look after your card.",
            staff="The first payment failed, after a trial say: a grace period follows only what was paid.",
            action="update_payment_method",
            source=DUNNING,
        ),
        _C: _DYING,
        _S: _DYING,
        _P: _DYING,
    },
    "unpaid": {
        _E: _CLOSING,
        _R: _REFUND_ENDS,
        _N: Cell(
            access=AccessRule.NOTHING,
            code="unpaid",
            reader="Your payment could not be charged. Please look after your card.",
            staff="Never paid, and no longer tried.",
            action="update_payment_method",
            source=LIFECYCLE,
        ),
        _C: _GAVE_UP,
        _S: _GAVE_UP,
        _P: _GAVE_UP,
    },
    "paused": {
        _E: _CLOSING,
        _R: _REFUND_ENDS,
        _N: Cell(
            access=AccessRule.NOTHING,
            code="paused",
            reader="Your trial has ended and there is no card to charge. Add one to go on.",
            staff="Paused at the end of a trial, for want of a card.",
            action="update_payment_method",
            source=TRIALS,
        ),
        _C: _RESTS,
        _S: _RESTS,
        _P: _RESTS,
    },
    "canceled": {
        _E: _ENDED,
        _R: Cell(
            access=AccessRule.CUT,
            code="refunded",
            reader="Your subscription was refunded and has ended.",
            staff="Over, and its newest term was given back: it is never granted again.",
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
    Return where a subscription stands.

    A state that this release does not know is no cell, nor is one that nothing leads to from where it was: it gives what is
    paid for, and is reported.
    """
    circumstance = circumstance_of(subscription, terms)
    before = subscription.came_from
    if before is not None and (no_road := unreachable_reason(before, subscription.status)) is not None:
        cell: Cell | ImpossibleState = ImpossibleState(f"it was {before} before, and {no_road}", "impossible_move")
    elif subscription.status in OVER and subscription.ended_at is None and subscription.access_ended_at is None:
        cell = ImpossibleState("Stripe says that it is over, and not since when")
    elif subscription.status not in TABLE:
        cell = ImpossibleState("this release knows no such state", "unknown_state")
    else:
        cell = TABLE[subscription.status][circumstance]
    return Classification(status=subscription.status, circumstance=circumstance, cell=cell)


def notice_of(subscription: Subscription, terms: Sequence[Term], policy: AccessPolicy) -> Notice | None:
    """Return what a subscription's reader has to be told; None: it goes on as it should."""
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
    pay_url = subscription.pay_url if cell.action in MENDED_BY_PAYING else None
    return Notice(code=cell.code, text=cell.reader, until=until, action=cell.action, pay_url=pay_url)
