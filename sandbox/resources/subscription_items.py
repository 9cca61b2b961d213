"""Subscription items: price, quantity and, in this API version, the current period."""

from sandbox.billing import cancellation, subscription_updates
from sandbox.errors import invalid
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import RENDERERS, Account

_TERMS = "payment_behavior proration_behavior proration_date"


@route("GET", "/v1/subscription_items/{item}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a subscription item."""
    return call.account.get("subscription_item", call.ids["item"])


@route("GET", "/v1/subscription_items", takes="subscription")
def list_all(call: Call) -> Page:
    """List the items of a subscription."""
    subscription = call.account.get("subscription", call.params["subscription"], param="subscription", status=400)
    return Page([call.account.get("subscription_item", item_id) for item_id in subscription["_items"]])


@route("POST", "/v1/subscription_items", takes=f"metadata price quantity subscription {_TERMS}")
def create(call: Call) -> JsonObject:
    """Add an item to a subscription."""
    account, params = call.account, call.params
    subscription = account.get("subscription", params["subscription"], param="subscription", status=400)
    _change(account, subscription, params, "metadata price quantity")
    return account.get("subscription_item", subscription["_items"][-1])


@route("POST", "/v1/subscription_items/{item}", takes=f"metadata price quantity off_session {_TERMS}")
def update(call: Call) -> JsonObject:
    """Update an item."""
    account, params = call.account, call.params
    item = account.get("subscription_item", call.ids["item"])
    subscription = account.get("subscription", item["subscription"])
    _change(account, subscription, params, "metadata price quantity", id=item["id"])
    return item


@route("DELETE", "/v1/subscription_items/{item}", takes=f"clear_usage {_TERMS}")
def delete(call: Call) -> JsonObject:
    """Remove an item from its subscription."""
    account = call.account
    item = account.get("subscription_item", call.ids["item"])
    subscription = account.get("subscription", item["subscription"])
    _change(account, subscription, call.params, "", id=item["id"], deleted=True)
    return {"id": item["id"], "object": "subscription_item", "deleted": True}


def _change(account: Account, subscription: JsonObject, params: JsonObject, names: str, **more: object) -> None:
    if subscription["status"] in cancellation.ENDED_STATUSES:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    entry = {name: params[name] for name in names.split() if name in params} | more
    terms = subscription_updates.billing_terms(account, subscription, params)
    changes = subscription_updates.parse_changes(account, subscription, [entry])
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription_updates.apply(account, subscription, changes, terms)


def _render(account: Account, item: JsonObject) -> JsonObject:
    price = account.get("price", (account.find("subscription_item", item["id"]) or item)["_price"])
    return {**item, "price": account.render(price), "plan": _plan(price)}


def _plan(price: JsonObject) -> JsonObject:
    """Return the price as a `plan`, the older format that Stripe still includes."""
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
