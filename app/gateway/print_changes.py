"""The invoice of a print edition that is added within a term: previewed, drafted, finalized, paid or voided."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from app.domain.invoices import InvoiceStatus
from app.domain.print_quotes import Bill
from app.domain.renewals import PaymentStatus
from app.gateway import customers
from app.gateway.client import Gateway
from app.gateway.translate import OUR_PRINT_CHANGE

CONFIRMATION_NEEDED = frozenset(
    {"invoice_payment_intent_requires_action", "authentication_required"}
)  # codes of refusals
PREVIEW = "preview"  # stands for the change in a preview


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintInvoice:
    """The state of the invoice at Stripe. Amounts in minor units."""

    id: str
    status: str
    total: int
    remaining: int  # to be paid, after what the customer's balance paid
    pay_url: str | None  # None: nothing is to be paid or confirmed there
    has_line: bool
    is_processing: bool = False  # a payment of it is on its way, as a bank debit is for days


async def preview(
    gateway: Gateway,
    subscription_id: str,
    customer_id: str,
    line: Mapping[str, Any],
    *,
    ends: Mapping[str, Any],
    automatic_tax: bool,
) -> Bill:
    """
    Return what Stripe would bill for a line, and the customer's balance.

    :param line: as :func:`line_parameters` of the service returns it.
    :param ends: what lifts a scheduled end in the preview, because without a next invoice Stripe previews none.
    """
    item = {**line, "metadata": {OUR_PRINT_CHANGE: PREVIEW}}
    parameters: dict[str, Any] = {"subscription": subscription_id, "invoice_items": [item]}
    if ends:
        parameters["subscription_details"] = dict(ends)
    if automatic_tax:
        parameters["automatic_tax"] = {"enabled": True}
    seen = await gateway.call(gateway.sdk.v1.invoices.create_preview_async(parameters))  # type: ignore[arg-type]
    total = tax = 0
    for found in seen.lines.data:
        if found.metadata and OUR_PRINT_CHANGE in found.metadata and found.metadata[OUR_PRINT_CHANGE] == PREVIEW:
            taxes = found.taxes or ()
            tax += sum(one.amount for one in taxes)
            total += found.amount + sum(one.amount for one in taxes if one.tax_behavior == "exclusive")
    customer = await customers.fetch(gateway, customer_id)
    return Bill(total=total, tax=tax, credit=customer.credit.get(line["price_data"]["currency"], 0))


async def create_draft(gateway: Gateway, parameters: Mapping[str, Any], *, key: str) -> str:
    """Create the draft of a stored intent, without lines, and return its ID."""
    made = await gateway.call(
        gateway.sdk.v1.invoices.create_async(dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
    )
    return made.id


async def add_line(gateway: Gateway, parameters: Mapping[str, Any], *, key: str) -> None:
    """Add the line of a stored intent to a draft."""
    await gateway.call(
        gateway.sdk.v1.invoice_items.create_async(dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
    )


async def invoice(gateway: Gateway, invoice_id: str) -> PrintInvoice:
    """Fetch the invoice."""
    seen = await gateway.read(f"/v1/invoices/{quote(invoice_id, safe='')}")
    is_processing = seen.status == InvoiceStatus.OPEN and await _is_processing(gateway, invoice_id)
    return PrintInvoice(
        id=seen.id,
        status=seen.status or InvoiceStatus.DRAFT,
        total=seen.total,
        remaining=seen.amount_remaining,
        pay_url=None if is_processing else seen.get("hosted_invoice_url"),
        has_line=bool(seen.lines.data),
        is_processing=is_processing,
    )


async def _is_processing(gateway: Gateway, invoice_id: str) -> bool:
    """Return whether a payment of an open invoice is on its way."""
    tried = await gateway.read_every(
        "/v1/invoice_payments", invoice=invoice_id, status="open", expand=["data.payment.payment_intent"], limit=100
    )
    attempts = [one.payment.get("payment_intent") for one in tried]
    return any(attempt is not None and attempt.status == PaymentStatus.PROCESSING for attempt in attempts)


async def delete_lines(gateway: Gateway, invoice_id: str) -> None:
    """Delete the lines of a draft. DELETE takes no idempotency key; what was deleted before is no longer listed."""
    for item in await gateway.every(gateway.sdk.v1.invoice_items.list_async({"invoice": invoice_id, "limit": 100})):
        await gateway.call(gateway.sdk.v1.invoice_items.delete_async(item.id))


async def pay(gateway: Gateway, invoice_id: str, parameters: Mapping[str, Any], *, key: str) -> None:
    """
    Pay an open invoice as a stored intent says.

    :raises StripeRefused: the payment failed, or must be confirmed by the reader (:data:`CONFIRMATION_NEEDED`).
    """
    await gateway.call(
        gateway.sdk.v1.invoices.pay_async(invoice_id, dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
    )
