"""
The kinds of simulated readers, and what only readers of a kind do, or their banks and the publisher's staff for them.

A reader of any kind also does everything that a reader who pays by card does.
"""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from tests.support.simulated_year.stripe_records import (
    GIFT,
    Json,
    StripeRecords,
    cash_of,
    payments_of,
    term_line,
)

if TYPE_CHECKING:
    from tests.support.simulated_year.readers import SimulatedReader

BANK_DEBIT, SENT_INVOICE, PRINT_BY_HAND = "bank debit", "sent invoice", "print changed by hand"
CREDITED, SCHEDULED, IMPORTED, CARD = "credited", "scheduled", "imported", "card"
KINDS = (IMPORTED, BANK_DEBIT, SENT_INVOICE, PRINT_BY_HAND, CREDITED, SCHEDULED, CARD)
RETURNED_OTHERWISE = {PRINT_BY_HAND, CREDITED}  # with credits, to which staff add no refunds in the Dashboard
DUE_DAYS = "30"
DEBIT_SUCCEEDS, DEBIT_FAILS, DEBIT_STAYS = "000123456789", "000222222227", "000000000009"
BANK_ACCOUNTS = [
    "pm_usBankAccount_success",
    "pm_usBankAccount_success",
    "pm_usBankAccount_insufficientFunds",
    "pm_usBankAccount_processing",
]
BEHAVIORS = ["always_invoice", "create_prorations", "none"]
Act = Callable[[], Awaitable[object]]
Choice = tuple[float, str, Act]  # with its weight


def checkout_form(reader: "SimulatedReader") -> dict[str, str]:
    """Return what a reader fills in on the checkout page instead of a card."""
    if reader.kind != BANK_DEBIT or reader.rng.random() < 0.2:
        return {}
    number = reader.rng.choice([DEBIT_SUCCEEDS, DEBIT_SUCCEEDS, DEBIT_SUCCEEDS, DEBIT_FAILS, DEBIT_STAYS])
    return {"payment_method": "us_bank_account", "account_name": "Ada Invented", "account_number": number}


def choices(reader: "SimulatedReader", books: StripeRecords, held: Json) -> list[Choice]:
    """Return what can happen to a reader of this kind today."""
    own = {
        BANK_DEBIT: _bank_debit,
        SENT_INVOICE: _sent_invoice,
        PRINT_BY_HAND: _print_by_hand,
        CREDITED: _credited,
        SCHEDULED: _scheduled,
    }.get(reader.kind)
    return list(own(reader, books, held)) if own else []


def late_debits(reader: "SimulatedReader", books: StripeRecords, customer: str) -> list[Act]:
    """Return what a bank can decide about debits that are processing although their subscription has ended."""
    ended = [one["id"] for one in books.subscriptions.get(customer, []) if one["status"] == "canceled"]
    return [
        partial(_bank, reader, f"payment_intents/{intent['id']}/debit", result)
        for stripe_id in ended
        for intent in _intents(books, stripe_id)
        if intent["status"] == "processing"
        for result in ("succeed", "fail")
    ]


def _intents(books: StripeRecords, stripe_id: str) -> list[Json]:
    return [
        books.intents[payment["payment"]["payment_intent"]]
        for invoice in books.invoices.get(stripe_id, [])
        for payment in invoice["payments"]["data"]
        if payment["payment"]["type"] == "payment_intent"
    ]


def _bank_debit(reader: "SimulatedReader", books: StripeRecords, held: Json) -> Iterator[Choice]:
    """The bank decides about a debit, or returns one that succeeded; the reader changes the bank account."""
    intents = _intents(books, held["id"])
    account = reader.rng.choice(BANK_ACCOUNTS)
    yield 8, "changes the bank account", lambda: reader.pays_by(held, account)
    for intent in intents:
        path = f"payment_intents/{intent['id']}/debit"
        if intent["status"] == "processing":
            yield 20, "the bank debits", partial(_bank, reader, path, "succeed")
            yield 6, "the bank declines the debit", partial(_bank, reader, path, "fail")
    settled = [one for one in intents if one["status"] == "succeeded"]
    if settled:
        path = f"payment_intents/{reader.rng.choice(settled)['id']}/debit"
        yield 3, "the bank returns the debit", partial(_bank, reader, path, "return", ends=held["id"])


async def _bank(reader: "SimulatedReader", path: str, result: str, *, ends: str | None = None) -> None:
    answer = await reader.shop.ask_bank(path, result=result)
    reader.diary.append(f"  {answer.status_code}")
    if ends is not None and answer.status_code == 200:
        reader.ended_by_bank(ends)


def _sent_invoice(reader: "SimulatedReader", books: StripeRecords, held: Json) -> Iterator[Choice]:
    """The reader is billed by email, and pays late, in parts, by bank transfer or outside Stripe."""
    if held["collection_method"] != "send_invoice":
        sent = {"collection_method": "send_invoice", "days_until_due": DUE_DAYS}
        yield 40, "is billed by email", lambda: reader.in_dashboard(f"/v1/subscriptions/{held['id']}", **sent)
    unpaid = [one for one in books.invoices.get(held["id"], []) if one["status"] == "open"]
    for invoice in unpaid[-1:]:
        path, left = f"invoices/{invoice['id']}/payments", invoice["amount_remaining"]
        part = reader.rng.randint(1, left)
        transfer, outside = {"type": "charge"}, {"type": "payment_record"}
        yield 30, "pays by bank transfer", partial(_transfer, reader, path, transfer)
        yield 30, "pays a part", partial(_transfer, reader, path, {**transfer, "amount": part})
        yield 15, "pays a part outside Stripe", partial(_transfer, reader, path, {**outside, "amount": part})
        pay = f"/v1/invoices/{invoice['id']}/pay"
        yield 25, "pays outside Stripe", partial(reader.in_dashboard, pay, paid_out_of_band="true")


async def _transfer(reader: "SimulatedReader", path: str, payment: Json) -> None:
    answer = await reader.shop.ask_bank(path, **payment)
    reader.diary.append(f"  {answer.status_code}")


def _print_by_hand(reader: "SimulatedReader", books: StripeRecords, held: Json) -> Iterator[Choice]:
    """Staff add or drop print in the Dashboard. They don't return the money for it twice."""
    items = held["items"]["data"]
    if any(books.returned(invoice) for invoice in books.invoices.get(held["id"], [])):
        return
    item = next((one for one in items if one["price"]["product"].endswith("_print")), None)
    change = (
        {"items[0][price]": reader.print_price}
        if item is None
        else {
            "items[0][id]": item["id"],
            "items[0][deleted]": "true",
        }
    )
    for behavior in BEHAVIORS:
        fields = {**change, "proration_behavior": behavior}
        name = f"{'adds' if item is None else 'drops'} print: {behavior}"
        yield 6, name, partial(reader.in_dashboard, f"/v1/subscriptions/{held['id']}", **fields)


def _credited(reader: "SimulatedReader", books: StripeRecords, held: Json) -> Iterator[Choice]:
    """Staff return money outside Stripe, or credit it to the balance, or give balance away."""
    gift = {"amount": str(-reader.rng.randint(1, 6000)), "currency": held["currency"], f"metadata[{GIFT}]": "yes"}
    path = f"/v1/customers/{held['customer']}/balance_transactions"
    if any(books.returned(invoice) for invoice in books.invoices.get(held["id"], [])):
        yield 12, "requests what is left", partial(reader.requests_refund, held["id"])
    yield 3, "gets a balance as a gift", lambda: reader.in_dashboard(path, **gift)
    for invoice in books.invoices.get(held["id"], []):
        notes = books.credit_notes.get(invoice["id"], [])
        noted = sum(note["total"] for note in notes if note["status"] == "issued")
        left = min(cash_of(invoice) - books.returned(invoice), invoice["total"] - noted)
        disputed = any(payment in books.disputes for payment, _ in payments_of(invoice))
        if invoice["status"] != "paid" or left <= 0 or disputed or term_line(invoice) is None:
            continue
        amount = str(reader.rng.choice([left, reader.rng.randint(1, left), reader.rng.randint(1, left)]))
        for where, name in (("credit_amount", "to the balance"), ("out_of_band_amount", "outside Stripe")):
            note = {"invoice": invoice["id"], "amount": amount, where: amount}
            yield (
                6,
                f"gets money back {name}",
                partial(reader.in_dashboard, "/v1/credit_notes", ends=held["id"], **note),
            )


def _scheduled(reader: "SimulatedReader", books: StripeRecords, held: Json) -> Iterator[Choice]:
    """Staff attach a schedule to the subscription in the Dashboard, end the subscription with it, or release it."""
    schedule = held["schedule"]
    if schedule is None:
        attach = {"from_subscription": held["id"]}
        yield 20, "gets a schedule", lambda: reader.in_dashboard("/v1/subscription_schedules", **attach)
        return
    path = f"/v1/subscription_schedules/{schedule}"
    yield 6, "ends with the schedule", lambda: reader.in_dashboard(path, ends=held["id"], end_behavior="cancel")
    yield 6, "renews after the schedule", lambda: reader.in_dashboard(path, end_behavior="release")
    yield 3, "the schedule is released", lambda: reader.in_dashboard(f"{path}/release")
    yield 1, "the schedule is canceled", lambda: reader.in_dashboard(f"{path}/cancel", ends=held["id"])
