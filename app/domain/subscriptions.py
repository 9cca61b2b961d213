"""
What Stripe says of a subscription, and what follows from it.

Stripe is the authority on money and on the state of a subscription; nothing here guesses it. The dataclasses are what
``gateway.translate`` makes of Stripe's words; the functions decide what they mean for a reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.disputes import SPARES_OTHER_TERMS
from app.domain.errors import Conflict, NotFound
from app.domain.plans import DIGITAL, PRINT, Catalogue


class SubscriptionStatus(StrEnum):
    """Stripe's status of a subscription."""

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


LIVE = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING, SubscriptionStatus.PAST_DUE})
OVER = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED})
# The invoices that open a term (rules.md): what is paid for print later belongs to the running one.
TERM_OPENING_REASONS = frozenset({"subscription_create", "subscription_cycle"})
CHANGED = "subscription_update"


class NoSubscription(NotFound):
    """The reader has no subscription."""

    code = "no_subscription"
    title = "No subscription"


class AlreadySubscribed(Conflict):
    """The reader already has a subscription."""

    code = "already_subscribed"
    title = "Already subscribed"


class AlreadyEnded(Conflict):
    """The subscription has already ended."""

    code = "already_ended"
    title = "Subscription already ended"


class ForeignStripeObject(Conflict):
    """The Stripe object belongs to another product of the account, or to an unknown customer."""

    code = "not_ours"
    title = "The Stripe object does not belong to this service"


class UnknownCustomer(ForeignStripeObject):
    """The Stripe object is for one of our plans, but its customer is not a subscriber."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeItemState:
    """One line of a subscription. Amounts in minor units, for one term."""

    id: str
    plan: str | None  # None: not one of ours
    component: str | None
    unit_amount: int
    quantity: int = 1
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeInvoicePayment:
    """Money that arrived on an invoice."""

    id: str  # pi_…
    amount: int
    paid_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeInvoiceState:
    """An invoice with what was paid on it. The period is that of its digital line."""

    id: str
    status: str
    billing_reason: str
    total: int
    tax: int
    currency: str
    components: frozenset[str]
    plan: str | None
    period_start: datetime
    period_end: datetime
    payments: tuple[StripeInvoicePayment, ...]
    trial: bool = False
    number: str | None = None  # as readers see it
    new_period: bool = False  # it bills a whole period of the digital edition, and no change in the midst of one
    pay_url: str | None = (
        None  # Stripe's page of it, where it can be paid with any card, and confirmed where a bank asks
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeSubscriptionState:
    """A subscription as Stripe holds it now, with its invoices."""

    id: str
    customer_id: str
    status: str
    currency: str
    created_at: datetime
    items: tuple[StripeItemState, ...]
    cancel_at: datetime | None  # one answer for Stripe's three forms of a scheduled end
    ends_by_flag: bool = False  # which form: cancel_at_period_end, else cancel_at
    canceled_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    invoices: tuple[StripeInvoiceState, ...]
    trial_end: datetime | None = None
    collection_paused: str | None = None  # what becomes of its invoices while their collection is paused
    subscriber_id: str | None = None  # ours, from its metadata
    known_as: str | None = None  # the plan that we know it by, for when its items no longer tell

    @property
    def pay_url(self) -> str | None:
        """Where its reader pays what is open, the newest first; None: nothing is."""
        owed = [invoice for invoice in self.invoices if invoice.status == "open" and invoice.pay_url is not None]
        return max(owed, key=lambda invoice: (invoice.period_start, invoice.id)).pay_url if owed else None

    @property
    def plan(self) -> str:
        """
        The code of the plan it is of; of one that we know, the old one while its items tell none.

        :raises ForeignStripeObject: if none of its items is ours, or two plans are mixed.
        """
        plans = {item.plan for item in self.items if item.plan is not None}
        if len(plans) == 1:
            return plans.pop()
        if self.known_as is not None:
            return self.known_as
        if not plans:
            raise ForeignStripeObject("no item of the subscription is of our catalogue")
        raise ForeignStripeObject(f"the subscription mixes the plans {', '.join(sorted(plans))}")

    @property
    def print_edition(self) -> bool:
        """Whether printed copies are part of it from now on."""
        return any(item.component == PRINT for item in self.items)

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        """The current period: that of the digital item, since Stripe's items may differ."""
        for item in self.items:
            if item.component == DIGITAL:
                return item.period_start, item.period_end
        return None

    @property
    def ends_with_what_is_paid(self) -> bool:
        """Whether it is to end with the current period, or before; a later end would be charged for once more."""
        period = self.period
        return self.cancel_at is not None and (period is None or self.cancel_at <= period[1])

    @property
    def price(self) -> int:
        """What the next term costs, before tax and discounts, in minor units."""
        return sum(item.unit_amount for item in self.items)


class AdjustmentKind(StrEnum):
    """Why a term owes more or fewer issues than were bought."""

    EXTENSION = "extension"
    GRACE_COPIES = "grace_copies"
    CLAIM = "claim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """Issues that a term owes beyond what was bought, or (below zero) fewer of them. ``at``: from when on it counts."""

    kind: str
    issues: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One paid period, owing issues."""

    invoice_id: str
    plan: str
    print_edition: bool
    starts_at: datetime
    ends_at: datetime
    issues_owed: int  # bought with it
    refunded_as: str | None = None
    suspended_as: str | None = None  # why it is not granted for the time being: its payment is disputed
    restored_as: str | None = None  # why it is granted all the same: the refund that ended it came to nothing
    adjustments: tuple[Adjustment, ...] = ()

    @property
    def is_refunded(self) -> bool:
        """Whether it is never granted again."""
        return self.refunded_as is not None and self.restored_as is None

    def is_spared_by(self, subscription: "Subscription") -> bool:
        """
        Tell whether it is served to its own end, though the subscription has ended.

        A lost dispute and a warning of fraud end that for one payment's sake: what began before, paid with another, is
        another matter. So is a term whose refund came to nothing, where the policy restores it.
        """
        if self.restored_as is not None:
            return True
        order = subscription.access_ended_at
        for_one = subscription.ended_by in SPARES_OTHER_TERMS and order is not None and self.starts_at < order
        return for_one and not self.is_refunded


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment of one invoice. Amounts in minor units."""

    id: str
    invoice_id: str
    amount: int
    tax: int
    currency: str
    paid_at: datetime
    billing_reason: str
    invoice_number: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Our copy of a subscription."""

    id: str  # scr_…
    stripe_id: str
    subscriber_id: str
    version: int
    plan: str
    print_edition: bool
    status: str
    price: int
    currency: str
    created_at: datetime
    current_period_start: datetime | None
    current_period_end: datetime | None
    cancel_at: datetime | None
    canceled_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    ended_by: str | None = None
    access_ended_at: datetime | None = None
    trial_end: datetime | None = None
    collection_paused: str | None = None
    closed_at: datetime | None = None  # when all was done at Stripe that its end asks for
    pay_url: str | None = None  # Stripe's page of what is open of it
    came_from: str | None = None  # the state it was in before, if nothing leads from there to this one

    @property
    def is_live(self) -> bool:
        """Whether it runs, as far as Stripe goes and as far as we do."""
        return self.status in LIVE and self.access_ended_at is None

    @property
    def effective_status(self) -> str:
        """Stripe's word for how it stands; what we have ended is told as over before Stripe has cancelled it."""
        return self.status if self.access_ended_at is None else SubscriptionStatus.CANCELED

    @property
    def over_at(self) -> datetime | None:
        """When it ended, by our order or at Stripe; None: it runs."""
        return self.access_ended_at or self.ended_at


def terms_of(seen: StripeSubscriptionState, catalogue: Catalogue) -> list[Term]:
    """
    Return the terms that its paid invoices opened, the earliest first.

    An invoice made free by a promotion is paid too, and opens one; a trial's opens none. So does one for a change that began
    a whole new period: a subscription that was resumed, or whose billing date was moved to now, is paid for anew.
    """
    terms = [
        Term(
            invoice_id=invoice.id,
            plan=invoice.plan,
            print_edition=PRINT in invoice.components,
            starts_at=invoice.period_start,
            ends_at=invoice.period_end,
            issues_owed=catalogue.plan(invoice.plan).issues,
        )
        for invoice in seen.invoices
        if invoice.status == "paid"
        and (
            invoice.billing_reason in TERM_OPENING_REASONS or (invoice.billing_reason == CHANGED and invoice.new_period)
        )
        and not invoice.trial
        and invoice.plan is not None
        and invoice.plan in catalogue.plans
    ]
    return sorted(terms, key=lambda term: (term.starts_at, term.invoice_id))


def payments_of(seen: StripeSubscriptionState) -> list[Payment]:
    """
    Return every payment of its invoices, the earliest first.

    An invoice's tax is shared among its payments by their amounts; the last one gets the remainder.
    """
    found = []
    for invoice in seen.invoices:
        taxes = allocate(invoice.tax, [payment.amount for payment in invoice.payments])
        for payment, tax in zip(invoice.payments, taxes, strict=True):
            found.append(
                Payment(
                    id=payment.id,
                    invoice_id=invoice.id,
                    amount=payment.amount,
                    tax=tax,
                    currency=invoice.currency,
                    paid_at=payment.paid_at,
                    billing_reason=invoice.billing_reason,
                    invoice_number=invoice.number,
                )
            )
    return sorted(found, key=lambda payment: (payment.paid_at, payment.id))


def allocate(whole: int, weights: Sequence[int]) -> list[int]:
    """Share ``whole`` minor units by ``weights``; the remainder of the rounding goes to the last."""
    total = sum(weights)
    if not weights or total <= 0:
        return [0] * len(weights)
    parts = [whole * weight // total for weight in weights]
    parts[-1] += whole - sum(parts)
    return parts
