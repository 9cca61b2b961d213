"""
What Stripe stores about one person: read whole for an export, and removed as far as its API allows.

Deleting a customer can't be undone. It cancels their subscriptions and removes their cards, and the deleted customer has no
data anymore (docs.stripe.com/api/customers/delete). What was billed stays as it was billed: invoices and charges keep the
name and the address that they were made with. Only a redaction job removes them, a public preview that this API version
doesn't have. Its payments can't be refunded anymore, and their disputes are lost (docs.stripe.com/privacy/redaction).
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import quote

from app.domain.subscriptions import OVER
from app.gateway.client import Gateway, Gone

PAGE_SIZE = 100
LISTS: Mapping[str, Mapping[str, str]] = {  # what Stripe lists by customer, with more parameters
    "subscriptions": {"status": "all"},
    "invoices": {},
    "charges": {},
    "payment_intents": {},
    "checkout/sessions": {},
}
# Fields of a customer that hold personal data; an empty value removes them.
NOBODY: Mapping[str, object] = {
    "name": "",
    "email": "",
    "phone": "",
    "description": "",
    "address": "",
    "shipping": "",
    "metadata": "",
}
NO_BILLING_DETAILS: Mapping[str, object] = {
    "billing_details": {"name": "", "email": "", "phone": "", "address": ""},
    "metadata": "",
}
NO_COMMENT: Mapping[str, object] = {"cancellation_details": {"comment": ""}}


async def fetch_all(gateway: Gateway, customer_id: str) -> dict[str, Any]:
    """Return everything that Stripe's API returns about a customer, as JSON; nothing if it never existed."""
    found: dict[str, Any] = {}
    with suppress(Gone):
        found["customer"] = await gateway.read(f"/v1/customers/{quote(customer_id, safe='')}")
        if not found["customer"].get("deleted"):
            found["payment_methods"] = await payment_methods(gateway, customer_id)
    for name, parameters in LISTS.items():
        found[name] = await gateway.read_every(f"/v1/{name}", customer=customer_id, limit=PAGE_SIZE, **parameters)
    return found


async def is_deleted(gateway: Gateway, customer_id: str) -> bool:
    """Return whether a customer was deleted, or never existed."""
    try:
        customer = await gateway.read(f"/v1/customers/{quote(customer_id, safe='')}")
    except Gone:
        return True
    return bool(customer.get("deleted"))


async def payment_methods(gateway: Gateway, customer_id: str) -> list[Any]:
    """Return a customer's payment methods of any type."""
    return await gateway.read_every(f"/v1/customers/{quote(customer_id, safe='')}/payment_methods", limit=PAGE_SIZE)


async def commented_subscriptions(gateway: Gateway, customer_id: str) -> list[str]:
    """Return the IDs of a customer's subscriptions that were canceled with a comment."""
    subscriptions = await gateway.read_every("/v1/subscriptions", customer=customer_id, status="all", limit=PAGE_SIZE)
    return [one.id for one in subscriptions if (one.cancellation_details or {}).get("comment")]


async def running_subscriptions(
    gateway: Gateway, customer_id: str, *, ended_since: datetime | None = None
) -> list[str]:
    """
    Return the IDs of a customer's subscriptions, to whatever product, that have not ended; none if it never existed.

    :param ended_since: those that ended since then count too.
    """
    found: list[Any] = []
    with suppress(Gone):
        found = await gateway.read_every("/v1/subscriptions", customer=customer_id, status="all", limit=PAGE_SIZE)
    return [
        one.id
        for one in found
        if one.status not in OVER
        or (ended_since is not None and one.ended_at is not None and one.ended_at >= ended_since.timestamp())
    ]


async def count_kept(gateway: Gateway, customer_id: str) -> dict[str, int]:
    """Return how many invoices, charges and checkout sessions of a customer Stripe keeps as they were made."""
    return {
        name: len(await gateway.read_every(f"/v1/{name}", customer=customer_id, limit=PAGE_SIZE))
        for name in ("invoices", "charges", "checkout/sessions")
    }


async def change(gateway: Gateway, path: str, parameters: Mapping[str, object], *, key: str) -> None:
    """Change an object with the parameters of a stored intent."""
    await gateway.call(gateway.sdk.raw_request_async("post", path, **{**parameters, "idempotency_key": key}))


async def delete_customer(gateway: Gateway, customer_id: str) -> None:
    """Delete a customer for good."""
    with suppress(Gone):
        await gateway.call(gateway.sdk.v1.customers.delete_async(customer_id))
