"""
The cells of the status table: what each combination of a status and a circumstance means.

:mod:`app.domain.status_table` says which cell applies. ``docs/concepts/subscription-states.md`` is generated from the cells
(``make reference``).
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

from app.domain.transitions import CANCEL, DOCS, PAUSE, TRIALS
from app.domain.transitions import RETRIES as DUNNING
from app.domain.transitions import STATUSES as LIFECYCLE


class AccessRule(Enum):
    """The access that a cell gives, in addition to a trial's."""

    NOTHING = "none"
    TERM = "until the end of the paid term"
    ALLOWANCE = "paid term plus renewal allowance"
    GRACE = "paid term plus grace period"
    DUE = "until the invoice is due, plus grace period"
    OUTCOME = "until the payment succeeds or fails"
    PAUSE = "until the pause"
    CUT = "until the subscription ended"


class Circumstance(Enum):
    """What else is true of a subscription. The first that applies counts, in this order."""

    ENDED_HERE = "ended by Newsstand"
    FIRST_PROCESSING = "first payment processing"
    NEVER_PAID = "no paid term"
    REFUNDED = "newest term refunded"
    PROCESSING = "renewal payment processing"
    PAUSED_UNPAID = "paused after a failed payment"
    PAUSED_CREDITED = "paused, unused time credited"
    NOT_COLLECTED = "collection paused"
    ENDS = "ends with the paid term"
    CONFIRM = "renewal payment to be confirmed"
    FAILED = "renewal payment failed"
    SENT = "renewal invoice sent by email"
    HELD = "renewal held back"
    PAID = "paid"


class ReaderAction(StrEnum):
    """What a reader can do about a notice. Values are part of the API."""

    UPDATE_PAYMENT_METHOD = "update_payment_method"
    CONFIRM_PAYMENT = "confirm_payment"
    PAY_INVOICE = "pay_invoice"
    RESUME = "resume"
    SUBSCRIBE = "subscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What applies in one cell."""

    access: AccessRule
    code: str  # stable, for programs
    reader: str = ""  # the notice for the reader; empty: none
    staff: str  # the description for staff
    summary: str = ""  # the same in a few words, for the summary of a reader; empty: nothing unusual
    action: ReaderAction | None = None
    payable: bool = False  # whether the reader can pay or confirm the open invoice
    held: bool = False  # whether Stripe does nothing until somebody acts, which staff must check
    source: str
    after: "Cell | None" = None  # what applies once the access has ended; None: the same


@dataclass(frozen=True, slots=True)
class ImpossibleState:
    """An impossible cell, and why. If it occurs anyway, paid terms keep their access and nothing beyond them is granted."""

    why: str
    code: str = "impossible_state"
    access = AccessRule.TERM


COLLECTION = f"{DOCS}/billing/subscriptions/pause-payment"
DEBITS = f"{DOCS}/payments/sepa-debit"
BY_MAIL = f"{DOCS}/billing/collection-method"
FINALIZATION = f"{DOCS}/invoicing/integration/workflow-transitions"
# Newsstand's own rules (rules.md), by subject.
PAYERS, REFUNDS, CANCELLING = "paying readers keep access", "a refunded term is over", "cancel anytime"
ACCESS_ENDED, RENEWAL_HELD = "access_ended", "renewal_held"

FIRST_IS_OPEN = ImpossibleState("nothing can be paid while the first invoice is open")
EXPIRED = ImpossibleState("a subscription that was never paid has no paid term")
OVER = ImpossibleState("an ended subscription is not scheduled to end")
AWAITS_NOTHING = ImpossibleState("an ended subscription awaits no payment and is not paused")
NOT_PAUSED = ImpossibleState("only a paused subscription has a reason for its pause")
CLOSING = Cell(
    access=AccessRule.CUT,
    code="ended",
    reader="Your subscription has ended.",
    staff="Ended by Newsstand. Canceling it at Stripe: its open invoices are voided and its pending items deleted.",
    source=f"{CANCELLING}; {CANCEL}",
)
ENDED = Cell(
    access=AccessRule.CUT,
    code="ended",
    reader="Your subscription has ended.",
    staff="Canceled at Stripe. Open invoices are voided, pending items are deleted, and later payments are refunded.",
    source=f"{CANCEL}; {CANCELLING}; {REFUNDS}",
)
NEVER = Cell(
    access=AccessRule.NOTHING,
    code="never_paid",
    reader="We didn't receive your payment, so your subscription didn't start.",
    staff="Ended without ever being paid.",
    source=LIFECYCLE,
)
FIRST_PROCESSING = Cell(
    access=AccessRule.OUTCOME,
    code="payment_processing",
    reader="Your payment is processing. Your bank may need several business days.",
    staff="The first payment is processing, for example a bank debit. Access starts when it succeeds; after a trial, it "
    "continues meanwhile.",
    summary="the first payment is processing",
    source=DEBITS,
)
PROCESSING = Cell(
    access=AccessRule.OUTCOME,
    code="payment_processing",
    reader="Your renewal payment is processing. Your bank may need several business days. You keep access meanwhile.",
    staff="The renewal payment is processing, for example a bank debit. Access continues until it succeeds or fails. After "
    "21 days, it is reported.",
    summary="the renewal payment is processing",
    source=f"{DEBITS}; {PAYERS}",
)
NEVER_CHARGED = Cell(
    access=AccessRule.ALLOWANCE,
    code=ACCESS_ENDED,
    reader="Your access has ended, because your renewal was not charged. Subscribe again to continue reading.",
    staff="The renewal was not charged, and the renewal allowance is over. If the reader subscribes again, this "
    "subscription is ended first.",
    summary="the renewal was not charged",
    action=ReaderAction.SUBSCRIBE,
    payable=True,
    held=True,
    source=PAYERS,
)
PAST_GRACE = Cell(
    access=AccessRule.GRACE,
    code=ACCESS_ENDED,
    reader="Your access has ended, because we couldn't charge your renewal. Pay the open invoice, or subscribe again.",
    staff="The renewal payment failed, and the grace period is over. The open invoice can still be paid. If the reader "
    "subscribes again, this subscription is ended first.",
    summary="the renewal payment failed",
    action=ReaderAction.SUBSCRIBE,
    payable=True,
    source=f"{DUNNING}; {PAYERS}",
)
REFUNDED_EARLIER = Cell(
    access=AccessRule.TERM,
    code="refunded",
    reader="Your last payment was refunded, so you have no access until your subscription renews.",
    staff="The newest term was refunded before Newsstand followed the subscription, which continues at Stripe and renews "
    "unless you cancel it.",
    summary="the newest term was refunded",
    source=REFUNDS,
)
PAST_DUE = Cell(
    access=AccessRule.GRACE,
    code="payment_failed",
    reader="We couldn't charge your renewal. You keep access while we try again. Please update your card.",
    staff="The renewal payment failed. Stripe retries it, and the grace period starts at the end of the paid term.",
    summary="the renewal payment failed",
    action=ReaderAction.UPDATE_PAYMENT_METHOD,
    payable=True,
    source=f"{DUNNING}; {PAYERS}",
    after=PAST_GRACE,
)
CONFIRM = Cell(
    access=AccessRule.GRACE,
    code="payment_failed",
    reader="Your bank asks you to confirm your renewal payment. You keep access meanwhile.",
    staff="The reader's bank requires 3-D Secure for the renewal payment. The grace period starts at the end of the paid "
    "term.",
    summary="the bank requires 3-D Secure for the renewal payment",
    action=ReaderAction.CONFIRM_PAYMENT,
    payable=True,
    source=f"{DUNNING}; {PAYERS}",
    after=PAST_GRACE,
)
PAST_DUE_DATE = Cell(
    access=AccessRule.DUE,
    code=ACCESS_ENDED,
    reader="Your access has ended, because your renewal invoice is overdue. Pay the invoice, or subscribe again.",
    staff="The renewal invoice, sent by email, is overdue, and the grace period is over. It can still be paid. If the "
    "reader subscribes again, this subscription is ended first.",
    summary="the renewal invoice is overdue",
    action=ReaderAction.SUBSCRIBE,
    payable=True,
    source=f"{BY_MAIL}; {PAYERS}",
)
SENT = Cell(
    access=AccessRule.DUE,
    code="invoice_open",
    reader="We sent you the invoice for your renewal. Please pay it to keep your access.",
    staff="The renewal invoice was sent by mail and is not paid. The grace period starts at its due date.",
    summary="the renewal invoice is not paid",
    action=ReaderAction.PAY_INVOICE,
    payable=True,
    source=f"{BY_MAIL}; {PAYERS}",
    after=PAST_DUE_DATE,
)
OVERDUE = Cell(
    access=AccessRule.DUE,
    code="payment_failed",
    reader="Your renewal invoice is overdue. Please pay it to keep your access.",
    staff="The renewal invoice, sent by email, is overdue. The grace period starts at its due date.",
    summary="the renewal invoice is overdue",
    action=ReaderAction.PAY_INVOICE,
    payable=True,
    source=f"{BY_MAIL}; {PAYERS}",
    after=PAST_DUE_DATE,
)
HELD = Cell(
    access=AccessRule.ALLOWANCE,
    code=RENEWAL_HELD,
    reader="We couldn't charge your renewal yet. You don't need to do anything.",
    staff="Stripe holds the renewal back: its invoice is kept as a draft, could not be finalized, is not collected, or was "
    "voided or marked as uncollectible. Access ends with the renewal allowance unless somebody acts.",
    summary="Stripe holds the renewal back",
    held=True,
    source=f"{FINALIZATION}; {PAYERS}",
    after=NEVER_CHARGED,
)
UNPAID = Cell(
    access=AccessRule.TERM,
    code="unpaid",
    reader="We couldn't charge your renewal, and we've stopped trying. Please update your card.",
    staff="All retries failed. Nothing is collected until the open invoice is paid.",
    summary="a payment failed, and Stripe no longer retries it",
    action=ReaderAction.UPDATE_PAYMENT_METHOD,
    payable=True,
    source=LIFECYCLE,
    after=Cell(
        access=AccessRule.TERM,
        code="unpaid",
        reader="Your access has ended, because we couldn't charge your renewal. Pay the open invoice, or subscribe again.",
        staff="All retries failed, and access has ended. Nothing is collected until the open invoice is paid. If the reader "
        "subscribes again, this subscription is ended first.",
        summary="a payment failed, and Stripe no longer retries it",
        action=ReaderAction.SUBSCRIBE,
        payable=True,
        source=LIFECYCLE,
    ),
)
PAUSE_OVER = Cell(
    access=AccessRule.TERM,
    code="paused",
    reader="Your subscription is paused, and your access has ended. Subscribe again to continue reading.",
    staff="The subscription itself is paused, and access has ended. Only Stripe's Dashboard can resume it, which starts and "
    "charges a new period. If the reader subscribes again, this subscription is ended first.",
    summary="paused",
    action=ReaderAction.SUBSCRIBE,
    source=PAUSE,
)
PAUSED = Cell(
    access=AccessRule.TERM,
    code="paused",
    reader="Your subscription is paused. You keep access until the end of the period you paid for. To resume it, contact "
    "us.",
    staff="The subscription itself is paused, and no unused time was credited: access continues until the end of the paid "
    "term. Only Stripe's Dashboard can resume it, which starts and charges a new period.",
    summary="paused",
    source=PAUSE,
    after=PAUSE_OVER,
)
PAUSED_CREDITED = Cell(
    access=AccessRule.PAUSE,
    code="paused",
    reader="Your subscription is paused, and your unused time was credited. You have no access until it is resumed. To "
    "resume it, contact us.",
    staff="The subscription itself is paused, and Stripe credited the unused time, so access ended with the pause. Only "
    "Stripe's Dashboard can resume it, which starts and charges a new period, less the credit.",
    summary="paused, with credit for the unused time",
    source=PAUSE,
)
PAUSED_UNPAID = Cell(
    access=AccessRule.GRACE,
    code="payment_failed",
    reader="We couldn't charge your payment, so your subscription is paused. Please pay the open invoice to keep your "
    "access.",
    staff="A payment failed, and the Stripe account is set to pause the subscription then. Paying the open invoice resumes "
    "it. The grace period starts at the end of the paid term.",
    summary="paused after a failed payment",
    action=ReaderAction.UPDATE_PAYMENT_METHOD,
    payable=True,
    source=f"{PAUSE}; {PAYERS}",
    after=Cell(
        access=AccessRule.GRACE,
        code=ACCESS_ENDED,
        reader="Your access has ended, because we couldn't charge your renewal. Pay the open invoice, or subscribe again.",
        staff="Paused after a failed payment, and the grace period is over. Paying the open invoice resumes it. If the "
        "reader subscribes again, this subscription is ended first.",
        summary="paused after a failed payment",
        action=ReaderAction.SUBSCRIBE,
        payable=True,
        source=f"{PAUSE}; {PAYERS}",
    ),
)
COLLECTION_PAUSED = Cell(
    access=AccessRule.TERM,
    code="collection_paused",
    reader="Payments for your subscription are paused. You keep access until the end of the period you paid for.",
    staff="Payment collection is paused: new periods start, but their invoices are not collected and open no term.",
    summary="payment collection is paused",
    source=COLLECTION,
    after=Cell(
        access=AccessRule.TERM,
        code="collection_paused",
        reader="Payments for your subscription are paused, and your access has ended.",
        staff="Payment collection is paused, and access ended with the paid term. If the reader subscribes again, this "
        "subscription is ended first.",
        summary="payment collection is paused",
        action=ReaderAction.SUBSCRIBE,
        source=COLLECTION,
    ),
)
ENDS = Cell(
    access=AccessRule.TERM,
    code="ends",
    reader="Your subscription is scheduled to end. You can resume it until then.",
    staff="Scheduled to end. If it ends within a period, nothing is refunded automatically.",
    action=ReaderAction.RESUME,
    source=f"{CANCEL}; {CANCELLING}",
    after=Cell(
        access=AccessRule.TERM,
        code="ended",
        reader="Your subscription has ended.",
        staff="Its scheduled end has passed. Stripe has not reported the cancellation yet.",
        summary="its scheduled end has passed",
        action=ReaderAction.SUBSCRIBE,
        source=f"{CANCEL}; {CANCELLING}",
    ),
)
TRIAL = Cell(
    access=AccessRule.ALLOWANCE,
    code="trial",
    reader="You're on a trial. Your first payment is due when it ends.",
    staff="On a trial: digital access until it ends, and no issues owed. Nothing is paid yet.",
    source=TRIALS,
    after=NEVER_CHARGED,
)
MOVED = Cell(
    access=AccessRule.ALLOWANCE,
    code="billing_moved",
    staff="Paid before. A trial moved the next billing date, and digital access continues until then.",
    source=TRIALS,
    after=NEVER_CHARGED,
)
RENEWS = Cell(
    access=AccessRule.ALLOWANCE,
    code="active",
    staff="Renews at the end of its period. Stripe charges an hour later, and its events may arrive days later.",
    source=f"{LIFECYCLE}; {PAYERS}",
    after=NEVER_CHARGED,
)
