"""A checkout that a reader paid in a second tab, just before Newsstand closed it for another choice."""

from typing import Any
from uuid import uuid4

from tests.support.shop import Shop


async def open_second_checkout(shop: Shop, customer: str, price: str) -> dict[str, Any] | None:
    """Open another checkout of a customer, as Newsstand does; None if Stripe declines. Return the session."""
    ours = f"chk_{uuid4().hex}"
    wanted = {
        "mode": "subscription",
        "customer": customer,
        "success_url": "http://127.0.0.1:8080/welcome",
        "line_items[0][price]": price,
        "line_items[0][quantity]": "1",
        "metadata[newsstand_checkout]": ours,
        "subscription_data[metadata][newsstand_checkout]": ours,
    }
    session = await shop.stripe.post("/v1/checkout/sessions", data=wanted)
    if session.status_code != 200:
        return None
    await shop.rows(
        "INSERT INTO checkouts (id, stripe_id, subscriber_id, plan, print_edition, status)"
        " SELECT $1, $2, id, 'annual', false, 'expired' FROM subscribers WHERE stripe_customer_id = $3",
        ours,
        session.json()["id"],
        customer,
    )
    return dict(session.json())
