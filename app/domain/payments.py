"""The payments that follow from a subscription's invoices, and what of each was for print."""

from fractions import Fraction

from app.domain.invoice_lines import print_share
from app.domain.liability import SHARE_DENOMINATOR
from app.domain.plans import Catalogue
from app.domain.subscriptions import Payment, StripeInvoiceState, StripeSubscriptionState


def payments_of(seen: StripeSubscriptionState, catalogue: Catalogue) -> list[Payment]:
    """
    Return all payments of the invoices, the earliest first.

    :param catalogue: decides which share of a payment print earns, if a plan has one. The first answer is kept.
    """
    found = [payment for invoice in seen.invoices for payment in _payments_of(invoice, _share_of(invoice, catalogue))]
    return sorted(found, key=lambda payment: (payment.paid_at, payment.id))


def _share_of(invoice: StripeInvoiceState, catalogue: Catalogue) -> Fraction:
    """Return the share of an invoice's payments that print earns: that of the catalogue, or else that of the prices."""
    effect = invoice.effect
    code = effect.plan or (effect.switched[-1][0] if effect.switched else "")
    plan = catalogue.plans.get(code)
    share = plan.print_share if plan is not None and plan.print_percent is not None else print_share(invoice.lines)
    return share.limit_denominator(SHARE_DENOMINATOR)


def _payments_of(invoice: StripeInvoiceState, share: Fraction) -> list[Payment]:
    """
    Return the payments of an invoice, the earliest first.

    The tax of a payment follows from what was paid before and with it, not from later payments, so it doesn't change when
    the next part arrives. The payment that completes the total gets the remainder of the rounding. The customer balance pays
    its share of the tax.
    """
    effect, found, paid, taxed, printed_before = invoice.effect, [], 0, 0, 0
    print_total = min(max(effect.print_total, 0), max(invoice.total, 0))
    printed = effect.print_added[0] if effect.span is None and effect.print_added else None
    for payment in sorted(invoice.payments, key=lambda one: (one.paid_at, one.id)):
        paid = min(paid + payment.amount, max(invoice.total, 0))
        tax = invoice.tax * paid // invoice.total - taxed if invoice.total > 0 else 0
        taxed += tax
        print_amount = print_total * paid // invoice.total - printed_before if invoice.total > 0 else 0
        printed_before += print_amount
        found.append(
            Payment(
                id=payment.id,
                invoice_id=invoice.id,
                amount=payment.amount,
                tax=tax,
                currency=invoice.currency,
                paid_at=payment.paid_at,
                billing_reason=invoice.billing_reason,
                invoice_number=invoice.number,
                kind=payment.kind,
                print_from=printed.starts_at if printed else None,
                print_until=printed.ends_at if printed else None,
                print_amount=print_amount,
                print_share=share,
            )
        )
    return found
