"""The terms that follow from a subscription's paid invoices."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from math import floor

from app.domain.invoice_lines import InvoiceEffect, LineKind, Span, print_spans
from app.domain.plans import Catalogue, Plan
from app.domain.subscriptions import StripeInvoiceState, StripeItemState, StripeSubscriptionState, Term

MONTHS = {"month": 1, "year": 12}
MONTH = timedelta(days=365.2425) / 12
TOLERANCE = timedelta(days=3)  # by which whole months differ from their average length


def terms_of(seen: StripeSubscriptionState, catalogue: Catalogue) -> list[Term]:
    """
    Return the terms that the paid invoices opened, the earliest first.

    An invoice that a promotion made free counts as paid and opens a term; a trial's invoice doesn't. A term owes issues in
    proportion to its period. If the rest of a term was credited when the next one started (a change of the interval, a reset
    billing date), it ends there. A change of the plan within a term changes the plan of that term.
    """
    paid = sorted(
        ((invoice, invoice.effect) for invoice in seen.invoices if invoice.status == "paid"),
        key=lambda one: (one[0].period_start, one[0].id),
    )
    effects = [effect for _, effect in paid]
    printed = print_spans([*effects, *_dropped(seen, effects)], apart=seen.print_dropped)
    terms = [_opened(invoice, effect, catalogue) for invoice, effect in paid]
    found = [_changed(term, effects, catalogue) for term in terms if term is not None]
    return sorted(
        (_with_print(term, printed) for term in found),
        key=lambda term: (term.starts_at, term.invoice_id),
    )


def _dropped(seen: StripeSubscriptionState, effects: Sequence[InvoiceEffect]) -> list[InvoiceEffect]:
    """Return the ends of print that we brought about: no line of an invoice shows them, because the rest was refunded."""
    periods = [effect.span for effect in effects if effect.span is not None]
    ended = [Span(at, one.ends_at) for at in seen.print_dropped for one in periods if one.contains(at)]
    return [InvoiceEffect(print_ended=tuple(ended))] if ended else []


def _opened(invoice: StripeInvoiceState, effect: InvoiceEffect, catalogue: Catalogue) -> Term | None:
    if effect.plan is None or effect.span is None or effect.plan not in catalogue.plans:
        return None
    whole = [line for line in invoice.lines if line.kind is LineKind.PERIOD and line.span == effect.span]
    return Term(
        invoice_id=invoice.id,
        plan=effect.plan,
        print_edition=False,
        starts_at=effect.span.starts_at,
        ends_at=effect.span.ends_at,
        issues_owed=issues_in(catalogue.plan(effect.plan), effect.span),
        price=sum(line.amount for line in whole) if whole else None,
        discount=sum(line.discount for line in whole),
        paid_by_balance=invoice.paid_by_balance,
    )


def _changed(term: Term, effects: Sequence[InvoiceEffect], catalogue: Catalogue) -> Term:
    """Return a term after the changes that later invoices made to it."""
    span = Span(term.starts_at, term.ends_at)
    for effect in effects:
        for plan, at in effect.switched:
            if span.contains(at) and plan in catalogue.plans and plan != term.plan:
                rest = (span.ends_at - at) / (span.ends_at - span.starts_at)
                owed = term.issues_owed * (1 - rest) + issues_in(catalogue.plan(plan), span) * rest
                term = replace(term, plan=plan, issues_owed=round(owed), price=None)
    unused = [one for effect in effects for one in effect.unused]  # a pause may have credited it in an invoice before
    starts = [effect.span.starts_at for effect in effects if effect.span is not None]
    ends = [at for at in starts if span.starts_at < at < span.ends_at and any(credit.contains(at) for credit in unused)]
    return replace(term, ends_at=min(ends), credited_at=min(ends)) if ends else term


def _with_print(term: Term, printed: Sequence[Span]) -> Term:
    """Return a term with the periods of it in which print is paid for."""
    within = [
        Span(max(one.starts_at, term.starts_at), min(one.ends_at, term.ends_at))
        for one in printed
        if one.starts_at < term.ends_at and one.ends_at > term.starts_at
    ]
    if not within:
        return term
    last = within[-1]
    return replace(
        term,
        print_edition=True,
        print_from=last.starts_at if last.starts_at > term.starts_at else None,
        print_until=last.ends_at if last.ends_at < term.ends_at else None,
        earlier_print=tuple(within[:-1]),
    )


def issues_in(plan: Plan, span: Span) -> int:
    """Return how many issues a plan owes for a period: in proportion to the plan's own, rounded, halves up."""
    length = span.ends_at - span.starts_at
    months = round(length / MONTH)
    share = Fraction(months, MONTHS[plan.interval])
    if months == 0 or abs(length - months * MONTH) > TOLERANCE:
        share = Fraction(length // timedelta(seconds=1), MONTH * MONTHS[plan.interval] // timedelta(seconds=1))
    return floor(plan.issues * share + Fraction(1, 2))


def uneven_interval(item: StripeItemState, plan: Plan) -> str | None:
    """Return how often an item is billed, if the plan's issues can't be divided evenly by that; otherwise None."""
    if item.interval is None:
        return None
    months = MONTHS.get(item.interval, 0) * item.interval_count
    if months and (plan.issues * months) % MONTHS[plan.interval] == 0:
        return None
    return item.interval if item.interval_count == 1 else f"{item.interval_count} {item.interval}s"
