"""The account itself."""

from sandbox.http.routing import Call, route
from sandbox.json_types import JsonObject


@route("GET", "/v1/account")
def retrieve(call: Call) -> JsonObject:
    """The account that the secret key belongs to."""
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
