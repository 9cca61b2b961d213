"""Charges."""

from sandbox.http import expand
from sandbox.http.pagination import in_range
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account
from sandbox.store.metadata import merged


@route("GET", "/v1/charges/{charge}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a charge."""
    return call.account.get("charge", call.ids["charge"])


@route("GET", "/v1/charges", takes="created customer payment_intent")
def list_all(call: Call) -> Page:
    """List charges by customer or payment intent."""
    params = call.params
    return Page(
        [
            charge
            for charge in call.account.all("charge")
            if all(charge[name] == params[name] for name in ("customer", "payment_intent") if name in params)
            and in_range(charge["created"], params.get("created"))
        ]
    )


@route("POST", "/v1/charges/{charge}", takes="metadata description")
def update(call: Call) -> JsonObject:
    """Update the description or the metadata."""
    charge = call.account.get("charge", call.ids["charge"])
    with call.account.track_changes(charge, "charge.updated"):
        charge["metadata"] = merged(charge["metadata"], call.params.get("metadata"))
        charge["description"] = call.params.get("description", charge["description"])
    return charge


def _refunds(account: Account, charge: JsonObject) -> JsonObject:
    data = [account.render(refund) for refund in account.all("refund") if refund["charge"] == charge["id"]]
    url = f"/v1/charges/{charge['id']}/refunds"
    return {"object": "list", "data": data[:10], "has_more": len(data) > 10, "url": url}


expand.EXPANDABLE_FIELDS["charge", "refunds"] = _refunds
