"""How many issues a payment bought, and how many of them were served."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.issues import Calendar, ScheduledTerm
from app.domain.subscriptions import Payment, Term

OPENING = frozenset({"subscription_create", "subscription_cycle"})  # billing reasons of invoices that open a term


@dataclass(frozen=True, slots=True)
class IssueProgress:
    """How many issues a payment bought, and how many of them have been served."""

    bought: int
    served: int


def with_labels_closed(calendar: Calendar, now: datetime) -> Calendar:
    """
    Return the calendar as it will be when the labels that have closed are frozen.

    Between the cut-off and the freeze, a refund doesn't stop a copy anymore, but the copy doesn't count as served yet.
    """
    closed = {
        issue.number: calendar.ends(issue.closes_on)
        for issue in calendar.issues
        if issue.frozen_at is None and calendar.ends(issue.closes_on) <= now < calendar.begins(issue.mail_date)
    }
    if not closed:
        return calendar
    frozen = (replace(issue, frozen_at=closed.get(issue.number, issue.frozen_at)) for issue in calendar.issues)
    return Calendar(frozen, calendar.zone)


def term_of(payment: Payment, terms: Sequence[Term]) -> Term | None:
    """
    Return the term that a payment opened, or otherwise the one within which it was made; see :func:`term_within`.

    The first part of a renewal that is not paid in full yet has no term.
    """
    opened = next((term for term in terms if term.invoice_id == payment.invoice_id), None)
    if opened is not None or (payment.billing_reason in OPENING and payment.print_from is None):
        return opened
    return term_within(terms, print_from=payment.print_from, paid_at=payment.paid_at)


def term_within(terms: Sequence[Term], *, print_from: datetime | None, paid_at: datetime) -> Term | None:
    """
    Return the term within which something was paid: where the print that it paid for begins, or else the current one.

    A bank debit takes days. If the subscription renews meanwhile, the print is still a part of the term before.
    :mod:`app.db.progress` is the same rule for many payments at once.
    """
    for since in (print_from, paid_at):
        begun = [term for term in terms if since is not None and term.starts_at <= since]
        if begun:
            return max(begun, key=lambda term: (term.starts_at, term.invoice_id))
    return None


def progress_of(
    payments: Sequence[Payment], terms: Sequence[Term], runs: Sequence[ScheduledTerm], *, now: datetime
) -> dict[str, IssueProgress]:
    """
    Return the progress of each payment, by payment ID.

    A payment that opened a term bought all its issues, and paid for the grace copies before it. A later payment for print
    bought the copies of the time that it paid for, and any other later payment the issues remaining at that time. A term
    that was replaced and whose rest was credited has nothing left to refund.
    """
    laid = {run.term.invoice_id: run for run in runs}
    found = {}
    for payment in payments:
        term = term_of(payment, terms)
        run = laid.get(term.invoice_id) if term is not None else None
        if term is None or run is None:
            continue
        ledger = run.ledger(now)
        if payment.invoice_id != term.invoice_id and payment.print_from is not None:
            bought, served = _print_copies(run, payment.print_from, payment.print_until, now)
        else:
            before = 0 if payment.invoice_id == term.invoice_id else run.ledger(payment.paid_at).received
            bought, served = ledger.sold - before, ledger.received - before
        found[payment.id] = IssueProgress(bought=bought, served=bought if term.credited_at is not None else served)
    return found


def _print_copies(run: ScheduledTerm, since: datetime, until: datetime | None, now: datetime) -> tuple[int, int]:
    """Return how many copies of a term a payment for print in a period bought, and how many of them were served."""
    first = run.calendar.begin(since, doubles=run.doubles, print_edition=True)
    last = run.ranges[-1][1]
    if until is not None and until < run.term.ends_at:
        last = min(last, run.calendar.begin(until, doubles=run.doubles, print_edition=True))
    out = run.copies_served(min(now, run.ended_at) if run.ended_at is not None else now)
    bought = sum(_overlap(start, end, first, last) for start, end in run.ranges)
    return bought, sum(_overlap(start, end, first, min(last, out)) for start, end in run.ranges)


def _overlap(start: int, end: int, first: int, last: int) -> int:
    """Return how many copies two ranges share."""
    return max(0, min(end, last) - max(start, first))
