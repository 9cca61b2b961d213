"""Credit notes: how a refund is recorded on the paid invoice at Stripe."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.domain.errors import Conflict
from app.domain.refunds import Refund, RefundStatus


class CreditNoteRefused(Conflict):
    """Stripe declined the credit note of a paid refund. The worker tries again, then staff see it."""

    code = "credit_note_refused"
    title = "Stripe declined the credit note"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditedInvoice:
    """An invoice with its lines and the amount credited so far. Amounts in minor units."""

    id: str
    total: int
    credited: int
    lines: tuple[tuple[str, int, int | None], ...]  # ID, amount, quantity


def parameter_variants(refund: Refund, invoice: CreditedInvoice) -> Iterator[dict[str, object]]:
    """
    Yield the parameters of the credit note, the preferred form first.

    A whole invoice is credited line by line, so that the tax of each line is credited exactly. A part is credited as an
    amount, for which Stripe computes the tax. So is a whole invoice, if Stripe declines the lines.

    A credit note can't exceed what is left of the invoice, which is less than the refund if the payment also paid an
    earlier debt. With nothing left there is none.
    """
    amount = min(refund.amount, invoice.total - invoice.credited)
    if amount <= 0:
        return
    linked = {
        "invoice": invoice.id,
        "refunds": [{"refund": refund.stripe_refund_id, "amount_refunded": amount}],
    }
    lines = [
        {"type": "invoice_line_item", "invoice_line_item": line, "quantity": quantity or 1}
        for line, amount, quantity in invoice.lines
        if amount > 0
    ]
    whole = refund.amount == invoice.total and invoice.credited == 0
    if whole and lines and all(amount >= 0 for _, amount, _ in invoice.lines):
        yield {**linked, "lines": lines}
    yield {**linked, "amount": amount}


def reusable_credit_note(refund: Refund, refunds: Sequence[Refund]) -> str | None:
    """
    Return the credit note of an earlier failed refund, if this refund replaces it.

    A credit note stays valid when its refund fails, and a second one would credit more than the invoice's total.
    """
    taken = {r.credit_note_id for r in refunds if r.status not in {RefundStatus.FAILED, RefundStatus.CANCELED}}
    for earlier in refunds:
        free = earlier.credit_note_id is not None and earlier.credit_note_id not in taken
        if (
            earlier.id != refund.id
            and earlier.status in {RefundStatus.FAILED, RefundStatus.CANCELED}
            and free
            and earlier.amount == refund.amount
        ):
            return earlier.credit_note_id
    return None
