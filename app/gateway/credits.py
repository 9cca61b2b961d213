"""Credit notes that return money without a refund, and the customer's balance at Stripe."""

from collections.abc import Mapping
from typing import Any

from stripe import CustomerBalanceTransaction

from app.domain.credits import Credit, CreditKind
from app.gateway.client import Gateway
from app.gateway.fields import moment

OUR_CREDIT = "newsstand_credit"  # the invoice whose credit a balance transaction takes back
PAGE_SIZE = 100


async def return_to_balance(gateway: Gateway, parameters: Mapping[str, Any], *, key: str) -> Credit:
    """Create a credit note that adds an amount to the customer's balance, as a stored intent says."""
    note = await gateway.call(
        gateway.sdk.v1.credit_notes.create_async(dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
    )
    return Credit(
        id=note.id,
        kind=CreditKind.RETURNED,
        invoice_id=parameters["invoice"],
        amount=note.amount,
        currency=note.currency,
        created_at=moment(note.created),
    )


async def reclaim(gateway: Gateway, customer_id: str, parameters: Mapping[str, Any], *, key: str) -> Credit:
    """Take an amount out of a customer's balance, as a stored intent says."""
    return _reclaimed(
        await gateway.call(
            gateway.sdk.v1.customers.balance_transactions.create_async(
                customer_id,
                dict(parameters),  # type: ignore[arg-type]
                {"idempotency_key": key},
            )
        )
    )


async def reclaimed(gateway: Gateway, customer_id: str) -> list[Credit]:
    """Return what we took out of a customer's balance so far."""
    listed = await gateway.every(
        gateway.sdk.v1.customers.balance_transactions.list_async(customer_id, {"limit": PAGE_SIZE})
    )
    return [_reclaimed(one) for one in listed if one.metadata and OUR_CREDIT in one.metadata]


def _reclaimed(transaction: CustomerBalanceTransaction) -> Credit:
    assert transaction.metadata
    return Credit(
        id=transaction.id,
        kind=CreditKind.RECLAIMED,
        invoice_id=transaction.metadata[OUR_CREDIT],
        amount=transaction.amount,
        currency=transaction.currency,
        created_at=moment(transaction.created),
    )
