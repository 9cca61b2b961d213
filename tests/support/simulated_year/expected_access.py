"""
What must be true of a reader, by Stripe's books alone.

The rules are those of docs/concepts, said once more and in another way than in the service: here a term is looked up
from the books each time it is asked for, there it is derived once, kept and fenced.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass

from tests.support.simulated_year.stripe_records import Json, StripeRecords

DAY = 86400
ALLOWANCE, GRACE = 3 * DAY, 14 * DAY
TAKEN_BACK = {"needs_response", "under_review", "appeal_needs_response", "appeal_under_review"}
# A refund that says so ends the term, in whatever part; one that says nothing was made by hand, and does when it is whole.
ENDING = {"guarantee", "unserved_issues", "duplicate", "paid_after_end", "fraud_warning"}


@dataclass(frozen=True)
class ExpectedAccess:
    """Whether a reader may read, and until when (in epoch seconds; None: not)."""

    allowed: bool
    until: int | None
    reach: int = 0  # until when without a gap, should nothing new be heard


@dataclass(frozen=True)
class _Term:
    starts: int
    ends: int
    gone: str | None  # why it is never granted
    suspended: bool


def expected_access(books: StripeRecords, customer: str, *, now: int, ended_for_one: Set[str]) -> ExpectedAccess:
    """
    Say whether a customer may read at ``now``.

    :param ended_for_one: the subscriptions that a lost dispute or a warning of fraud ended: what other payments bought there
        runs to its end. The books do not tell why a subscription was cancelled.
    """
    spells = [
        spell
        for subscription in books.subscriptions.get(customer, [])
        for spell in _spells(books, subscription, for_one=subscription["id"] in ended_for_one)
    ]
    running = [until for starts, until in spells if starts <= now < until]
    reach = max(running, default=0)
    for starts, until in sorted(spells):
        reach = max(reach, until) if starts <= reach else reach
    return ExpectedAccess(bool(running), max(running, default=None), reach)


def _spells(books: StripeRecords, subscription: Json, *, for_one: bool) -> Iterator[tuple[int, int]]:
    terms = list(_terms(books, subscription))
    counted = [term for term in terms if term.gone is None]
    newest = max((term.ends for term in counted), default=0)
    ended = subscription["ended_at"]
    for term in counted:
        if term.suspended:
            continue
        until = term.ends
        spells = [(term.starts, until)]
        if term.ends == newest and ended is None:
            spells += _beyond(subscription, term.ends)
        for starts, until in spells:
            if ended is None or (for_one and term.starts < ended):
                yield starts, until
            elif starts < ended:
                yield starts, min(until, ended)


def _beyond(subscription: Json, ends: int) -> list[tuple[int, int]]:
    if subscription["pause_collection"] is not None:
        return []  # what comes next is not charged, so nothing is expected
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
        yield _Term(line["period"]["start"], line["period"]["end"], gone, bool(statuses & TAKEN_BACK))


def _ended_by_refund(books: StripeRecords, intent: str, paid: int) -> str | None:
    # One that failed in the end had ended the term before, and by policy access stays ended.
    given = books.refunds.get(intent, [])
    for refund in given:
        if refund["metadata"].get("newsstand_basis") in ENDING:
            return str(refund["metadata"]["newsstand_basis"])
    back = [refund for refund in given if refund["status"] != "failed"]
    for by_hand in (refund for refund in back if "newsstand_refund" not in refund["metadata"]):
        if sum(r["amount"] for r in back if r["created"] <= by_hand["created"]) >= paid > 0:
            return "by_hand"
    return None  # goodwill, though it be the rest of what had gone back in part by hand


def _product(line: Json) -> str:
    return str(line["pricing"]["price_details"]["product"])
