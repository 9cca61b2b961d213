"""Customer portal sessions. The portal itself is not served."""

from sandbox.errors import invalid
from sandbox.http.routing import Call, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import new_id


@route("POST", "/v1/billing_portal/sessions", takes="customer return_url locale")
def create(call: Call) -> JsonObject:
    """Create a portal session with the account's default configuration."""
    account, params = call.account, call.params
    if "customer" not in params:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = account.get("customer", params["customer"], param="customer", status=400)
    session_id = new_id("bps")
    return {
        "id": session_id,
        "object": "billing_portal.session",
        "configuration": f"bpc_{account.id.removeprefix('acct_')}",
        "created": account.now(customer["test_clock"]),
        "customer": customer["id"],
        "customer_account": None,
        "flow": None,
        "livemode": False,
        "locale": params.get("locale"),
        "on_behalf_of": None,
        "return_url": params.get("return_url"),
        "url": f"{call.base_url}/p/session/test_{session_id.removeprefix('bps_')}",
    }
