"""The account."""

from sandbox.http.routing import Call, route
from sandbox.json_types import JsonObject


@route("GET", "/v1/account")
def retrieve(call: Call) -> JsonObject:
    """Retrieve the account of the secret key."""
    return {
        "id": call.account.id,
        "object": "account",
        "business_profile": {"name": "Sandbox"},
        "charges_enabled": True,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }
