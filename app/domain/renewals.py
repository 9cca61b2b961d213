"""
Renewals: the invoice for the next term while it is not paid, and what has become of it.

Stripe creates the invoice when the period ends, as a draft; finalizes and charges it an hour later; and retries a failed
payment for weeks. A bank debit is processing for days, and an invoice sent by email has a due date. An invoice can also be
held back: nothing happens to it until somebody acts. See docs.stripe.com/billing/subscriptions/overview.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.invoices import InvoiceStatus

# Bank debits take up to 14 business days (Bacs, with a new mandate). One that takes longer is shown to staff.
LONGEST_PROCESSING = timedelta(days=21)


class CollectionMethod(StrEnum):
    """Stripe's two ways to collect an invoice."""

    CHARGE_AUTOMATICALLY = "charge_automatically"
    SEND_INVOICE = "send_invoice"


class PaymentStatus(StrEnum):
    """The statuses of Stripe's payment intents that matter here."""

    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    REQUIRES_PAYMENT_METHOD = "requires_payment_method"


class PauseReason(StrEnum):
    """Why a subscription is paused (``status_details.paused.subscription.type``)."""

    FINAL_PAYMENT_FAILURE = "final_payment_failure"
    FIRST_PAYMENT_FAILURE = "first_payment_failure"
    PAUSE_REQUESTED = "pause_requested"
    SYSTEM = "system"
    TRIAL_END_WITHOUT_PAYMENT_METHOD = "trial_end_without_payment_method"


PAYMENT_FAILURES = frozenset({PauseReason.FINAL_PAYMENT_FAILURE, PauseReason.FIRST_PAYMENT_FAILURE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Why and since when a subscription is paused, and whether Stripe credited the unused time."""

    reason: str
    since: datetime
    credited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingPayment:
    """A payment of an open invoice that has not succeeded yet."""

    status: str  # of the payment intent
    started_at: datetime | None  # when it was last attempted


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """How an invoice is collected, and how far Stripe has come."""

    method: str = CollectionMethod.CHARGE_AUTOMATICALLY
    due_at: datetime | None = None  # of an invoice that was sent by mail
    auto_advance: bool = True  # whether Stripe finalizes and collects it by itself
    attempted: bool = False
    finalization_error: str | None = None  # Stripe's code
    pending_payments: tuple[PendingPayment, ...] = ()


class RenewalOutcome(StrEnum):
    """What has become of a renewal invoice."""

    PENDING = "pending"  # Stripe is about to finalize or charge it
    PROCESSING = "processing"  # a payment is on its way
    SENT = "sent"  # by email, to be paid by its due date
    ACTION_REQUIRED = "action_required"  # the bank asks the reader to confirm the payment
    FAILED = "failed"  # Stripe retries the payment
    HELD = "held"  # nothing happens until somebody acts


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The newest invoice for a whole period that is not paid."""

    invoice_id: str
    status: str
    starts_at: datetime  # of the period that it bills
    collection_method: str = CollectionMethod.CHARGE_AUTOMATICALLY
    due_at: datetime | None = None  # of an invoice that was sent by mail
    auto_advance: bool = True  # whether Stripe finalizes and collects it by itself
    attempted: bool = False
    finalization_error: str | None = None  # Stripe's code
    payment: str | None = None  # the status of its payment intent
    payment_at: datetime | None = None  # when the payment was started

    @classmethod
    def of(cls, invoice_id: str, status: str, starts_at: datetime, collection: Collection) -> "Renewal":
        """Return the renewal of an invoice. Of several pending payments, a processing one counts."""
        payment = max(collection.pending_payments, key=lambda one: one.status == PaymentStatus.PROCESSING, default=None)
        return cls(
            invoice_id=invoice_id,
            status=status,
            starts_at=starts_at,
            collection_method=collection.method,
            due_at=collection.due_at,
            auto_advance=collection.auto_advance,
            attempted=collection.attempted,
            finalization_error=collection.finalization_error,
            payment=payment.status if payment else None,
            payment_at=payment.started_at if payment else None,
        )

    @property
    def outcome(self) -> RenewalOutcome:
        """What has become of the invoice."""
        is_open = self.status == InvoiceStatus.OPEN
        if (
            self.status in {InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE}
            and self.payment == PaymentStatus.PROCESSING
        ):
            return RenewalOutcome.PROCESSING
        if self.status == InvoiceStatus.DRAFT:
            held = self.finalization_error is not None or not self.auto_advance
            return RenewalOutcome.HELD if held else RenewalOutcome.PENDING
        if not is_open:
            return RenewalOutcome.HELD
        if self.collection_method == CollectionMethod.SEND_INVOICE and self.due_at is not None:
            return RenewalOutcome.SENT
        if self.payment == PaymentStatus.REQUIRES_ACTION:
            return RenewalOutcome.ACTION_REQUIRED
        if self.attempted:
            return RenewalOutcome.FAILED
        return RenewalOutcome.PENDING if self.auto_advance else RenewalOutcome.HELD

    @property
    def description(self) -> str:
        """What Stripe says about the invoice, for staff."""
        match self.status:
            case InvoiceStatus.DRAFT if self.finalization_error is not None:
                return f"its invoice {self.invoice_id} could not be finalized ({self.finalization_error})"
            case InvoiceStatus.DRAFT if not self.auto_advance:
                return f"its invoice {self.invoice_id} is kept as a draft"
            case InvoiceStatus.OPEN if not self.auto_advance:
                return f"its invoice {self.invoice_id} is open, and Stripe does not collect it"
            case InvoiceStatus.VOID:
                return f"its invoice {self.invoice_id} was voided"
            case InvoiceStatus.UNCOLLECTIBLE:
                return f"its invoice {self.invoice_id} was marked as uncollectible"
            case _:
                return f"its invoice {self.invoice_id} is still {self.status}"


_RANKS = (InvoiceStatus.VOID, InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.DRAFT, InvoiceStatus.OPEN)


def precedence(renewal: Renewal) -> tuple[bool, datetime, int, str]:
    """Return the sort key of the renewals of a subscription. The last one counts: a processing one, else the newest."""
    rank = next((index for index, status in enumerate(_RANKS) if status == renewal.status), -1)
    return renewal.outcome == RenewalOutcome.PROCESSING, renewal.starts_at, rank, renewal.invoice_id
