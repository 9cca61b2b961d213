"""
The print edition, added and dropped within a term, in phases that can each be repeated:

1. Under the subscriber's lock the quote is checked and the change is stored, with the refunds of a removal
   (:mod:`.requests`).
2. An addition is billed by an invoice of its own, without pending items, which is finalized and paid. Only then print joins
   the subscription, without proration. If the payment fails, the invoice is voided and nothing changes (:mod:`.additions`).
3. A removal takes print from the subscription, without proration. Then its refunds are paid (:mod:`.removals`).

A worker completes what was interrupted (:mod:`.completion`). Each subscription has one change at a time.
"""

from app.services.print_changes.completion import finish
from app.services.print_changes.requests import PrintEditionRequest, PrintEditionStatus, change, quote

__all__ = ["PrintEditionRequest", "PrintEditionStatus", "change", "finish", "quote"]
