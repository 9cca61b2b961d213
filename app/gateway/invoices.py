"""Invoices as readers see them, with the links to Stripe's pages."""

import asyncio
from typing import Any

from app.domain.invoices import InvoiceStatus, InvoiceSummary
from app.domain.pages import Page
from app.gateway.client import Gateway
from app.gateway.fields import moment
from app.gateway.translate import id_or_none

PAGE = 100


async def of_customer(gateway: Gateway, customer_id: str, *, after: str | None, limit: int) -> Page[InvoiceSummary]:
    """
    Return a page of a customer's invoices, newest first, without drafts, and the cursor of the next page.

    :param after: the ID of the last invoice of the previous page.
    """
    more = {"starting_after": after} if after is not None else {}
    listed, charges = await asyncio.gather(
        gateway.read("/v1/invoices", customer=customer_id, expand=["data.payments"], limit=limit, **more),
        gateway.read("/v1/charges", customer=customer_id, limit=PAGE),
    )
    receipts = {id_or_none(one.payment_intent) or one.id: one.receipt_url for one in charges.data}
    shown = [_shown(one, receipts) for one in listed.data if one.status != InvoiceStatus.DRAFT]
    return Page(items=shown, next=listed.data[-1].id if listed.has_more else None)


def _shown(invoice: Any, receipts: dict[str | None, str | None]) -> InvoiceSummary:
    payments = [one.payment for one in (invoice.payments.data if invoice.get("payments") else ())]
    paid = [one.get("payment_intent") or one.get("charge") for one in payments]
    found = (receipts.get(id_or_none(one)) for one in paid if one is not None)
    return InvoiceSummary(
        id=invoice.id,
        number=invoice.number,
        status=invoice.status,
        total=invoice.total,
        paid=invoice.amount_paid,
        currency=invoice.currency,
        created_at=moment(invoice.created),
        hosted_url=invoice.get("hosted_invoice_url"),
        pdf_url=invoice.get("invoice_pdf"),
        receipt_url=next((one for one in found if one), None),
    )
