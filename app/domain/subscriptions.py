"""Subscriptions: their state at Stripe (``Stripe…State``, from the gateway), our copy, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from app.domain.adjustments import Adjustment
from app.domain.cards import Card
from app.domain.disputes import KEEPS_OTHER_TERMS
from app.domain.errors import Conflict, NotFound
from app.domain.holds import Hold
from app.domain.invoice_lines import InvoiceEffect, InvoiceLine, Span, effect_of
from app.domain.invoices import InvoiceStatus
from app.domain.offers import Offer
from app.domain.plans import DIGITAL, PRINT
from app.domain.reasons import EndReason
from app.domain.renewals import Collection, Pause, Renewal, precedence


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
UNPAID = frozenset({SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID})
OVER = frozenset({SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED})


class PaymentKind(StrEnum):
    """How a payment of an invoice was made. The first three are Stripe's."""

    PAYMENT_INTENT = "payment_intent"
    CHARGE = "charge"  # a charge without a payment intent, such as an old bank transfer
    PAYMENT_RECORD = "payment_record"  # made outside Stripe, and reported to it
    OUT_OF_BAND = "out_of_band"  # made outside Stripe: the invoice was marked as paid


OUTSIDE_STRIPE = frozenset({PaymentKind.PAYMENT_RECORD, PaymentKind.OUT_OF_BAND})


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
    price_id: str = ""  # price_…
    unit_amount: int
    quantity: int = 1
    interval: str | None = None  # "day", "week", "month" or "year": how often it is billed, with the count
    interval_count: int = 1
    period_start: datetime
    period_end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeInvoicePayment:
    """A payment of an invoice, or the part of a payment that was for this invoice."""

    id: str  # pi_…, ch_… or py_…, pr_…, or oob_ and the invoice
    kind: PaymentKind = PaymentKind.PAYMENT_INTENT
    amount: int
    paid_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeCreditNote:
    """Money that a credit note returned for a paid invoice without a refund. Amounts in minor units."""

    id: str  # cn_…
    to_balance: int  # added to the customer's balance
    out_of_band: int  # returned outside Stripe
    created_at: datetime
    our_return: str | None = None  # the ID of our return to the balance, from its metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeInvoiceState:
    """An invoice with its lines and payments. The total and the tax are in minor units."""

    id: str
    status: str
    billing_reason: str
    total: int
    tax: int
    currency: str
    lines: tuple[InvoiceLine, ...]
    period_start: datetime
    period_end: datetime
    paid_at: datetime | None = None
    payments: tuple[StripeInvoicePayment, ...]
    number: str | None = None  # as readers see it
    pay_url: str | None = None  # Stripe's page of it, where it can be paid with any card, and confirmed
    collection: Collection = field(default_factory=Collection)
    paid_by_balance: int = 0  # the part that the customer's balance paid
    credit_notes: tuple[StripeCreditNote, ...] = ()  # issued ones
    print_change: str | None = None  # the ID of the change of the print edition that it bills, from its metadata

    @property
    def returned_to_balance(self) -> int:
        """What credit notes returned to the customer's balance."""
        return sum(note.to_balance for note in self.credit_notes)

    @property
    def effect(self) -> InvoiceEffect:
        """What the invoice changes once it is paid."""
        return effect_of(self.lines, paid_at=self.paid_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeSubscriptionState:
    """The current state of a subscription at Stripe, with its invoices."""

    id: str
    customer_id: str
    status: str
    currency: str
    created_at: datetime
    items: tuple[StripeItemState, ...]
    cancel_at: datetime | None  # the scheduled end, in any of Stripe's three forms
    ends_by_flag: bool = False  # the form: cancel_at_period_end, else cancel_at
    canceled_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    invoices: tuple[StripeInvoiceState, ...]
    trial_end: datetime | None = None
    collection_paused: str | None = None  # the treatment of invoices while collection is paused
    pause: Pause | None = None  # set while the subscription itself is paused
    subscriber_id: str | None = None  # ours, from its metadata
    checkout_id: str | None = None  # of our checkout, from its metadata
    schedule_id: str | None = None  # of the subscription schedule that manages it
    known_as: str | None = None  # the plan in our copy, used if the items no longer identify one
    card: Card | None = None  # that pays; None: unknown, or it is not a card
    tax_location: tuple[str, str | None] | None = None  # country and state of the customer's billing address
    shipping: Mapping[str, str] | None = None  # of the customer: the fields of a postal address
    discount_ends: tuple[datetime | None, ...] = ()  # of each discount; None: it doesn't end
    print_dropped: tuple[datetime, ...] = ()  # when we dropped the print edition, from its metadata

    @property
    def pay_url(self) -> str | None:
        """The payment page of the newest open invoice; None if there is none. A change of the print edition is not owed."""
        payable = [one for one in self.invoices if one.status == "open" and one.pay_url is not None]
        owed = [one for one in payable if one.print_change is None]
        return max(owed, key=lambda invoice: (invoice.period_start, invoice.id)).pay_url if owed else None

    @property
    def decided_print_changes(self) -> list[str]:
        """The IDs of the changes of the print edition whose invoice is paid, or can't be paid anymore."""
        undecided = (InvoiceStatus.DRAFT, InvoiceStatus.OPEN)
        decided = [one for one in self.invoices if one.status not in undecided]
        return [one.print_change for one in decided if one.print_change is not None]

    @property
    def renewal(self) -> Renewal | None:
        """The invoice for the next term, after what is paid; None if there is none, or it is paid."""
        whole = [(invoice, span) for invoice in self.invoices if (span := invoice.effect.span) is not None]
        paid_until = max((span.ends_at for one, span in whole if one.status == InvoiceStatus.PAID), default=None)
        unpaid = [
            Renewal.of(one.id, one.status, span.starts_at, one.collection)
            for one, span in whole
            if one.status != InvoiceStatus.PAID and (paid_until is None or span.ends_at > paid_until)
        ]
        return max(unpaid, key=precedence, default=None)

    @property
    def plan(self) -> str:
        """
        The code of the plan. If the items don't identify one, the plan in our copy.

        :raises ForeignStripeObject: there is no copy, and no item is ours or the items belong to several plans.
        """
        plans = {item.plan for item in self.items if item.plan is not None}
        if len(plans) == 1:
            return plans.pop()
        if self.known_as is not None:
            return self.known_as
        if not plans:
            raise ForeignStripeObject("No item of the subscription is in the catalogue")
        raise ForeignStripeObject(f"The subscription mixes the plans {', '.join(sorted(plans))}")

    @property
    def print_edition(self) -> bool:
        """Whether the subscription includes print."""
        return any(item.component == PRINT for item in self.items)

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        """The current period: that of the digital item, because items can have different periods."""
        for item in self.items:
            if item.component == DIGITAL:
                return item.period_start, item.period_end
        return None

    @property
    def ends_by_period_end(self) -> bool:
        """Whether it is scheduled to end by the end of the current period, before the next charge."""
        period = self.period
        return self.cancel_at is not None and (period is None or self.cancel_at <= period[1])

    @property
    def keeps_discount(self) -> bool:
        """Whether the next term is discounted."""
        period = self.period
        return any(end is None or (period is not None and end > period[1]) for end in self.discount_ends)

    @property
    def price(self) -> int:
        """The price of the next term before tax and discounts, in minor units."""
        return sum(item.unit_amount for item in self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One paid period of a subscription, which owes issues."""

    invoice_id: str
    plan: str
    print_edition: bool
    starts_at: datetime
    ends_at: datetime
    issues_owed: int  # as bought, without adjustments
    print_from: datetime | None = None  # when print starts within the term; None: with it
    print_until: datetime | None = None  # when print ends within the term; None: with it
    earlier_print: tuple[Span, ...] = ()  # periods of print before that one, which was added again after they ended
    paid_by_balance: int = 0  # what the customer's balance paid for it, in minor units
    credited_at: datetime | None = None  # when the term ended because the rest of it was credited
    refunded_as: str | None = None
    suspended_as: str | None = None  # why it is suspended: its payment is disputed
    print_suspended_from: datetime | None = None  # the print that was added then is disputed, or was returned
    refunded_at: datetime | None = None  # None: not refunded, or before this was recorded
    restored_as: str | None = None  # why it is granted again: the refund that ended it failed
    refund_failed: bool = False  # the refund that ended it failed later, and none has succeeded since
    adjustments: tuple[Adjustment, ...] = ()
    holds: tuple[Hold, ...] = ()  # of the reader
    grace_sent: int = 0  # issues sent after it while a renewal was awaited
    paid_at: datetime | None = None  # None: nothing was charged for it
    price: int | None = None  # before discounts and added tax; None: it was saved before this was recorded
    discount: int = 0
    offer: Offer | None = None  # what it was promised; None: its grants were not derived since this is recorded

    @property
    def begins_with_print(self) -> bool:
        """Whether print was bought with the term."""
        first = self.earlier_print[0].starts_at if self.earlier_print else self.print_from
        return self.print_edition and (first is None or first <= self.starts_at)

    @property
    def print_periods(self) -> tuple[tuple[datetime | None, datetime | None], ...]:
        """When print is paid for, in order. None: from the start of the term, or to its end."""
        periods = [(one.starts_at, one.ends_at) for one in self.earlier_print]
        (first, until), *later = (*periods, (self.print_from, self.print_until))
        return ((None if self.begins_with_print else first, until), *later) if self.print_edition else ()

    @property
    def is_refunded(self) -> bool:
        """Whether the term was refunded, so that it is never granted again."""
        return self.refunded_as is not None and self.restored_as is None

    def outlives(self, subscription: "Subscription") -> bool:
        """
        Return whether the term is served to its own end although the subscription has ended.

        A lost dispute or a fraud warning concerns one payment, so terms that started earlier with another payment continue.
        So do all paid terms if the subscription was canceled before the next period was paid, and a term that the policy
        restored because its refund failed. When the reader subscribes again, terms that are over still owe their issues.
        """
        if self.restored_as is not None or self.is_refunded:
            return not self.is_refunded
        order, by = subscription.access_ended_at, subscription.ended_by
        if by == EndReason.SUBSCRIBED_AGAIN and order is not None:
            return self.ends_at <= order
        return by == EndReason.NOT_RENEWED or (by in KEEPS_OTHER_TERMS and order is not None and self.starts_at < order)


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
    kind: PaymentKind = PaymentKind.PAYMENT_INTENT
    print_from: datetime | None = None  # if it paid only for print: from when
    print_until: datetime | None = None
    print_amount: int = 0  # the part of the amount that paid for print
    print_share: Fraction | None = None  # that print earns; None: an earlier release saved it. See app.domain.liability
    credited: int = 0  # returned otherwise than by a refund, see app.domain.credits
    is_history: bool = False  # it was made before we followed its subscription

    @property
    def is_outside_stripe(self) -> bool:
        """Whether the money did not go through Stripe, so that Stripe can't refund it."""
        return self.kind in OUTSIDE_STRIPE


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
    pause: Pause | None = None
    renewal: Renewal | None = None  # the invoice for the next term, while it is not paid
    check_at: datetime | None = None  # when it is fetched again, if nothing is heard of it
    closed_at: datetime | None = None  # when its cancellation was completed at Stripe
    pay_url: str | None = None  # Stripe's payment page of the open invoice
    came_from: str | None = None  # the previous status, if the transition from it is impossible
    followed_since: datetime | None = None  # None: from its beginning (see app.domain.imports)
    card: Card | None = None  # that pays, as of the last fetch
    keeps_discount: bool = False  # whether the next term is discounted
    tax_location: tuple[str, str | None] | None = None  # country and state of the tax, as of the last fetch

    @property
    def is_live(self) -> bool:
        """Whether the subscription is live at Stripe and was not ended by us."""
        return self.status in LIVE and self.access_ended_at is None

    @property
    def can_be_canceled(self) -> bool:
        """Whether it has not ended: a paused or unpaid subscription is not live, and may collect a payment later."""
        return self.status not in OVER and self.access_ended_at is None

    @property
    def effective_status(self) -> str:
        """The status at Stripe; ``canceled`` once we have ended it, even if Stripe has not canceled it yet."""
        return self.status if self.access_ended_at is None else SubscriptionStatus.CANCELED

    @property
    def over_at(self) -> datetime | None:
        """When the subscription ended, by us or at Stripe; None if it has not."""
        return self.access_ended_at or self.ended_at
