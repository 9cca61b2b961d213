"""All records of an account at the local Stripe, read at one time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.shop import Shop

Json = dict[str, Any]
GIFT = "simulated_gift"  # the metadata of a balance that staff gave away in the Dashboard


@dataclass(frozen=True)
class StripeRecords:
    """Stripe's records, grouped by the object they belong to."""

    subscriptions: dict[str, list[Json]]  # by customer, earliest first
    invoices: dict[str, list[Json]]  # by subscription, earliest first
    refunds: dict[str, list[Json]]  # by payment
    disputes: dict[str, list[Json]]  # by payment
    customers: list[Json] = field(default_factory=list)
    intents: dict[str, Json] = field(default_factory=dict)  # by ID
    credit_notes: dict[str, list[Json]] = field(default_factory=dict)  # by invoice, earliest first
    pending_items: dict[str, list[Json]] = field(default_factory=dict)  # by customer
    gifts: dict[str, int] = field(default_factory=dict)  # balance that staff gave away, by customer, in minor units

    def every_subscription(self) -> Iterable[Json]:
        """Yield all subscriptions."""
        return (one for each in self.subscriptions.values() for one in each)

    def every_invoice(self) -> Iterable[Json]:
        """Yield all invoices of subscriptions."""
        return (one for each in self.invoices.values() for one in each)

    def paid(self) -> dict[str, tuple[Json, int]]:
        """Return the invoice and amount of every successful payment at Stripe, by payment."""
        return {
            payment: (invoice, amount)
            for invoice in self.every_invoice()
            for payment, amount in payments_of(invoice)
            if not payment.startswith("pr_")
        }

    def is_processing(self, invoice: Json) -> bool:
        """Return whether a payment of an invoice is processing."""
        return any(
            self.intents[payment["payment"]["payment_intent"]]["status"] == "processing"
            for payment in invoice["payments"]["data"]
            if payment["payment"]["type"] == "payment_intent"
        )

    def returned(self, invoice: Json) -> int:
        """Return what of an invoice's payments was returned: refunded, credited, or returned outside Stripe."""
        refunded: int = sum(
            refund["amount"]
            for payment, _ in payments_of(invoice)
            for refund in confirmed(self.refunds.get(payment, []))
        )
        return refunded + sum(returned_by(note) for note in self.credit_notes.get(invoice["id"], []))


def payments_of(invoice: Json) -> Iterator[tuple[str, int]]:
    """Yield the payments of an invoice and their amounts: payment intents, charges, and reports of other payments."""
    for payment in invoice["payments"]["data"]:
        if payment["status"] == "paid":
            yield payment["payment"][payment["payment"]["type"]], payment["amount_paid"]


def cash_of(invoice: Json) -> int:
    """Return what was paid for an invoice, at Stripe and outside of it, without the customer's balance."""
    at_stripe = sum(amount for payment, amount in payments_of(invoice) if not payment.startswith("pr_"))
    return at_stripe + int(invoice["amount_paid_off_stripe"] or 0)


def balance_of(invoice: Json) -> int:
    """Return what the customer's balance paid of an invoice."""
    if invoice["status"] == "draft" or invoice["ending_balance"] is None:
        return 0
    return int(max(0, min(invoice["ending_balance"], 0) - min(invoice["starting_balance"], 0)))


def returned_by(note: Json) -> int:
    """Return what a credit note returns beside refunds."""
    return to_balance(note) + returned_outside(note)


def returned_outside(note: Json) -> int:
    """Return what was returned outside Stripe, according to a credit note."""
    return int(note["out_of_band_amount"] or 0) if note["status"] == "issued" else 0


def to_balance(note: Json) -> int:
    """Return what a credit note adds to the customer's balance."""
    if note["status"] != "issued" or note.get("customer_balance_transaction") is None:
        return 0
    linked = sum(link["amount_refunded"] for link in note["refunds"])
    return int(note["post_payment_amount"] - linked - returned_outside(note))


def credits_of_payments(books: StripeRecords, invoice: Json) -> Iterator[tuple[int, int]]:
    """
    Yield when credit notes returned what of an invoice's payments.

    What the customer's balance paid goes back to the balance first; only the rest is returned of the payments.
    """
    of_balance = balance_of(invoice)
    for note in books.credit_notes.get(invoice["id"], []):
        back = min(of_balance, to_balance(note))
        of_balance -= back
        amount = returned_by(note) - back
        if amount > 0:
            yield note["created"], amount


def confirmed(refunds: Iterable[Json]) -> list[Json]:
    """Return the refunds that were paid or will be."""
    return [one for one in refunds if one["status"] not in {"failed", "canceled"}]


def is_whole_period(line: Json) -> bool:
    """Return whether an invoice line bills a whole period of a subscription item."""
    details = line["parent"]["subscription_item_details"]
    return details is not None and not details["proration"]


def product_of(line: Json) -> str:
    """Return the product of an invoice line."""
    return str(line["pricing"]["price_details"]["product"])


def term_line(invoice: Json) -> Json | None:
    """Return the line of an invoice that bills a period of the digital edition, if there is one."""
    lines = [one for one in invoice["lines"]["data"] if is_whole_period(one) and product_of(one).endswith("_digital")]
    return max(lines, key=lambda line: line["period"]["end"], default=None)


async def list_all(shop: Shop, path: str, **query: str) -> list[Json]:
    """Return all objects of a list, page by page."""
    found: list[Json] = []
    while True:
        more = {"starting_after": found[-1]["id"]} if found else {}
        page = await shop.stripe_get(path, limit="100", **query, **more)
        found += page["data"]
        if not page["has_more"]:
            return found


async def read(shop: Shop, *, given_to: Iterable[str] = ()) -> StripeRecords:
    """
    Read the records. No faults may be active.

    :param given_to: the customers to whom staff may have given balance.
    """
    subscriptions, invoices = defaultdict[str, list[Json]](list), defaultdict[str, list[Json]](list)
    refunds, disputes = defaultdict[str, list[Json]](list), defaultdict[str, list[Json]](list)
    notes, pending = defaultdict[str, list[Json]](list), defaultdict[str, list[Json]](list)
    for one in reversed(await list_all(shop, "/v1/subscriptions", status="all", test_clock=shop.clock)):
        subscriptions[one["customer"]].append(one)
    expanded = {"expand[0]": "data.payments", "expand[1]": "data.amount_paid_off_stripe"}
    for one in reversed(await list_all(shop, "/v1/invoices", **expanded)):
        details = (one["parent"] or {}).get("subscription_details")
        if details:
            invoices[details["subscription"]].append(one)
    for one in reversed(await list_all(shop, "/v1/refunds")):
        refunds[one["payment_intent"] or one["charge"]].append(one)
    for one in await list_all(shop, "/v1/disputes"):
        disputes[one["payment_intent"] or one["charge"]].append(one)
    for one in reversed(await list_all(shop, "/v1/credit_notes")):
        notes[one["invoice"]].append(one)
    for one in await list_all(shop, "/v1/invoiceitems", pending="true"):
        pending[one["customer"]].append(one)
    return StripeRecords(
        subscriptions=subscriptions,
        invoices=invoices,
        refunds=refunds,
        disputes=disputes,
        customers=await list_all(shop, "/v1/customers", test_clock=shop.clock),
        intents={one["id"]: one for one in await list_all(shop, "/v1/payment_intents")},
        credit_notes=notes,
        pending_items=pending,
        gifts={customer: await _gifts(shop, customer) for customer in given_to},
    )


async def _gifts(shop: Shop, customer: str) -> int:
    made = await list_all(shop, f"/v1/customers/{customer}/balance_transactions")
    return -int(sum(one["amount"] for one in made if GIFT in one["metadata"]))
