"""
The access that a reader must have according to Stripe's records alone.

The rules are those of docs/concepts, implemented independently of the service: this module derives terms from the records
each time, while the service derives them once and stores them.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass

from tests.support.simulated_year.stripe_records import (
    Json,
    StripeRecords,
    confirmed,
    credits_of_payments,
    payments_of,
    term_line,
)

DAY = 86400
ALLOWANCE, GRACE = 3 * DAY, 14 * DAY
OPEN_ENDED = 2**40  # while a payment is processing, no end is known
OPEN_DISPUTE = {"needs_response", "under_review", "appeal_needs_response", "appeal_under_review"}
# A refund with one of these bases ends the term, even a partial one. A manual refund ends it only if it is full.
ENDING = {"guarantee", "unserved_issues", "duplicate", "paid_after_end", "fraud_warning"}
PAYMENT_FAILURES = {"first_payment_failure", "final_payment_failure"}
Period = tuple[int, int]


@dataclass(frozen=True)
class ExpectedAccess:
    """Whether a reader has access, and until when (in epoch seconds; None without access, or if no end is known)."""

    allowed: bool
    until: int | None
    reach: int = 0  # the end of continuous access if nothing changes


@dataclass(frozen=True)
class ExpectedTerm:
    """A paid term of a subscription. The times are in epoch seconds."""

    invoice: Json
    starts: int
    ends: int
    gone: str | None  # why the term grants nothing
    suspended: bool


def expected_access(books: StripeRecords, customer: str, *, now: int, outlived: Set[str]) -> ExpectedAccess:
    """
    Return the access that a customer must have at ``now``.

    :param outlived: the subscriptions whose paid terms run to their own end although the subscription has ended: because of
        a lost dispute or a fraud warning of another payment, or because their reader canceled a renewal that was not paid.
        Stripe's records do not say why a subscription was canceled.
    """
    periods = [
        period
        for subscription in books.subscriptions.get(customer, [])
        for period in _periods(books, subscription, outlived=subscription["id"] in outlived)
    ]
    running = [until for starts, until in periods if starts <= now < until]
    reach = max(running, default=0)
    for starts, until in sorted(periods):
        reach = max(reach, until) if starts <= reach else reach
    ends = max(running, default=OPEN_ENDED)
    return ExpectedAccess(bool(running), None if ends == OPEN_ENDED else ends, reach)


def _periods(books: StripeRecords, subscription: Json, *, outlived: bool) -> Iterator[Period]:
    counted = [term for term in expected_terms(books, subscription) if term.gone is None]
    newest = max((term.ends for term in counted), default=0)
    ended = subscription["ended_at"]
    for term in counted:
        if term.suspended:
            continue
        periods = [(term.starts, term.ends)]
        if term.ends == newest and ended is None:
            periods += _beyond(books, subscription, term.ends)
        for starts, until in periods:
            if ended is None or (outlived and term.starts < ended):
                yield starts, until
            elif starts < ended:
                yield starts, min(until, ended)


def _beyond(books: StripeRecords, subscription: Json, ends: int) -> list[Period]:
    """Return the access after the newest paid term: while its renewal is awaited, or after it failed."""
    renewal = _renewal(books, subscription, ends)
    status = subscription["status"]
    if renewal is not None and renewal["status"] != "void" and books.is_processing(renewal):
        return [(ends, OPEN_ENDED)]
    sent = renewal is not None and renewal["status"] == "open" and renewal["collection_method"] == "send_invoice"
    due = renewal["due_date"] if renewal is not None and sent else None
    match status:
        case "paused":
            why = subscription["status_details"]["paused"]["subscription"]["type"]
            return [(ends, ends + GRACE)] if why in PAYMENT_FAILURES else []
        case "past_due":
            return [(ends, (max(ends, due) if due else ends) + GRACE)]
        case "active" | "trialing" if subscription["pause_collection"] is None:
            stops = _stops_at(subscription)
            if stops is not None and stops <= ends:
                return []
            return [(ends, max(ends, due) + GRACE if due else ends + ALLOWANCE)]
        case _:
            return []


def _stops_at(subscription: Json) -> int | None:
    if subscription["cancel_at"] is None and subscription["cancel_at_period_end"]:
        return int(max(item["current_period_end"] for item in subscription["items"]["data"]))
    return subscription["cancel_at"]  # type: ignore[no-any-return]


def _renewal(books: StripeRecords, subscription: Json, ends: int) -> Json | None:
    """Return the unpaid invoice for the term after the newest paid one."""
    unpaid = []
    for invoice in books.invoices.get(subscription["id"], []):
        line = term_line(invoice)
        if line is not None and invoice["status"] != "paid" and line["period"]["end"] > ends:
            unpaid.append((books.is_processing(invoice), line["period"]["start"], invoice["status"] == "open", invoice))
    return max(unpaid, key=lambda one: one[:3], default=(None,))[-1]


def expected_terms(books: StripeRecords, subscription: Json) -> Iterator[ExpectedTerm]:
    """Yield the paid terms of a subscription, also those that were refunded."""
    for invoice in books.invoices.get(subscription["id"], []):
        line = term_line(invoice)
        if invoice["status"] != "paid" or line is None:
            continue
        payments = dict(payments_of(invoice))
        statuses = {d["status"] for payment in payments for d in books.disputes.get(payment, [])}
        gone = "dispute_lost" if "lost" in statuses else None
        for payment, paid in payments.items():
            gone = gone or _ended_by_refund(books, invoice, payment, paid)
        for addition in _additions(books, subscription, line):
            gone = gone or _ended_by_basis(books, addition)
        yield ExpectedTerm(invoice, line["period"]["start"], line["period"]["end"], gone, bool(statuses & OPEN_DISPUTE))


def _additions(books: StripeRecords, subscription: Json, term: Json) -> Iterator[str]:
    """Yield the payments of what was added within a term, such as print."""
    for invoice in books.invoices.get(subscription["id"], []):
        within = any(
            term["period"]["start"] <= line["period"]["start"] < term["period"]["end"]
            for line in invoice["lines"]["data"]
        )
        if term_line(invoice) is None and within:
            yield from dict(payments_of(invoice))


def _ended_by_basis(books: StripeRecords, payment: str) -> str | None:
    # A refund ended the term even if it failed later: by policy, access stays ended.
    for refund in books.refunds.get(payment, []):
        if refund["metadata"].get("newsstand_basis") in ENDING:
            return str(refund["metadata"]["newsstand_basis"])
    return None


def _ended_by_refund(books: StripeRecords, invoice: Json, payment: str, paid: int) -> str | None:
    basis = _ended_by_basis(books, payment)
    if basis is not None:
        return basis
    refunds = confirmed(books.refunds.get(payment, []))
    back = [(one["created"], one["amount"], "newsstand_refund" not in one["metadata"]) for one in refunds]
    if len(dict(payments_of(invoice))) == 1:  # credit notes name the invoice, not a payment
        back += [(created, amount, True) for created, amount in credits_of_payments(books, invoice)]
    for at in (at for at, _, by_hand in back if by_hand):
        if sum(amount for created, amount, _ in back if created <= at) >= paid > 0:
            return "by_hand"
    return None  # goodwill, even if it refunds the rest after a manual partial refund
