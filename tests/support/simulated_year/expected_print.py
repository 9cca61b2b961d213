"""
Whether a reader must have print within a paid term, according to Stripe's invoice lines alone.

Print that staff add or drop in the Dashboard counts from when its proration is invoiced and paid; without a proration, from
the next term (docs/concepts/subscription-states.md, "Manual changes at Stripe").
"""

from collections.abc import Iterator

from tests.support.simulated_year.expected_access import ExpectedTerm, Period, expected_terms
from tests.support.simulated_year.stripe_records import Json, StripeRecords, is_whole_period, product_of


def expected_print(books: StripeRecords, customer: str, *, now: int) -> bool | None:
    """Return whether a customer must have print at ``now``; None if this is not within exactly one running paid term."""
    running = []
    for subscription in books.subscriptions.get(customer, []):
        terms = [term for term in expected_terms(books, subscription) if _runs(subscription, term, now)]
        running += [(subscription, term) for term in terms]
    if len(running) != 1:
        return None
    subscription, _ = running[0]
    return any(starts <= now < ends for starts, ends in _print_periods(books.invoices[subscription["id"]]))


def _runs(subscription: Json, term: ExpectedTerm, now: int) -> bool:
    over = subscription["ended_at"] is not None
    return term.gone is None and not term.suspended and not over and term.starts <= now < term.ends


def _print_periods(invoices: list[Json]) -> list[Period]:
    """Return the periods for which print is paid, and not credited."""
    changes = sorted(change for invoice in invoices if invoice["status"] == "paid" for change in _changes(invoice))
    periods: list[Period] = []
    for starts, is_added, ends in changes:
        if is_added:
            periods.append((starts, ends))
        else:
            rests = [rest for one in periods for rest in ((one[0], min(one[1], starts)), (max(one[0], ends), one[1]))]
            periods = [(begins, until) for begins, until in rests if begins < until]
    return periods


def _changes(invoice: Json) -> Iterator[tuple[int, bool, int]]:
    """Yield the start of a change of print by an invoice, whether print is added, and its end."""
    lines = [line for line in invoice["lines"]["data"] if product_of(line).endswith("_print")]
    spans = {True: set[Period](), False: set[Period]()}
    for line in lines:
        period = (line["period"]["start"], line["period"]["end"])
        if is_whole_period(line):
            yield period[0], True, period[1]
        else:
            spans[line["amount"] > 0].add(period)
    paid_at = invoice["status_transitions"]["paid_at"]
    for starts, ends in spans[True] - spans[False]:
        if max(starts, paid_at) < ends:
            yield max(starts, paid_at), True, ends
    for starts, ends in spans[False] - spans[True]:
        yield starts, False, ends
