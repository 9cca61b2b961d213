"""Customers at Stripe: one for each subscriber."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from stripe.params import CustomerListParams

from app.domain.customers import StripeCustomerState
from app.domain.errors import StripeRefused
from app.gateway import translate
from app.gateway.client import Gateway, Gone
from app.gateway.translate import OUR_SUBSCRIBER


async def fetch(gateway: Gateway, customer_id: str) -> StripeCustomerState:
    """
    Fetch a customer with their credit balances.

    :raises Gone: it never existed.
    """
    path = f"/v1/customers/{quote(customer_id, safe='')}"
    try:
        return translate.customer(await gateway.read(path, expand=["invoice_credit_balance"]))
    except (StripeRefused, Gone):  # a deleted customer has no balance to expand
        return translate.customer(await gateway.read(path))


async def create(gateway: Gateway, parameters: Mapping[str, Any], *, key: str) -> str:
    """Create the customer of a stored intent, and return its ID."""
    made = await gateway.call(
        gateway.sdk.v1.customers.create_async(dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
    )
    return made.id


async def update(gateway: Gateway, customer_id: str, parameters: Mapping[str, Any], *, key: str) -> None:
    """Update a customer with the parameters of a stored intent."""
    await gateway.call(
        gateway.sdk.v1.customers.update_async(customer_id, dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
    )


async def find(gateway: Gateway, *, email: str | None, subscriber_id: str) -> str | None:
    """Return the ID of a subscriber's customer, if it was created earlier with an expired idempotency key."""
    if email is None:
        return None
    wanted: CustomerListParams = {"email": email, "limit": 100}
    if gateway.test_clock is not None:
        wanted["test_clock"] = gateway.test_clock  # otherwise Stripe omits customers on a test clock
    for customer in await gateway.every(gateway.sdk.v1.customers.list_async(wanted)):
        metadata = customer.metadata
        if metadata and OUR_SUBSCRIBER in metadata and metadata[OUR_SUBSCRIBER] == subscriber_id:
            return customer.id
    return None
