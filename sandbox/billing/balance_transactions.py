"""Balance transactions: what charges, refunds and disputes change in the account's balance, with Stripe's fees."""

from decimal import Decimal

from sandbox.billing.amounts import round_half_up
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id

_AVAILABLE_AFTER = 7 * 86400
_DISPUTE_FEE = 1500
_CATEGORIES = {"charge": "charge", "payment": "charge", "refund": "refund", "adjustment": "dispute"}


def create(
    account: Account, source: JsonObject, *, kind: str, amount: int, fee: int, now: int, description: str | None = None
) -> JsonObject:
    """
    Create a balance transaction.

    :param kind: `charge`, `payment`, `refund` or `adjustment`.
    :param amount: before the fee, in minor units; negative if money leaves the balance.
    """
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": source["currency"],
            "description": "Dispute fee" if kind == "adjustment" else "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    return account.add(
        {
            "id": new_id("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": now + _AVAILABLE_AFTER,
            "balance_type": "payments",
            "created": now,
            "currency": source["currency"],
            "description": description,
            "fee": fee,
            "fee_details": details if fee else [],
            "net": amount - fee,
            "reporting_category": _CATEGORIES[kind],
            "source": source["id"],
            "status": "pending",
            "type": kind,
        }
    )


def of_charge(account: Account, charge: JsonObject, *, now: int) -> str:
    """Create the balance transaction of a successful charge and return its ID."""
    fee = round_half_up(Decimal(charge["amount"]) * Decimal("0.029")) + 30
    kind = "charge" if charge["id"].startswith("ch_") else "payment"
    made = create(account, charge, kind=kind, amount=charge["amount"], fee=min(fee, charge["amount"]), now=now)
    return str(made["id"])


def of_refund(account: Account, refund: JsonObject, *, now: int) -> str:
    """Create the balance transaction of a refund and return its ID. Fees are not returned."""
    return str(create(account, refund, kind="refund", amount=-refund["amount"], fee=0, now=now)["id"])


def of_dispute(account: Account, dispute: JsonObject, *, withdrawn: bool, now: int) -> JsonObject:
    """Create the balance transaction of withdrawn or reinstated funds."""
    sign = -1 if withdrawn else 1
    return create(
        account,
        dispute,
        kind="adjustment",
        amount=sign * dispute["amount"],
        fee=_DISPUTE_FEE if withdrawn else 0,
        now=now,
        description="Chargeback withdrawal" if withdrawn else "Chargeback reversal",
    )
