"""Refunds at Stripe, and the credit notes that record them on the invoice."""

import asyncio
from collections.abc import Mapping
from typing import Any

from stripe import Charge
from stripe.params import RefundListParams

from app.domain.credit_notes import CreditedInvoice
from app.domain.refunds import StripePaymentState, StripeRefundState
from app.domain.subscriptions import ForeignStripeObject
from app.gateway import disputes as at_stripe
from app.gateway import translate
from app.gateway.client import Gateway
from app.gateway.disputes import is_charge


async def payment_state(gateway: Gateway, payment_id: str) -> StripePaymentState:
    """Fetch whether a payment is refundable, and all its refunds. Call it right before a refund."""
    wanted: RefundListParams = {"charge": payment_id} if is_charge(payment_id) else {"payment_intent": payment_id}
    charge, listed, disputes = await asyncio.gather(
        _charge(gateway, payment_id),
        gateway.every(gateway.sdk.v1.refunds.list_async({**wanted, "limit": 100})),
        at_stripe.of_payment(gateway, payment_id),
    )
    # The charge of a dispute can often still be refunded, especially during an inquiry.
    succeeded = charge is not None and charge.status == "succeeded"
    return StripePaymentState(
        refundable=succeeded and all(dispute.refundable for dispute in disputes),
        disputed=bool(disputes) or (charge is not None and charge.disputed),
        refunds=tuple(translate.refund(refund) for refund in listed),
        disputes=disputes,
    )


async def _charge(gateway: Gateway, payment_id: str) -> Charge | None:
    """Return the newest charge of a payment; None if there is none."""
    if is_charge(payment_id):
        return await gateway.call(gateway.sdk.v1.charges.retrieve_async(payment_id))
    intent = await gateway.call(
        gateway.sdk.v1.payment_intents.retrieve_async(payment_id, {"expand": ["latest_charge"]})
    )
    return intent.latest_charge if isinstance(intent.latest_charge, Charge) else None


async def invoice_of(gateway: Gateway, payment_id: str) -> str:
    """
    Return the invoice a payment was made on. Stripe can't look it up by a charge, so the customer's invoices are searched.

    :raises ForeignStripeObject: it has no invoice, so it is for another product.
    """
    if is_charge(payment_id):
        charge = await gateway.call(gateway.sdk.v1.charges.retrieve_async(payment_id))
        invoices = gateway.pages(
            "/v1/invoices", customer=translate.id_or_none(charge.customer), expand=["data.payments"], limit=100
        )
        if charge.customer is not None:
            async for page in invoices:
                for invoice in page:
                    if any(one.payment.get("charge") == payment_id for one in invoice.payments.data):
                        return str(invoice.id)
        raise ForeignStripeObject("The charge has no invoice")
    listed = await gateway.call(
        gateway.sdk.v1.invoice_payments.list_async(
            {"payment": {"type": "payment_intent", "payment_intent": payment_id}, "limit": 1}
        )
    )
    if not listed.data:
        raise ForeignStripeObject("The payment has no invoice")
    invoice = listed.data[0].invoice
    return invoice if isinstance(invoice, str) else str(invoice.id)


async def payment_of(gateway: Gateway, charge_id: str) -> str:
    """Return the ID of the payment that a charge belongs to: of its payment intent, or its own if it has none."""
    charge = await gateway.call(gateway.sdk.v1.charges.retrieve_async(charge_id))
    return translate.id_or_none(charge.payment_intent) or charge_id


async def create(gateway: Gateway, parameters: Mapping[str, Any], *, key: str) -> StripeRefundState:
    """Create the refund of a stored intent."""
    return translate.refund(
        await gateway.call(
            gateway.sdk.v1.refunds.create_async(dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
        )
    )


async def invoice_lines(gateway: Gateway, invoice_id: str) -> CreditedInvoice:
    """Return the lines of an invoice, or none if they don't fit in one response."""
    invoice = await gateway.call(gateway.sdk.v1.invoices.retrieve_async(invoice_id))
    lines = (
        () if invoice.lines.has_more else tuple((line.id, line.amount, line.quantity) for line in invoice.lines.data)
    )
    credited = invoice.post_payment_credit_notes_amount + invoice.pre_payment_credit_notes_amount
    return CreditedInvoice(id=invoice.id, total=invoice.total, credited=credited, lines=lines)


async def credit(gateway: Gateway, parameters: Mapping[str, Any], *, key: str) -> str:
    """Create a credit note for a refund, including tax, and return its ID."""
    note = await gateway.call(
        gateway.sdk.v1.credit_notes.create_async(dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
    )
    return note.id


async def credit_note_of(gateway: Gateway, invoice_id: str, stripe_refund_id: str) -> str | None:
    """Return the ID of a refund's credit note, if it exists."""
    for note in await gateway.every(gateway.sdk.v1.credit_notes.list_async({"invoice": invoice_id, "limit": 100})):
        if any(_refund_id(linked.refund) == stripe_refund_id for linked in note.refunds):
            return note.id
    return None


def _refund_id(reference: Any) -> str:
    return reference if isinstance(reference, str) else str(reference.id)
