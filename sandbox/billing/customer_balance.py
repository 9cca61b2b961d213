"""
The customer's balance: credit (negative) or debt (positive) that is applied when an invoice is finalized.

There is one balance for each currency. `customer.balance` is the balance in the customer's currency.
"""

from sandbox.billing import currencies
from sandbox.http import expand
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id


def of(customer: JsonObject, currency: str) -> int:
    """Return the balance in a currency, in minor units. Negative is credit."""
    return int(customer["_balances"].get(currency, 0))


def change(
    account: Account,
    customer: JsonObject,
    amount: int,
    *,
    currency: str,
    kind: str,
    invoice: str | None = None,
    credit_note: str | None = None,
    description: str | None = None,
    metadata: dict[str, str] | None = None,
) -> JsonObject:
    """
    Add an amount to the balance and return the transaction.

    :param amount: in minor units; negative is credit.
    :param kind: a type of Stripe's customer balance transactions, such as `applied_to_invoice`.
    """
    with account.track_changes(customer, "customer.updated"):
        customer["currency"] = customer["currency"] or currency
        customer["_balances"][currency] = of(customer, currency) + amount
        customer["balance"] = of(customer, customer["currency"])
    return account.add(
        {
            "id": new_id("cbtxn"),
            "object": "customer_balance_transaction",
            "amount": amount,
            "created": account.now_for(customer["id"]),
            "credit_note": credit_note,
            "currency": currency,
            "customer": customer["id"],
            "description": description,
            "ending_balance": of(customer, currency),
            "invoice": invoice,
            "livemode": False,
            "metadata": metadata or {},
            "type": kind,
        }
    )


def applied(balance: int, total: int, currency: str) -> tuple[int, int, str]:
    """
    Return the amount due after the balance is applied, the new balance, and the type of the transaction.

    A negative result becomes credit. An amount below the minimum charge is carried to the next invoice.
    """
    due = total + balance
    if due <= 0:
        return 0, due, "applied_to_invoice"
    if due < currencies.minimum(currency):
        return 0, due, "invoice_too_small"
    return due, 0, "applied_to_invoice"


def apply(account: Account, customer: JsonObject, invoice: JsonObject) -> None:
    """Apply the balance to an invoice that is being finalized."""
    currency = invoice["currency"]
    before = of(customer, currency)
    set_amounts(invoice, before)
    if invoice["ending_balance"] != before:
        _, _, kind = applied(before, invoice["total"], currency)
        change(
            account,
            customer,
            invoice["ending_balance"] - before,
            currency=currency,
            kind=kind,
            invoice=invoice["id"],
        )


def set_amounts(invoice: JsonObject, before: int) -> None:
    """Set the balances and the amount due of an invoice."""
    due, after, _ = applied(before, invoice["total"], invoice["currency"])
    invoice["starting_balance"], invoice["ending_balance"] = before, after
    invoice["amount_due"] = invoice["amount_remaining"] = due


def unapply(account: Account, invoice: JsonObject) -> None:
    """Return the balance that was applied to an invoice that is voided."""
    customer = account.find("customer", invoice["customer"])
    used = (invoice["ending_balance"] or 0) - invoice["starting_balance"]
    if customer is not None and used:
        currency = invoice["currency"]
        change(account, customer, -used, currency=currency, kind="unapplied_from_invoice", invoice=invoice["id"])


def _invoice_credit_balance(account: Account, customer: JsonObject) -> JsonObject:
    stored = account.get("customer", customer["id"])
    return {currency: -amount for currency, amount in stored["_balances"].items()}


expand.EXPANDABLE_FIELDS["customer", "invoice_credit_balance"] = _invoice_credit_balance
