"""
The status table: one cell for each Stripe status of a subscription and each circumstance.

A cell says what access it gives, and what the reader and staff see. An impossible cell says why. If it occurs anyway, it is
reported: paid terms keep their access, and nothing beyond them is granted. ``docs/concepts/subscription-states.md`` is
generated from this table (``make reference``). Until when a subscription gives access is in
:mod:`app.domain.access_status`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain import status_cells as cells
from app.domain.renewals import PAYMENT_FAILURES, RenewalOutcome
from app.domain.status_cells import AccessRule, Cell, Circumstance, ImpossibleState, ReaderAction
from app.domain.subscriptions import OVER, Subscription, SubscriptionStatus, Term
from app.domain.transitions import RETRIES as DUNNING
from app.domain.transitions import STATUSES as LIFECYCLE
from app.domain.transitions import TRIALS, unreachable_reason

STATES: Mapping[SubscriptionStatus, str] = {
    SubscriptionStatus.INCOMPLETE: "The first invoice is not paid: the card was declined, or the bank requires 3-D Secure.",
    SubscriptionStatus.INCOMPLETE_EXPIRED: "The first invoice was not paid within 23 hours. Stripe voided it and ended the "
    "subscription.",
    SubscriptionStatus.TRIALING: "On a trial: nothing is charged before it ends. A billing date moved manually also counts "
    "as a trial.",
    SubscriptionStatus.ACTIVE: "Paid, or about to be: Stripe charges a renewal an hour after the new period starts. A bank "
    "debit is processing for days meanwhile.",
    SubscriptionStatus.PAST_DUE: "A renewal payment failed, and Stripe retries it. Or an invoice sent by email is overdue.",
    SubscriptionStatus.UNPAID: "All retries failed, and the Stripe account is set to keep such subscriptions without "
    "collecting.",
    SubscriptionStatus.PAUSED: "The subscription itself is paused: no invoices and no new periods until it is resumed. An "
    "account can also be set to pause a subscription on its first or last failed payment; paying the open invoice resumes "
    "it.",
    SubscriptionStatus.CANCELED: "The subscription has ended. This is final.",
}

Row = Mapping[Circumstance, Cell | ImpossibleState]
_C = Circumstance


def _row(given: Row, *, others: Cell | ImpossibleState) -> Row:
    """Return a row of the table. ``others`` is the cell of the circumstances that are not given."""
    if isinstance(others, Cell):
        given = dict.fromkeys((_C.PAUSED_UNPAID, _C.PAUSED_CREDITED), cells.NOT_PAUSED) | dict(given)
    return {circumstance: given.get(circumstance, others) for circumstance in Circumstance}


TABLE: Mapping[SubscriptionStatus, Row] = {
    SubscriptionStatus.INCOMPLETE: _row(
        {
            _C.ENDED_HERE: cells.CLOSING,
            _C.FIRST_PROCESSING: cells.FIRST_PROCESSING,
            _C.NEVER_PAID: Cell(
                access=AccessRule.NOTHING,
                code="payment_incomplete",
                reader="Your payment is incomplete. Your bank may require you to confirm it. It expires after 23 hours.",
                staff="The first invoice is open: the payment was declined or requires 3-D Secure. It expires after 23 "
                "hours.",
                action=ReaderAction.CONFIRM_PAYMENT,
                payable=True,
                source=LIFECYCLE,
            ),
        },
        others=cells.FIRST_IS_OPEN,
    ),
    SubscriptionStatus.INCOMPLETE_EXPIRED: _row(
        {_C.ENDED_HERE: cells.NEVER, _C.NEVER_PAID: cells.NEVER}, others=cells.EXPIRED
    ),
    SubscriptionStatus.TRIALING: _row(
        {
            _C.ENDED_HERE: cells.CLOSING,
            _C.REFUNDED: cells.REFUNDED_EARLIER,
            _C.FIRST_PROCESSING: cells.FIRST_PROCESSING,
            _C.NEVER_PAID: cells.TRIAL,
            _C.PROCESSING: cells.PROCESSING,
            _C.NOT_COLLECTED: cells.COLLECTION_PAUSED,
            _C.ENDS: cells.ENDS,
        },
        others=cells.MOVED,
    ),
    SubscriptionStatus.ACTIVE: _row(
        {
            _C.ENDED_HERE: cells.CLOSING,
            _C.REFUNDED: cells.REFUNDED_EARLIER,
            _C.FIRST_PROCESSING: cells.FIRST_PROCESSING,
            _C.NEVER_PAID: Cell(
                access=AccessRule.ALLOWANCE,
                code="payment_incomplete",
                reader="We haven't received your first payment yet.",
                staff="Active at Stripe, but no term is paid. If its trial has just ended, the renewal allowance applies. "
                "If it is billed by email or its collection is paused, it gives no access.",
                payable=True,
                source=LIFECYCLE,
                after=cells.NEVER_CHARGED,
            ),
            _C.PROCESSING: cells.PROCESSING,
            _C.NOT_COLLECTED: cells.COLLECTION_PAUSED,
            _C.ENDS: cells.ENDS,
            _C.CONFIRM: cells.CONFIRM,
            _C.FAILED: cells.PAST_DUE,
            _C.SENT: cells.SENT,
            _C.HELD: cells.HELD,
        },
        others=cells.RENEWS,
    ),
    SubscriptionStatus.PAST_DUE: _row(
        {
            _C.ENDED_HERE: cells.CLOSING,
            _C.REFUNDED: cells.REFUNDED_EARLIER,
            _C.FIRST_PROCESSING: cells.FIRST_PROCESSING,
            _C.NEVER_PAID: Cell(
                access=AccessRule.NOTHING,
                code="payment_failed",
                reader="We couldn't charge your first payment. Please update your card.",
                staff="The first payment failed, for example after a trial. Only a paid term is followed by a grace period.",
                action=ReaderAction.UPDATE_PAYMENT_METHOD,
                payable=True,
                source=DUNNING,
            ),
            _C.PROCESSING: cells.PROCESSING,
            _C.CONFIRM: cells.CONFIRM,
            _C.SENT: cells.OVERDUE,
        },
        others=cells.PAST_DUE,
    ),
    SubscriptionStatus.UNPAID: _row(
        {
            _C.ENDED_HERE: cells.CLOSING,
            _C.REFUNDED: cells.REFUNDED_EARLIER,
            _C.FIRST_PROCESSING: cells.FIRST_PROCESSING,
            _C.NEVER_PAID: Cell(
                access=AccessRule.NOTHING,
                code="unpaid",
                reader="We couldn't charge your payment. Please update your card.",
                staff="Never paid, and no longer retried.",
                action=ReaderAction.UPDATE_PAYMENT_METHOD,
                payable=True,
                source=LIFECYCLE,
            ),
            _C.PROCESSING: cells.PROCESSING,
            _C.SENT: cells.OVERDUE,
        },
        others=cells.UNPAID,
    ),
    SubscriptionStatus.PAUSED: _row(
        {
            _C.ENDED_HERE: cells.CLOSING,
            _C.REFUNDED: cells.REFUNDED_EARLIER,
            _C.FIRST_PROCESSING: cells.FIRST_PROCESSING,
            _C.NEVER_PAID: Cell(
                access=AccessRule.NOTHING,
                code="paused",
                reader="Your trial has ended, and we have no card to charge. Add a card to continue.",
                staff="Paused at the end of a trial, because there is no card.",
                action=ReaderAction.UPDATE_PAYMENT_METHOD,
                payable=True,
                source=TRIALS,
            ),
            _C.PROCESSING: cells.PROCESSING,
            _C.PAUSED_UNPAID: cells.PAUSED_UNPAID,
            _C.PAUSED_CREDITED: cells.PAUSED_CREDITED,
        },
        others=cells.PAUSED,
    ),
    SubscriptionStatus.CANCELED: _row(
        {
            _C.ENDED_HERE: cells.ENDED,
            _C.REFUNDED: Cell(
                access=AccessRule.CUT,
                code="refunded",
                reader="Your subscription was refunded and has ended.",
                staff="Ended, and the newest term was refunded. It is never granted again.",
                source=cells.REFUNDS,
            ),
            _C.NEVER_PAID: cells.NEVER,
            _C.NOT_COLLECTED: cells.ENDED,
            _C.ENDS: cells.OVER,
            _C.PAID: cells.ENDED,
        },
        others=cells.AWAITS_NOTHING,
    ),
}


def notice_codes() -> frozenset[str]:
    """Return the codes of the cells that have a notice for the reader."""
    found = {cell for row in TABLE.values() for cell in row.values() if isinstance(cell, Cell)}
    found |= {cell.after for cell in found if cell.after is not None}
    return frozenset(cell.code for cell in found if cell.reader)


_BY_OUTCOME: Mapping[RenewalOutcome, Circumstance] = {
    RenewalOutcome.ACTION_REQUIRED: Circumstance.CONFIRM,
    RenewalOutcome.FAILED: Circumstance.FAILED,
    RenewalOutcome.SENT: Circumstance.SENT,
    RenewalOutcome.HELD: Circumstance.HELD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """The cell of a subscription."""

    status: str
    circumstance: Circumstance
    cell: Cell | ImpossibleState

    @property
    def anomaly(self) -> tuple[str, str] | None:
        """The code and the reason of an impossible state, which staff must check; None if the state is possible."""
        if isinstance(self.cell, Cell):
            return None
        return self.cell.code, f"{self.status}, {self.circumstance.value}: {self.cell.why}"


def circumstance_of(subscription: Subscription, terms: Sequence[Term]) -> Circumstance:
    """Return the first circumstance that applies, in the order of :class:`Circumstance`."""
    newest = max(terms, key=lambda term: (term.ends_at, term.invoice_id), default=None)
    outcome = subscription.renewal.outcome if subscription.renewal and subscription.status not in OVER else None
    if subscription.access_ended_at is not None:
        return Circumstance.ENDED_HERE
    paused = _pause_of(subscription)
    if newest is None:
        if outcome == RenewalOutcome.PROCESSING:
            return Circumstance.FIRST_PROCESSING
        return paused if paused is Circumstance.PAUSED_UNPAID else Circumstance.NEVER_PAID
    if newest.is_refunded:
        return Circumstance.REFUNDED
    if outcome == RenewalOutcome.PROCESSING:
        return Circumstance.PROCESSING
    if paused is not None:
        return paused
    if subscription.collection_paused is not None:
        return Circumstance.NOT_COLLECTED
    if subscription.cancel_at is not None and subscription.cancel_at <= newest.ends_at:
        return Circumstance.ENDS
    return _BY_OUTCOME.get(outcome, Circumstance.PAID) if outcome is not None else Circumstance.PAID


def _pause_of(subscription: Subscription) -> Circumstance | None:
    """Return the circumstance of a pause that is not an ordinary one."""
    pause = subscription.pause
    if subscription.status != SubscriptionStatus.PAUSED or pause is None:
        return None
    if pause.reason in PAYMENT_FAILURES:
        return Circumstance.PAUSED_UNPAID
    return Circumstance.PAUSED_CREDITED if pause.credited else None


def classify(subscription: Subscription, terms: Sequence[Term]) -> Classification:
    """
    Return the cell of a subscription.

    A status that this release doesn't know, or one that can't follow the previous status, counts as an impossible state.
    """
    circumstance = circumstance_of(subscription, terms)
    before, status = subscription.came_from, subscription.status
    if before is not None and (why := unreachable_reason(before, status)) is not None:
        cell: Cell | ImpossibleState = ImpossibleState(f"it was {before} before, and {why}", "impossible_move")
    elif status in OVER and subscription.ended_at is None and subscription.access_ended_at is None:
        cell = ImpossibleState("Stripe says that it has ended, but not when")
    elif status not in TABLE:
        cell = ImpossibleState("this release doesn't know the status", "unknown_state")
    else:
        cell = TABLE[SubscriptionStatus(status)][circumstance]
    return Classification(status=status, circumstance=circumstance, cell=cell)
