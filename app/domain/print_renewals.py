"""Renewals that bill print which had been dropped before: which ones, and what is returned of them."""

from dataclasses import replace
from datetime import datetime

from app.domain.invoices import InvoiceStatus
from app.domain.print_changes import PrintChangeKind
from app.domain.print_quotes import SECOND, PrintCase, PrintQuote, balance_parts, dropped_parts, refund_refusal
from app.domain.refunds import NoCalendar
from app.domain.subscriptions import StripeInvoiceState, StripeSubscriptionState, Subscription, Term

UNPAID = frozenset({InvoiceStatus.DRAFT, InvoiceStatus.OPEN})
_BILLED = UNPAID | {InvoiceStatus.PAID, InvoiceStatus.UNCOLLECTIBLE}


def lacks_print(subscription: Subscription, term: Term | None) -> bool:
    """Return whether a term was billed without the print that its subscription includes."""
    includes = subscription.is_live and subscription.print_edition
    return includes and term is not None and not term.print_edition


def billed_since(seen: StripeSubscriptionState, dropped_at: datetime) -> list[tuple[StripeInvoiceState, datetime]]:
    """
    Return the invoices of later terms that bill print although it was dropped before, each with when print ends in its term.

    The renewal takes what the subscription includes when its period turns, and is charged an hour later. Print ends a second
    after the start of the term, because it must have begun. An uncollectible invoice is among them: it can still be paid.
    """
    found = []
    for invoice in seen.invoices:
        effect = invoice.effect
        if effect.span is None or effect.span.starts_at <= dropped_at or invoice.status not in _BILLED:
            continue
        if any(one.starts_at < effect.span.ends_at for one in effect.print_added):
            found.append((invoice, effect.span.starts_at + SECOND))
    return found


def paid_since(seen: StripeSubscriptionState) -> list[tuple[StripeInvoiceState, datetime]]:
    """Return the paid invoices of terms in which print ended as soon as they began, each with that time."""
    billed = billed_since(seen, min(seen.print_dropped)) if seen.print_dropped else []
    return [(one, at) for one, at in billed if one.status == InvoiceStatus.PAID and at in seen.print_dropped]


def quote_return(case: PrintCase, at: datetime) -> PrintQuote:
    """
    Return the quote for print that a renewal billed although it had been dropped: from ``at``, in the term of the renewal.

    Nobody decides about it anymore, so the state of the subscription doesn't matter.
    """
    currency = case.subscription.currency
    if case.term is None or case.run is None:
        return PrintQuote(kind=PrintChangeKind.DROP, currency=currency, refusal=NoCalendar())
    ends_at = case.term.ends_at
    case = replace(case, dropped_at=None)  # nothing of that term is settled
    parts = dropped_parts(case, at)
    return PrintQuote(
        kind=PrintChangeKind.DROP,
        currency=currency,
        tax=sum(part.tax for part in parts),
        total=sum(part.amount for part in parts),
        parts=parts,
        to_balance=balance_parts(case, at),
        starts_at=at,
        ends_at=ends_at,
        refusal=refund_refusal(case, parts),
    )
