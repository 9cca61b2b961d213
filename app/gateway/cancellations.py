"""The cleanup of an ended subscription at Stripe: void its invoices and delete its pending items."""

from dataclasses import dataclass
from datetime import datetime

from app.domain.cancellations import OpenInvoice, unpaid_invoices
from app.domain.money import Money
from app.domain.subscriptions import StripeSubscriptionState
from app.gateway.client import Gateway
from app.gateway.fields import moment


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingItem:
    """A pending invoice item of a subscription. The amount is in minor units, negative for a credit."""

    id: str
    amount: int
    currency: str
    proration: bool
    created_at: datetime


async def pending_items(gateway: Gateway, customer_id: str, subscription_id: str) -> list[PendingItem]:
    """
    Return the items that are pending for a subscription's next invoice. A customer's other pending items are left out.

    :raises Gone: the customer was deleted, and all pending items with them.
    """
    items = await gateway.every(
        gateway.sdk.v1.invoice_items.list_async({"customer": customer_id, "pending": True, "limit": 100})
    )
    found = []
    for item in items:
        details = item.parent.subscription_details if item.parent else None
        if details is not None and details.subscription == subscription_id:
            found.append(
                PendingItem(
                    id=item.id,
                    amount=item.amount,
                    currency=item.currency,
                    proration=item.proration,
                    created_at=moment(item.date),
                )
            )
    return found


async def delete_item(gateway: Gateway, item_id: str) -> None:
    """
    Delete a pending item. DELETE takes no idempotency key. If it is repeated, Stripe responds that the item no
    longer exists.

    :raises Gone: it was already deleted.
    """
    await gateway.call(gateway.sdk.v1.invoice_items.delete_async(item_id))


async def hold(gateway: Gateway, invoice_id: str, *, key: str) -> None:
    """Stop the automatic finalization and collection of an invoice."""
    await gateway.call(
        gateway.sdk.v1.invoices.update_async(invoice_id, {"auto_advance": False}, {"idempotency_key": key})
    )


async def finalize(gateway: Gateway, invoice_id: str, *, key: str) -> None:
    """Finalize a draft without collecting it, because Stripe can neither delete nor void the draft of a subscription."""
    await gateway.call(
        gateway.sdk.v1.invoices.finalize_invoice_async(invoice_id, {"auto_advance": False}, {"idempotency_key": key})
    )


async def void(gateway: Gateway, invoice_id: str, *, key: str) -> None:
    """
    Void an invoice that is open or was written off.

    :raises StripeRefused: it is in another state by now, for example paid.
    """
    await gateway.call(gateway.sdk.v1.invoices.void_invoice_async(invoice_id, {}, {"idempotency_key": key}))


async def amount_remaining(gateway: Gateway, invoice_id: str) -> int:
    """Return what remains to be paid of an invoice, in minor units."""
    return (await gateway.call(gateway.sdk.v1.invoices.retrieve_async(invoice_id))).amount_remaining


async def write_off(gateway: Gateway, invoice_id: str, amount: int, *, key: str) -> None:
    """
    Credit the rest of an open invoice, in minor units. Nothing remains to be paid then, so Stripe marks it as paid.

    :raises StripeRefused: it is in another state by now, or less remains.
    """
    await gateway.call(
        gateway.sdk.v1.credit_notes.create_async({"invoice": invoice_id, "amount": amount}, {"idempotency_key": key})
    )


async def release_schedule(gateway: Gateway, schedule_id: str, *, key: str) -> None:
    """
    Release a subscription from its schedule: it goes on as it is, without the schedule's later phases or end.

    :raises StripeRefused: the schedule has ended or was released already.
    """
    await gateway.call(gateway.sdk.v1.subscription_schedules.release_async(schedule_id, {}, {"idempotency_key": key}))


async def open_invoices(gateway: Gateway, seen: StripeSubscriptionState) -> list[OpenInvoice]:
    """Return the unpaid invoices of a subscription, and which of them have a payment on its way."""
    found = []
    for invoice in unpaid_invoices(seen):
        tried = await gateway.read_every(
            "/v1/invoice_payments", invoice=invoice.id, status="open", expand=["data.payment.payment_intent"], limit=100
        )
        attempts = [one.payment.get("payment_intent") for one in tried]
        processing = any(attempt is not None and attempt.status == "processing" for attempt in attempts)
        money = Money(invoice.total, invoice.currency)
        found.append(OpenInvoice(number=invoice.number, money=money, processing=processing))
    return found
