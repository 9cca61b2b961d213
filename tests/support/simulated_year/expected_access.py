"""
The access that a reader must have according to Stripe's records alone.

The rules are those of docs/concepts, implemented independently of the service: this module derives terms from the records
each time, while the service derives them once and stores them.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass

from tests.support.simulated_year.stripe_records import Json, StripeRecords

DAY = 86400
ALLOWANCE, GRACE = 3 * DAY, 14 * DAY
OPEN_DISPUTE = {"needs_response", "under_review", "appeal_needs_response", "appeal_under_review"}
# A refund with one of these bases ends the term, even a partial one. A manual refund ends it only if it is full.
ENDING = {"guarantee", "unserved_issues", "duplicate", "paid_after_end", "fraud_warning"}


@dataclass(frozen=True)
class ExpectedAccess:
    """Whether a reader has access, and until when (in epoch seconds; None without access)."""

    allowed: bool
    until: int | None
    reach: int = 0  # the end of continuous access if nothing changes


@dataclass(frozen=True)
class _Term:
    starts: int
    ends: int
    gone: str | None  # why the term grants nothing
    suspended: bool


def expected_access(books: StripeRecords, customer: str, *, now: int, ended_by_bank: Set[str]) -> ExpectedAccess:
    """
    Return the access that a customer must have at ``now``.

    :param ended_by_bank: the subscriptions that a lost dispute or a fraud warning ended. The terms of other payments
        run to their end. Stripe's records do not say why a subscription was canceled.
    """
    periods = [
        period
        for subscription in books.subscriptions.get(customer, [])
        for period in _periods(books, subscription, by_bank=subscription["id"] in ended_by_bank)
    ]
    running = [until for starts, until in periods if starts <= now < until]
    reach = max(running, default=0)
    for starts, until in sorted(periods):
        reach = max(reach, until) if starts <= reach else reach
    return ExpectedAccess(bool(running), max(running, default=None), reach)


def _periods(books: StripeRecords, subscription: Json, *, by_bank: bool) -> Iterator[tuple[int, int]]:
    terms = list(_terms(books, subscription))
    counted = [term for term in terms if term.gone is None]
    newest = max((term.ends for term in counted), default=0)
    ended = subscription["ended_at"]
    for term in counted:
        if term.suspended:
            continue
        until = term.ends
        periods = [(term.starts, until)]
        if term.ends == newest and ended is None:
            periods += _beyond(subscription, term.ends)
        for starts, until in periods:
            if ended is None or (by_bank and term.starts < ended):
                yield starts, until
            elif starts < ended:
                yield starts, min(until, ended)


def _beyond(subscription: Json, ends: int) -> list[tuple[int, int]]:
    if subscription["pause_collection"] is not None:
        return []  # the next period is not charged, so no payment is expected
    if subscription["status"] == "past_due":
        return [(ends, ends + GRACE)]
    stops = subscription["cancel_at"]
    if stops is None and subscription["cancel_at_period_end"]:
        stops = max(item["current_period_end"] for item in subscription["items"]["data"])
    if subscription["status"] in {"active", "trialing"} and (stops is None or stops > ends):
        return [(ends, ends + ALLOWANCE)]
    return []


def _terms(books: StripeRecords, subscription: Json) -> Iterator[_Term]:
    for invoice in books.invoices.get(subscription["id"], []):
        if invoice["status"] != "paid" or invoice["billing_reason"] not in {
            "subscription_create",
            "subscription_cycle",
        }:
            continue
        (line, *_) = sorted(invoice["lines"]["data"], key=lambda one: not _product(one).endswith("_digital"))
        payments = [p for p in invoice["payments"]["data"] if p["status"] == "paid"]
        intents = [p["payment"]["payment_intent"] for p in payments]
        statuses = {d["status"] for intent in intents for d in books.disputes.get(intent, [])}
        gone = "dispute_lost" if "lost" in statuses else None
        for payment, intent in zip(payments, intents, strict=True):
            gone = gone or _ended_by_refund(books, intent, payment["amount_paid"])
        yield _Term(line["period"]["start"], line["period"]["end"], gone, bool(statuses & OPEN_DISPUTE))


def _ended_by_refund(books: StripeRecords, intent: str, paid: int) -> str | None:
    # A refund ended the term even if it failed later: by policy, access stays ended.
    refunds = books.refunds.get(intent, [])
    for refund in refunds:
        if refund["metadata"].get("newsstand_basis") in ENDING:
            return str(refund["metadata"]["newsstand_basis"])
    back = [refund for refund in refunds if refund["status"] != "failed"]
    for by_hand in (refund for refund in back if "newsstand_refund" not in refund["metadata"]):
        if sum(r["amount"] for r in back if r["created"] <= by_hand["created"]) >= paid > 0:
            return "by_hand"
    return None  # goodwill, even if it refunds the rest after a manual partial refund


def _product(line: Json) -> str:
    return str(line["pricing"]["price_details"]["product"])
