"""Subscription items: they carry the price and, at this API version, the current period."""

from sandbox.errors import unsupported
from sandbox.jsontypes import JsonObject
from sandbox.metadata import merged
from sandbox.registry import Call, Page, serves
from sandbox.store import RENDERERS, Account


@serves("GET", "/v1/subscription_items/{item}")
def retrieve(call: Call) -> JsonObject:
    """One item."""
    return call.account.get("subscription_item", call.ids["item"])


@serves("GET", "/v1/subscription_items", takes="subscription")
def every(call: Call) -> Page:
    """The items of a subscription."""
    subscription = call.account.get("subscription", call.params["subscription"], param="subscription", status=400)
    return Page([call.account.get("subscription_item", item_id) for item_id in subscription["_items"]])


@serves("POST", "/v1/subscription_items/{item}", takes="metadata price quantity proration_behavior")
def update(call: Call) -> JsonObject:
    """Change the metadata of an item. Another price or quantity would need proration."""
    account, params = call.account, call.params
    item = account.get("subscription_item", call.ids["item"])
    change(account, item, params)
    return item


def change(account: Account, item: JsonObject, params: JsonObject) -> None:
    """Take in an update of one item, wherever it comes from."""
    if params.get("price", item["_price"]) != item["_price"]:
        raise unsupported("changing the price of a subscription item (proration)")
    if params.get("quantity", item["quantity"]) != item["quantity"]:
        raise unsupported("changing the quantity of a subscription item (proration)")
    subscription = account.get("subscription", item["subscription"])
    with account.changing(subscription, "customer.subscription.updated"):
        item["metadata"] = merged(item["metadata"], params.get("metadata"))


def _render(account: Account, item: JsonObject) -> JsonObject:
    price = account.get("price", (account.find("subscription_item", item["id"]) or item)["_price"])
    return {**item, "price": account.render(price), "plan": _plan(price)}


def _plan(price: JsonObject) -> JsonObject:
    """The price in its older shape, which Stripe still shows beside it."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": dict(price["metadata"]),
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": recurring["usage_type"],
    }


RENDERERS["subscription_item"] = _render
