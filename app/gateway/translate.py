"""
Convert Stripe's objects to ours. Pure functions: no requests and no state.

Objects have the form of the pinned API version: subscription items have the periods, and an invoice has its subscription
under ``parent`` and its payments under ``payments``.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from stripe import CreditNote, Customer, Dispute, Invoice, InvoicePayment, Price, Refund, Subscription, SubscriptionItem
from stripe.radar import EarlyFraudWarning

from app.domain.customers import StripeCustomerState
from app.domain.disputes import StripeDisputeState, StripeWarningState
from app.domain.invoice_lines import InvoiceLine, Span
from app.domain.prices import plan_and_component
from app.domain.reconciliation import ListedInvoice
from app.domain.refunds import StripeRefundState
from app.domain.renewals import Collection, Pause, PendingPayment
from app.domain.subscriptions import (
    PaymentKind,
    StripeCreditNote,
    StripeInvoicePayment,
    StripeInvoiceState,
    StripeItemState,
    StripeSubscriptionState,
    SubscriptionStatus,
)
from app.gateway.customer_facts import card_of, discount_ends_of, shipping_of, tax_location_of
from app.gateway.fields import field_of, moment, moment_or_none

Components = Mapping[str, tuple[str | None, str | None]]  # the plan and the component of each subscription item
OUR_REFUND, OUR_BASIS, OUR_GROUP = "newsstand_refund", "newsstand_basis", "newsstand_refund_group"
OUR_REQUEST = "newsstand_request"  # the hash of an API request that moved money
OUR_SUBSCRIBER, OUR_SUB = "newsstand_subscriber", "newsstand_sub"
OUR_CHECKOUT = "newsstand_checkout"
OUR_PRINT_CHANGE = "newsstand_print_change"  # of an invoice and its line: the change that they bill
OUR_RETURN = "newsstand_return"  # of a credit note: the return to the customer's balance that we intended
PRINT_DROPPED = "newsstand_print_dropped"  # of a subscription: when we dropped print, in seconds, separated by commas
OUR_PLAN, OUR_COMPONENT = "newsstand_plan", "newsstand_component"


def subscription(seen: Subscription, invoices: list[Invoice]) -> StripeSubscriptionState:
    """Translate a subscription with all its invoices."""
    items, read = tuple(_item(item) for item in seen["items"].data), invoices_of(seen)
    return StripeSubscriptionState(
        id=seen.id,
        customer_id=_id(seen.customer),
        status=seen.status,
        currency=seen.currency,
        created_at=moment(seen.created),
        items=items,
        cancel_at=_scheduled_end(seen, items),
        ends_by_flag=seen.cancel_at_period_end,
        canceled_at=moment_or_none(seen.canceled_at),
        ended_at=moment_or_none(seen.ended_at),
        end_reason=seen.cancellation_details.reason if seen.cancellation_details else None,
        invoices=tuple(read(invoice) for invoice in invoices),
        trial_end=moment_or_none(seen.trial_end),
        collection_paused=seen.pause_collection.behavior if seen.pause_collection else None,
        pause=_pause(seen),
        schedule_id=id_or_none(seen.schedule),
        subscriber_id=_said_by(seen.metadata, OUR_SUBSCRIBER),
        checkout_id=_said_by(seen.metadata, OUR_CHECKOUT),
        card=card_of(seen),
        tax_location=tax_location_of(seen),
        shipping=shipping_of(seen.customer),
        discount_ends=discount_ends_of(seen),
        print_dropped=_print_dropped(seen),
    )


def _print_dropped(seen: Subscription) -> tuple[datetime, ...]:
    said = _said_by(seen.metadata, PRINT_DROPPED) or ""
    return tuple(moment(int(one)) for one in said.split(",") if one.isascii() and one.isdigit() and len(one) <= 10)


def _pause(seen: Subscription) -> Pause | None:
    """Return why a subscription is paused. Whether its unused time was credited is known from its pending items."""
    details = getattr(seen, "status_details", None)
    paused = details.paused if details else None
    if seen.status != SubscriptionStatus.PAUSED or paused is None or paused.subscription is None:
        return None
    return Pause(reason=paused.subscription.type, since=moment(paused.transitioned_at))


def invoices_of(seen: Subscription) -> Callable[[Invoice], StripeInvoiceState]:
    """Return a function that translates a subscription's invoices, whose lines may name only its items."""
    items = list(seen["items"].data)
    components = {item.id: (item.plan, item.component) for item in map(_item, items)}
    free_prices = frozenset(item.price.id for item in items if item.price.unit_amount == 0)
    return partial(_invoice, components=components, free_prices=free_prices)


def _item(item: SubscriptionItem) -> StripeItemState:
    ours = plan_and_component(_id(item.price.product)) or _plan_in_metadata(item.price)
    return StripeItemState(
        id=item.id,
        plan=ours[0] if ours else None,
        component=ours[1] if ours else None,
        price_id=item.price.id,
        unit_amount=(item.price.unit_amount or 0) * (item.quantity or 1),
        quantity=1 if item.quantity is None else item.quantity,
        interval=item.price.recurring.interval if item.price.recurring else None,
        interval_count=item.price.recurring.interval_count if item.price.recurring else 1,
        period_start=moment(item.current_period_start),
        period_end=moment(item.current_period_end),
    )


def _plan_in_metadata(price: Price) -> tuple[str, str] | None:
    """Return the plan and component in a price's metadata, for prices from before the catalogue."""
    metadata = price.metadata
    if not metadata or OUR_PLAN not in metadata or OUR_COMPONENT not in metadata:
        return None
    return metadata[OUR_PLAN], metadata[OUR_COMPONENT]


def _scheduled_end(seen: Subscription, items: tuple[StripeItemState, ...]) -> datetime | None:
    """
    Return when the subscription is scheduled to end, in any of Stripe's forms.

    The API and the Dashboard set ``cancel_at_period_end``; in flexible billing the portal sets ``cancel_at`` alone.
    """
    if seen.ended_at is not None:
        return None
    if seen.cancel_at is not None:
        return moment(seen.cancel_at)
    if seen.cancel_at_period_end:
        return max((item.period_end for item in items), default=None)
    return None


def _invoice(
    invoice: Invoice, *, components: Components, free_prices: frozenset[str] = frozenset()
) -> StripeInvoiceState:
    transitions = field_of(invoice, "status_transitions")
    paid_at = moment_or_none(field_of(transitions, "paid_at"))
    return StripeInvoiceState(
        id=invoice.id,
        status=invoice.status or "draft",
        billing_reason=invoice.billing_reason or "",
        number=invoice.number,
        total=invoice.total,
        tax=sum(tax.amount for tax in invoice.total_taxes or ()),
        currency=invoice.currency,
        lines=tuple(invoice_line(line, components=components, free_prices=free_prices) for line in invoice.lines.data),
        period_start=moment(invoice.period_start),
        period_end=moment(invoice.period_end),
        paid_at=paid_at,
        payments=_payments(invoice, paid_at),
        pay_url=invoice.hosted_invoice_url,
        collection=Collection(
            method=invoice.collection_method,
            due_at=moment_or_none(invoice.due_date),
            auto_advance=bool(invoice.auto_advance),
            attempted=invoice.attempted,
            finalization_error=_finalization_error(invoice),
            pending_payments=tuple(
                p for p in map(_pending_payment, invoice.payments.data if invoice.payments else ()) if p is not None
            ),
        ),
        paid_by_balance=_paid_by_balance(invoice),
        credit_notes=tuple(
            credit_note(note) for note in getattr(invoice, "credit_notes", ()) if note.status == "issued"
        ),
        print_change=_said_by(field_of(invoice, "metadata"), OUR_PRINT_CHANGE),
    )


def _paid_by_balance(invoice: Invoice) -> int:
    """
    Return what the customer's balance paid of a paid invoice, in minor units.

    An amount below the minimum charge is paid and becomes the customer's debt. It counts as paid by the balance, because
    returning it cancels the debt.
    """
    if invoice.status != "paid" or invoice.ending_balance is None or invoice.total <= 0:
        return 0
    return min(max(0, invoice.ending_balance - invoice.starting_balance), invoice.total)


def credit_note(note: CreditNote) -> StripeCreditNote:
    """Translate a credit note."""
    balance = note.customer_balance_transaction
    refunded = sum(linked.amount_refunded for linked in note.refunds)
    out_of_band = note.out_of_band_amount or 0
    return StripeCreditNote(
        id=note.id,
        to_balance=note.post_payment_amount - refunded - out_of_band if balance is not None else 0,
        out_of_band=out_of_band,
        created_at=moment(note.created),
        our_return=_said_by(note.metadata, OUR_RETURN),
    )


def _finalization_error(invoice: Invoice) -> str | None:
    error = invoice.last_finalization_error
    return (getattr(error, "code", None) or error.type) if error else None


def listed_invoice(invoice: Invoice) -> ListedInvoice:
    """Translate an invoice of a list, with its subscription."""
    details = invoice.parent.subscription_details if invoice.parent else None
    return ListedInvoice(
        subscription_id=_id(details.subscription) if details else None,
        invoice=_invoice(invoice, components={}),
    )


def invoice_line(line: Any, *, components: Components, free_prices: frozenset[str] = frozenset()) -> InvoiceLine:
    """
    Translate an invoice line. It is for the plan and the component of its product, else of its subscription item.

    Lines of API versions before 2025-03-31 have the price, the subscription item and ``proration`` at the top level.

    :param components: of the subscription's items, by ID.
    :param free_prices: the IDs of its prices that are zero.
    """
    parent = field_of(line, "parent")
    of_item = field_of(parent, "subscription_item_details")
    details = of_item or field_of(parent, "invoice_item_details")
    item_id = field_of(of_item, "subscription_item") if parent else field_of(line, "subscription_item")
    proration = bool(field_of(details, "proration") if parent else field_of(line, "proration"))
    credited = field_of(field_of(details if parent else line, "proration_details"), "credited_items")
    price_id, product_id = _price_of(line)
    ours = plan_and_component(product_id) if product_id else None
    if ours is None:
        plan, component = components.get(item_id or "", (None, None))
        ours = (plan, component) if plan and component else None
    return InvoiceLine(
        plan=ours[0] if ours else None,
        component=ours[1] if ours else None,
        amount=line.amount,
        span=Span(moment(line.period.start), moment(line.period.end)),
        of_subscription=item_id is not None or (proration and field_of(details or line, "subscription") is not None),
        proration=proration,
        credits_lines=credited is not None,
        free_price=price_id in free_prices,
        discount=sum(one.amount for one in field_of(line, "discount_amounts") or ()),
        added_tax=sum(one.amount for one in field_of(line, "taxes") or () if one.tax_behavior == "exclusive"),
        is_print_change=_said_by(field_of(line, "metadata"), OUR_PRINT_CHANGE) is not None,
    )


def _pending_payment(payment: InvoicePayment) -> PendingPayment | None:
    """Translate an open payment, if its payment intent was fetched with it."""
    intent = field_of(payment.payment, "payment_intent")
    if payment.status != "open" or intent is None or isinstance(intent, str):
        return None
    charge = intent.latest_charge
    started_at = moment(charge.created) if charge is not None and not isinstance(charge, str) else None
    return PendingPayment(status=intent.status, started_at=started_at)


def _price_of(line: Any) -> tuple[str | None, str | None]:
    """Return the IDs of the price and the product of an invoice line."""
    details = field_of(field_of(line, "pricing"), "price_details")
    if details is not None:
        return id_or_none(field_of(details, "price")), id_or_none(field_of(details, "product"))
    price = field_of(line, "price")
    return id_or_none(field_of(price, "id")), id_or_none(field_of(price, "product"))


def _payments(invoice: Invoice, paid_at: datetime | None) -> tuple[StripeInvoicePayment, ...]:
    """
    Translate the successful payments of an invoice.

    What was paid outside Stripe without a payment record has no payment at Stripe. It is one payment of ours, made when the
    invoice was marked as paid.
    """
    found = []
    for one in invoice.payments.data if invoice.payments else ():
        reference = field_of(one.payment, one.payment.type)
        if one.status == "paid" and reference is not None and one.payment.type in set(PaymentKind):
            made_at = moment(one.status_transitions.paid_at or one.created)
            found.append(
                StripeInvoicePayment(
                    id=_id(reference), kind=PaymentKind(one.payment.type), amount=one.amount_paid or 0, paid_at=made_at
                )
            )
    if invoice.status == "paid" and paid_at is not None:
        uncovered = invoice.amount_due - sum(payment.amount for payment in found)
        outside = min(field_of(invoice, "amount_paid_off_stripe") or 0, uncovered)
        if outside > 0:
            found.append(
                StripeInvoicePayment(
                    id=f"oob_{invoice.id}", kind=PaymentKind.OUT_OF_BAND, amount=outside, paid_at=paid_at
                )
            )
    return tuple(found)


def customer(seen: Customer) -> StripeCustomerState:
    """Translate a customer, which may be deleted."""
    metadata = getattr(seen, "metadata", None) or {}
    return StripeCustomerState(
        id=seen.id,
        email=getattr(seen, "email", None),
        name=getattr(seen, "name", None),
        metadata={name: metadata[name] for name in metadata},
        deleted=getattr(seen, "deleted", False) is True,
        shipping=shipping_of(seen),
        credit=credit_balances(seen),
    )


def credit_balances(seen: Customer) -> dict[str, int]:
    """Return a customer's credit by currency, in minor units; negative is debt. Empty unless it was expanded."""
    balances = getattr(seen, "invoice_credit_balance", None) or {}
    return {currency: balances[currency] for currency in balances}


def refund(seen: Refund) -> StripeRefundState:
    """Translate a refund."""
    return StripeRefundState(
        id=seen.id,
        amount=seen.amount,
        currency=seen.currency,
        status=seen.status or "pending",
        ours=_said_by(seen.metadata, OUR_REFUND),
        basis=_said_by(seen.metadata, OUR_BASIS),
        group=_said_by(seen.metadata, OUR_GROUP),
        request_hash=_said_by(seen.metadata, OUR_REQUEST),
        failure_reason=getattr(seen, "failure_reason", None),
        created_at=moment(seen.created),
    )


def dispute(seen: Dispute) -> StripeDisputeState:
    """Translate a dispute."""
    due_by = seen.evidence_details.due_by if seen.evidence_details else None
    return StripeDisputeState(
        id=seen.id,
        charge_id=_id(seen.charge),
        payment_id=id_or_none(seen.payment_intent or seen.charge),
        status=seen.status,
        amount=seen.amount,
        currency=seen.currency,
        reason=seen.reason,
        due_by=moment_or_none(due_by),
        refundable=seen.is_charge_refundable,
        opened_at=moment(seen.created),
    )


def fraud_warning(seen: EarlyFraudWarning) -> StripeWarningState:
    """Translate an early fraud warning."""
    return StripeWarningState(
        id=seen.id,
        charge_id=_id(seen.charge),
        payment_id=id_or_none(seen.payment_intent or seen.charge),
        actionable=seen.actionable,
        fraud_type=seen.fraud_type,
        created_at=moment(seen.created),
    )


def _said_by(metadata: Any, name: str) -> str | None:
    """Return an entry of an object's metadata."""
    return str(metadata[name]) if metadata and name in metadata else None


def _id(reference: Any) -> str:
    """Return the ID of a reference, expanded or not."""
    return reference if isinstance(reference, str) else str(reference.id)


def id_or_none(reference: Any) -> str | None:
    """Return the ID of a reference, expanded or not, or None."""
    return _id(reference) if reference is not None else None
