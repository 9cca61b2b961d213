"""What a price migration reads at Stripe: the subscriptions with a price, and what their renewal costs."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from app.domain.price_migrations import ItemChange
from app.domain.subscriptions import StripeSubscriptionState
from app.gateway import translate
from app.gateway.client import Gateway
from app.gateway.subscriptions import PAGE_SIZE

ITEM = "subscription_item_details"  # the parent of a line for an item of the subscription


async def with_price(gateway: Gateway, price_id: str) -> AsyncIterator[list[StripeSubscriptionState]]:
    """
    Yield the subscriptions that have a price and have not ended, page by page, without invoices.

    Subscriptions on a test clock are listed only if the clock is given.
    """
    clocks: list[dict[str, str]] = [{}, *([{"test_clock": gateway.test_clock}] if gateway.test_clock else [])]
    for clock in clocks:
        async for page in gateway.pages("/v1/subscriptions", price=price_id, limit=PAGE_SIZE, **clock):
            yield [translate.subscription(one, []) for one in page]


async def renewal(gateway: Gateway, stripe_id: str, changes: Sequence[ItemChange] = ()) -> tuple[int, int]:
    """
    Return what the next renewal costs, and the tax in it: the items with discounts and tax, without pending items.

    :param changes: made to the items first.
    """
    parameters: dict[str, Any] = {"subscription": stripe_id}
    if changes:
        parameters["subscription_details"] = switch(changes)
    seen = await gateway.call(gateway.sdk.v1.invoices.create_preview_async(parameters))  # type: ignore[arg-type]
    total = tax = 0
    for line in seen.lines.data:
        if line.parent is None or line.parent.type != ITEM or _is_proration(line.parent):
            continue
        taxes = line.taxes or ()
        tax += sum(one.amount for one in taxes)
        total += line.amount - sum(one.amount for one in line.discount_amounts or ())
        total += sum(one.amount for one in taxes if one.tax_behavior == "exclusive")
    return total, tax


def switch(changes: Sequence[ItemChange]) -> Mapping[str, object]:
    """
    Return the parameters that change the price of items from the next renewal on.

    The running period is not touched, because nothing is prorated, and the billing date stays as the interval is the same.
    Stripe takes a quantity that is not given as one.
    """
    return {
        "items": [{"id": one.item, "price": one.to_price, "quantity": one.quantity} for one in changes],
        "proration_behavior": "none",
    }


def _is_proration(parent: Any) -> bool:
    details = parent.subscription_item_details
    return bool(details is not None and details.proration)
