"""All records of an account at the local Stripe, read at one time."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.support.shop import Shop

Json = dict[str, Any]


@dataclass(frozen=True)
class StripeRecords:
    """Stripe's records, grouped by the object they belong to."""

    subscriptions: dict[str, list[Json]]  # by customer, earliest first
    invoices: dict[str, list[Json]]  # by subscription, earliest first
    refunds: dict[str, list[Json]]  # by payment intent
    disputes: dict[str, list[Json]]  # by payment intent
    customers: list[Json] = field(default_factory=list)

    def every_subscription(self) -> Iterable[Json]:
        """Yield all subscriptions."""
        return (one for each in self.subscriptions.values() for one in each)

    def paid(self) -> dict[str, tuple[Json, int]]:
        """Return the invoice and amount of every successful payment, by payment intent."""
        return {
            payment["payment"]["payment_intent"]: (invoice, payment["amount_paid"])
            for each in self.invoices.values()
            for invoice in each
            for payment in invoice["payments"]["data"]
            if payment["status"] == "paid" and payment["payment"].get("payment_intent")
        }


async def list_all(shop: Shop, path: str, **query: str) -> list[Json]:
    """Return all objects of a list, page by page."""
    found: list[Json] = []
    while True:
        more = {"starting_after": found[-1]["id"]} if found else {}
        page = await shop.stripe_get(path, limit="100", **query, **more)
        found += page["data"]
        if not page["has_more"]:
            return found


async def read(shop: Shop) -> StripeRecords:
    """Read the records. No faults may be active."""
    subscriptions, invoices, refunds, disputes = (
        defaultdict[str, list[Json]](list),
        defaultdict[str, list[Json]](list),
        defaultdict[str, list[Json]](list),
        defaultdict[str, list[Json]](list),
    )
    for one in reversed(await list_all(shop, "/v1/subscriptions", status="all", test_clock=shop.clock)):
        subscriptions[one["customer"]].append(one)
    for one in reversed(await list_all(shop, "/v1/invoices", **{"expand[0]": "data.payments"})):
        details = (one["parent"] or {}).get("subscription_details")
        if details:
            invoices[details["subscription"]].append(one)
    for one in reversed(await list_all(shop, "/v1/refunds")):
        refunds[one["payment_intent"]].append(one)
    for one in await list_all(shop, "/v1/disputes"):
        disputes[one["payment_intent"]].append(one)
    customers = await list_all(shop, "/v1/customers", test_clock=shop.clock)
    return StripeRecords(subscriptions, invoices, refunds, disputes, customers)
