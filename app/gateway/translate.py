"""
Convert Stripe's objects to ours. Pure functions: no requests and no state.

Objects have the form of the pinned API version: subscription items have the periods, and an invoice has its subscription
under ``parent`` and its payments under ``payments``.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeGuard

from stripe import Customer, Dispute, Invoice, InvoicePayment, Price, Refund, Subscription, SubscriptionItem
from stripe.radar import EarlyFraudWarning

from app.domain import events
from app.domain.customers import StripeCustomerState
from app.domain.disputes import StripeDisputeState, StripeWarningState
from app.domain.events import InvalidEvent, RefetchRequest
from app.domain.plans import DIGITAL
from app.domain.prices import plan_and_component
from app.domain.reconciliation import ListedInvoice
from app.domain.refunds import StripeRefundState
from app.domain.renewals import Collection, Pause, PendingPayment
from app.domain.subscriptions import (
    StripeInvoicePayment,
    StripeInvoiceState,
    StripeItemState,
    StripeSubscriptionState,
    SubscriptionStatus,
)
from app.domain.text import is_storable

OUR_REFUND = "newsstand_refund"
OUR_SUBSCRIBER = "newsstand_subscriber"
OUR_CHECKOUT = "newsstand_checkout"
OUR_PLAN, OUR_COMPONENT = "newsstand_plan", "newsstand_component"


def refetch_request(text: str) -> RefetchRequest:
    """
    Return the refetch that an event requests. Only the event's IDs are used, so its API version does not matter.

    :raises InvalidEvent: the text is not an event.
    """
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidEvent("The body is not JSON") from None
    if not isinstance(event, dict) or event.get("object") != "event":
        raise InvalidEvent("The body is not an event")
    event_id, kind, thing = event.get("id"), event.get("type"), _inside(event, ("data", "object"))
    if not _is_word(event_id) or not _is_word(kind) or not isinstance(thing, dict):
        raise InvalidEvent("The event lacks its ID, type or object")
    key, ignored = _key(kind, thing)
    livemode, version, created = event.get("livemode"), event.get("api_version"), event.get("created")
    return RefetchRequest(
        event_id=event_id,
        type=kind,
        api_version=version if _is_word(version) else None,
        livemode=livemode if isinstance(livemode, bool) else None,
        object_id=thing["id"] if _is_word(thing.get("id")) else None,
        created_at=moment(created) if isinstance(created, int) and 0 <= created < 2**33 else None,
        key=key,
        ignored=ignored,
    )


def _key(event_type: str, thing: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the key of the object to fetch, or the reason why there is none."""
    family = events.family_of(event_type)
    if family is None or family.kind is None:
        return None, "Event type is not used"
    kind, found = family.kind, _inside(thing, family.id_path)
    if isinstance(found, dict):  # an expanded object
        found = found.get("id")
    if found is None and event_type.startswith(
        "charge.dispute."
    ):  # its charge has no payment intent, so it is not ours
        kind, found = events.RefetchKind.DISPUTE, thing.get("id")
    if not _is_word(found):
        return None, f"Not related to a {kind}"
    return f"{kind}:{found}", None


def _inside(thing: object, path: tuple[str, ...]) -> Any:
    for step in path:
        thing = thing.get(step) if isinstance(thing, dict) else None
    return thing


def _is_word(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= 255 and is_storable(value)


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
        canceled_at=_moment_or_none(seen.canceled_at),
        ended_at=_moment_or_none(seen.ended_at),
        end_reason=seen.cancellation_details.reason if seen.cancellation_details else None,
        invoices=tuple(read(invoice) for invoice in invoices),
        trial_end=_moment_or_none(seen.trial_end),
        collection_paused=seen.pause_collection.behavior if seen.pause_collection else None,
        pause=_pause(seen),
        schedule_id=id_or_none(seen.schedule),
        subscriber_id=seen.metadata[OUR_SUBSCRIBER] if seen.metadata and OUR_SUBSCRIBER in seen.metadata else None,
    )


def _pause(seen: Subscription) -> Pause | None:
    """Return why a subscription is paused. Whether its unused time was credited is known from its pending items."""
    details = getattr(seen, "status_details", None)
    paused = details.paused if details else None
    if seen.status != SubscriptionStatus.PAUSED or paused is None or paused.subscription is None:
        return None
    return Pause(reason=paused.subscription.type, since=moment(paused.transitioned_at))


def invoices_of(seen: Subscription) -> Callable[[Invoice], StripeInvoiceState]:
    """Return a function that translates a subscription's invoices, where lines may name only the subscription's items."""
    components = {item.id: (item.plan, item.component) for item in map(_item, seen["items"].data)}
    return partial(_invoice, components=components, trial_end=seen.trial_end)


def _item(item: SubscriptionItem) -> StripeItemState:
    ours = plan_and_component(_id(item.price.product)) or _plan_in_metadata(item.price)
    return StripeItemState(
        id=item.id,
        plan=ours[0] if ours else None,
        component=ours[1] if ours else None,
        unit_amount=(item.price.unit_amount or 0) * (item.quantity or 1),
        quantity=1 if item.quantity is None else item.quantity,
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
    invoice: Invoice, *, components: dict[str, tuple[str | None, str | None]], trial_end: int | None
) -> StripeInvoiceState:
    plans, found, period, whole = set(), set(), None, False
    for line in invoice.lines.data:
        ours = _line_of(line, components)
        if ours is None:
            continue
        plans.add(ours[0])
        found.add(ours[1])
        bills_period = ours[1] == DIGITAL and not _is_proration(line)
        if bills_period or period is None or (ours[1] == DIGITAL and not whole):
            period = line.period
        whole = whole or bills_period
    start, end = (period.start, period.end) if period else (invoice.period_start, invoice.period_end)
    return StripeInvoiceState(
        id=invoice.id,
        status=invoice.status or "draft",
        billing_reason=invoice.billing_reason or "",
        number=invoice.number,
        total=invoice.total,
        tax=sum(tax.amount for tax in invoice.total_taxes or ()),
        currency=invoice.currency,
        components=frozenset(found),
        plan=plans.pop() if len(plans) == 1 else None,  # ambiguous if there are several
        period_start=moment(start),
        period_end=moment(end),
        payments=tuple(p for p in map(_payment, invoice.payments.data if invoice.payments else ()) if p is not None),
        trial=trial_end is not None and end <= trial_end,
        new_period=whole,
        pay_url=invoice.hosted_invoice_url,
        collection=Collection(
            method=invoice.collection_method,
            due_at=_moment_or_none(invoice.due_date),
            auto_advance=bool(invoice.auto_advance),
            attempted=invoice.attempted,
            finalization_error=_finalization_error(invoice),
            pending_payments=tuple(
                p for p in map(_pending_payment, invoice.payments.data if invoice.payments else ()) if p is not None
            ),
        ),
    )


def _finalization_error(invoice: Invoice) -> str | None:
    error = invoice.last_finalization_error
    return (getattr(error, "code", None) or error.type) if error else None


def listed_invoice(invoice: Invoice) -> ListedInvoice:
    """Translate an invoice of a list, with its subscription."""
    details = invoice.parent.subscription_details if invoice.parent else None
    return ListedInvoice(
        subscription_id=_id(details.subscription) if details else None,
        invoice=_invoice(invoice, components={}, trial_end=None),
    )


def _line_of(line: Any, components: dict[str, tuple[str | None, str | None]]) -> tuple[str, str] | None:
    """Return the plan and the component an invoice line is for: by its product, else by its subscription item."""
    details = line.pricing.price_details if line.pricing else None
    ours = plan_and_component(_id(details.product)) if details else None
    if ours is None and line.parent and line.parent.subscription_item_details:
        plan, component = components.get(line.parent.subscription_item_details.subscription_item, (None, None))
        ours = (plan, component) if plan and component else None
    return ours


def _is_proration(line: Any) -> bool:
    details = line.parent.subscription_item_details if line.parent else None
    return bool(details and details.proration)


def _payment(payment: InvoicePayment) -> StripeInvoicePayment | None:
    """Translate a successful payment; None for an open or canceled one."""
    if payment.status != "paid" or payment.payment.payment_intent is None:
        return None
    return StripeInvoicePayment(
        id=_id(payment.payment.payment_intent),
        amount=payment.amount_paid or 0,
        paid_at=moment(payment.status_transitions.paid_at or payment.created),
    )


def _pending_payment(payment: InvoicePayment) -> PendingPayment | None:
    """Translate an open payment, if its payment intent was fetched with it."""
    intent = payment.payment.payment_intent
    if payment.status != "open" or intent is None or isinstance(intent, str):
        return None
    charge = intent.latest_charge
    started_at = moment(charge.created) if charge is not None and not isinstance(charge, str) else None
    return PendingPayment(status=intent.status, started_at=started_at)


def customer(seen: Customer) -> StripeCustomerState:
    """Translate a customer, which may be deleted."""
    metadata = getattr(seen, "metadata", None) or {}
    return StripeCustomerState(
        id=seen.id,
        email=getattr(seen, "email", None),
        name=getattr(seen, "name", None),
        metadata={name: metadata[name] for name in metadata},
        deleted=getattr(seen, "deleted", False) is True,
    )


def refund(seen: Refund) -> StripeRefundState:
    """Translate a refund."""
    metadata = seen.metadata
    return StripeRefundState(
        id=seen.id,
        amount=seen.amount,
        currency=seen.currency,
        status=seen.status or "pending",
        ours=metadata[OUR_REFUND] if metadata and OUR_REFUND in metadata else None,
        failure_reason=getattr(seen, "failure_reason", None),
        created_at=moment(seen.created),
    )


def dispute(seen: Dispute) -> StripeDisputeState:
    """Translate a dispute."""
    due_by = seen.evidence_details.due_by if seen.evidence_details else None
    return StripeDisputeState(
        id=seen.id,
        charge_id=_id(seen.charge),
        payment_id=_id(seen.payment_intent) if seen.payment_intent else None,
        status=seen.status,
        amount=seen.amount,
        currency=seen.currency,
        reason=seen.reason,
        due_by=_moment_or_none(due_by),
        refundable=seen.is_charge_refundable,
        opened_at=moment(seen.created),
    )


def fraud_warning(seen: EarlyFraudWarning) -> StripeWarningState:
    """Translate an early fraud warning."""
    return StripeWarningState(
        id=seen.id,
        charge_id=_id(seen.charge),
        payment_id=_id(seen.payment_intent) if seen.payment_intent else None,
        actionable=seen.actionable,
        fraud_type=seen.fraud_type,
        created_at=moment(seen.created),
    )


def _id(reference: Any) -> str:
    """Return the ID of a reference, expanded or not."""
    return reference if isinstance(reference, str) else str(reference.id)


def id_or_none(reference: Any) -> str | None:
    """Return the ID of a reference, expanded or not, or None."""
    return _id(reference) if reference is not None else None


def moment(seconds: int) -> datetime:
    """Return the time of a Stripe timestamp."""
    return datetime.fromtimestamp(seconds, UTC)


def _moment_or_none(seconds: int | None) -> datetime | None:
    return moment(seconds) if seconds is not None else None
