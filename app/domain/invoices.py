"""Invoices: Stripe's status of one, and one as readers see it. The invoice itself is at Stripe."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class InvoiceStatus(StrEnum):
    """Stripe's status of an invoice."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceSummary:
    """An invoice and its links. Amounts in minor units."""

    id: str
    number: str | None
    status: str
    total: int
    paid: int
    currency: str
    created_at: datetime
    hosted_url: str | None
    pdf_url: str | None
    receipt_url: str | None  # None: nothing was charged
