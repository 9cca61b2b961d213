"""Invoices as readers see them. The invoice itself is at Stripe."""

from dataclasses import dataclass
from datetime import datetime


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
