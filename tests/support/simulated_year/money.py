"""
What must be true of all money, according to Stripe's records and the answers that readers got. Amounts in minor units.

No path returns more than was paid, credits included; and nobody pays for a term that they could not use.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.support.simulated_year.expected_access import ENDING, expected_terms
from tests.support.simulated_year.stripe_records import (
    Json,
    StripeRecords,
    balance_of,
    cash_of,
    confirmed,
    payments_of,
    term_line,
)


@dataclass(frozen=True)
class Answer:
    """What a reader was told at a time, in epoch seconds."""

    at: int
    allowed: bool


def over_returned(books: StripeRecords) -> Iterator[str]:
    """Yield each payment, invoice and customer of whose money more was returned than was paid."""
    cash, back = defaultdict[str, int](int), defaultdict[str, int](int)
    for invoice in books.every_invoice():
        for payment, paid in payments_of(invoice):
            refunded = sum(one["amount"] for one in confirmed(books.refunds.get(payment, [])))
            if refunded > paid:
                yield f"{invoice['customer']}, {payment}: {refunded} of {paid} was refunded"
        paid, returned = cash_of(invoice) + balance_of(invoice), books.returned(invoice)
        if returned > paid:
            yield f"{invoice['customer']}, {invoice['id']}: {returned} of {paid} was returned, credits included"
        cash[invoice["customer"]] += cash_of(invoice)
        back[invoice["customer"]] += _cash_returned(books, invoice)
    for customer in books.customers:
        name = customer["id"]
        left, funded = credit_of(books, customer), cash[name] + books.gifts.get(name, 0)
        if back[name] + left > funded:
            yield f"{name}: {back[name]} was returned and {left} is credit, but only {funded} was paid or given"


def _cash_returned(books: StripeRecords, invoice: Json) -> int:
    notes = [note for note in books.credit_notes.get(invoice["id"], []) if note["status"] == "issued"]
    outside: int = sum(int(note["out_of_band_amount"] or 0) for note in notes)
    refunds = [one for payment, _ in payments_of(invoice) for one in confirmed(books.refunds.get(payment, []))]
    return outside + int(sum(refund["amount"] for refund in refunds))


def credit_of(books: StripeRecords, customer: Json) -> int:
    """Return a customer's unspent credit: in the balance, and in credits that wait for the next invoice."""
    waiting = sum(item["amount"] for item in books.pending_items.get(customer["id"], []))
    return int(max(0, -customer["balance"] - min(0, waiting)))


def kept(books: StripeRecords, invoice: Json) -> int:
    """Return what the publisher keeps of what was paid for an invoice. What a bank took back is not kept."""
    lost: int = sum(
        dispute["amount"]
        for payment, _ in payments_of(invoice)
        for dispute in books.disputes.get(payment, [])
        if dispute["status"] == "lost"
    )
    return cash_of(invoice) - books.returned(invoice) - lost


def paid_for_nothing(books: StripeRecords, ended_by_readers: Mapping[str, int], shown: set[str]) -> Iterator[str]:
    """
    Yield each invoice that bought nothing and is kept.

    It was paid after its subscription had ended, or after its reader had canceled, or only in part.

    :param ended_by_readers: since when a subscription is canceled, by ID.
    :param shown: the payments that staff see. What was paid outside Stripe can't be refunded through Stripe.
    """
    for subscription in books.every_subscription():
        ends = [subscription["ended_at"], ended_by_readers.get(subscription["id"])]
        ended = min((at for at in ends if at is not None), default=None)
        for invoice in books.invoices.get(subscription["id"], []):
            paid_at = invoice["status_transitions"]["paid_at"]
            late = ended is not None and paid_at is not None and paid_at > ended and term_line(invoice) is not None
            in_part = invoice["status"] != "paid" or invoice["pre_payment_credit_notes_amount"] > 0
            if not late and not (in_part and subscription["ended_at"] is not None):
                continue
            left = kept(books, invoice) - _outside(invoice, shown)
            if left > 0:
                what = f"{invoice['customer']}, {invoice['id']} of {subscription['id']}"
                yield f"{what} bought nothing, and {left} of it is kept (paid at {paid_at}, ended at {ended})"


def _outside(invoice: Json, shown: set[str]) -> int:
    """Return what was paid of an invoice outside Stripe, and is shown to staff."""
    payments = dict(payments_of(invoice))
    reported = {payment: amount for payment, amount in payments.items() if payment.startswith("pr_")}
    rest = int(invoice["amount_paid_off_stripe"] or 0) - sum(reported.values())
    return sum(amount for payment, amount in {**reported, f"oob_{invoice['id']}": rest}.items() if payment in shown)


def paid_but_refused(books: StripeRecords, answers: Mapping[str, Sequence[Answer]]) -> Iterator[str]:
    """
    Yield each term whose payment is kept although its reader was refused whenever they asked.

    :param answers: by customer. A dispute suspends its term for as long as it is open.
    """
    for subscription in books.every_subscription():
        for term in expected_terms(books, subscription):
            payments = [payment for payment, _ in payments_of(term.invoice)]
            disputed = any(books.disputes.get(one) for one in payments)
            if disputed or kept(books, term.invoice) <= 0 or _returned_by_rule(books, payments):
                continue
            since = max(term.starts, term.invoice["status_transitions"]["paid_at"] or term.starts)
            until = min(term.ends, subscription["ended_at"] or term.ends)
            asked = [one for one in answers.get(subscription["customer"], []) if since < one.at < until]
            if asked and not any(one.allowed for one in asked):
                what = f"{subscription['customer']}, {term.invoice['id']} of {subscription['id']}"
                yield f"{what} was paid, but its reader was refused {len(asked)} times"


def _returned_by_rule(books: StripeRecords, payments: Sequence[str]) -> bool:
    """Return whether a refund ended the term. It returned all of the payment, or its unserved part."""
    made = [refund for payment in payments for refund in books.refunds.get(payment, [])]
    return any(refund["metadata"].get("newsstand_basis") in ENDING for refund in made)


def dropped_credit(books: StripeRecords, shown: set[str]) -> Iterator[str]:
    """
    Yield each customer without a running subscription whose credit is neither refunded nor shown to staff.

    :param shown: the customers that staff see.
    """
    for customer in books.customers:
        held = books.subscriptions.get(customer["id"], [])
        if any(one["status"] not in {"canceled", "incomplete_expired"} for one in held) or not held:
            continue
        left = credit_of(books, customer)
        if left > 0 and customer["id"] not in shown:
            yield f"{customer['id']} has {left} of credit, and nobody is told"
