"""Events. `sandbox.store.accounts` creates them and `sandbox.delivery.webhooks` sends them."""

from fnmatch import fnmatchcase

from sandbox.errors import invalid
from sandbox.http.pagination import in_range
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject


@route("GET", "/v1/events", takes="created delivery_success type types")
def list_all(call: Call) -> Page:
    """List events by type, time and delivery status."""
    params = call.params
    types = params.get("types")
    if types is not None and "type" in params:
        message = "You may only specify one of these parameters: type, types."
        raise invalid(message, param="types", code="parameters_exclusive")
    if types is not None and len(types) > 20:
        raise invalid("You may only specify up to 20 types.", param="types")
    patterns = types or ([params["type"]] if "type" in params else ["*"])
    # Stripe lists 30 days. On a test clock, events can be dated far from real time, so all are listed.
    return Page(
        [
            event
            for event in call.account.all("event")
            if any(fnmatchcase(event["type"], pattern) for pattern in patterns)
            and in_range(event["created"], params.get("created"))
            and ("delivery_success" not in params or params["delivery_success"] == (event["pending_webhooks"] == 0))
        ]
    )


@route("GET", "/v1/events/{id}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve an event as it was created."""
    return call.account.get("event", call.ids["id"])
