"""
Changes of the print edition within a term: added or dropped, and why that is refused. Amounts are in minor units.

:mod:`app.domain.print_quotes` computes what a change costs or returns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.addresses import PostalAddress
from app.domain.errors import Conflict

MOST_DROPS = 20  # how many Stripe's metadata says: a value has at most 500 characters
PAYABLE_FOR = timedelta(hours=1)  # the time to confirm a payment; then its invoice is voided


class PrintChangeKind(StrEnum):
    """What a change does."""

    ADD = "add"
    DROP = "drop"


class PrintChangeStatus(StrEnum):
    """The status of a change. ``awaiting_payment``: the reader must confirm the payment at their bank."""

    PROCESSING = "processing"
    AWAITING_PAYMENT = "awaiting_payment"
    COMPLETED = "completed"
    FAILED = "failed"


UNDECIDED = frozenset({PrintChangeStatus.PROCESSING, PrintChangeStatus.AWAITING_PAYMENT})


class PrintChangeRefused(Conflict):
    """The print edition can't be changed now."""

    code = "print_change_refused"
    title = "Print edition can't be changed"


class NoPrintEdition(PrintChangeRefused):
    """The plan has no print edition."""

    code = "no_print_edition"
    title = "Plan has no print edition"


class PrintUnchanged(PrintChangeRefused):
    """The subscription already is as requested."""

    code = "print_edition_unchanged"
    title = "Print edition is unchanged"


class NoPaidTerm(PrintChangeRefused):
    """The print edition can only be changed while the subscription is active and its current term is paid."""

    code = "no_paid_term"
    title = "No paid term"


class PrintAddressRequired(PrintChangeRefused):
    """The print edition needs a postal address. Send one with the request."""

    code = "print_address_required"
    title = "Postal address required"


class PrintChangeInProgress(PrintChangeRefused):
    """Another change of the print edition is in progress."""

    code = "print_change_in_progress"
    title = "Change of the print edition in progress"


SUBSCRIPTION_ENDED, PAYMENT_EXPIRED = "subscription_ended", "payment_expired"
_WHY_FAILED = {
    SUBSCRIPTION_ENDED: "The subscription ended first, so print was not added. If the payment succeeded, it is refunded.",
    PAYMENT_EXPIRED: "The payment was not confirmed in time, so nothing was changed. Try again.",
}


class PrintPaymentFailed(PrintChangeRefused):
    """The payment failed, so nothing was changed. Update your card and try again."""

    code = "print_payment_failed"
    title = "Payment failed"

    def __init__(self, *, reason: str | None) -> None:
        super().__init__(_WHY_FAILED.get(reason or "", ""), stripe_code=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintChange:
    """A requested change of the print edition. Amounts in minor units."""

    id: str  # pch_…
    subscription_id: str
    subscriber_id: str
    kind: PrintChangeKind
    status: PrintChangeStatus
    issues: int  # how many it is about
    first_issue: int | None  # the number of the first of them; None: it is not on the calendar yet
    price: int  # of an addition, before tax
    total: int  # with tax; of a removal, what is refunded
    tax: int
    due: int  # what is charged: the total without what the customer's balance pays
    currency: str
    price_id: str | None  # Stripe's price, for the renewals
    starts_at: datetime  # from when on print is added or dropped
    ends_at: datetime  # the end of the term
    requested_by: str
    created_at: datetime  # policy time
    invoice_id: str | None = None
    pay_url: str | None = None  # Stripe's page on which the payment is confirmed
    failure_reason: str | None = None
    to_balance: Mapping[str, int] = field(
        default_factory=dict
    )  # of a removal, by invoice: what is noted as returned then
    dropped_at: tuple[datetime, ...] = ()  # when print ends because of it, as Stripe is told
    address: PostalAddress | None = None  # of an addition that is in progress: where the copies will go

    @property
    def is_undecided(self) -> bool:
        """Whether it is still in progress."""
        return self.status in UNDECIDED
