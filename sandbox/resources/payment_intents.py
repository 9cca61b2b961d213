"""Payment intents, as the API shows them. Invoices make them, in `sandbox.billing.charging`."""

from sandbox.jsontypes import JsonObject
from sandbox.metadata import merged
from sandbox.pagination import in_range
from sandbox.registry import Call, Page, serves


@serves("GET", "/v1/payment_intents/{intent}")
def retrieve(call: Call) -> JsonObject:
    """One payment intent."""
    return call.account.get("payment_intent", call.ids["intent"])


@serves("GET", "/v1/payment_intents", takes="created customer")
def every(call: Call) -> Page:
    """Payment intents, by customer."""
    params = call.params
    return Page(
        [
            intent
            for intent in call.account.all("payment_intent")
            if ("customer" not in params or intent["customer"] == params["customer"])
            and in_range(intent["created"], params.get("created"))
        ]
    )


@serves("POST", "/v1/payment_intents/{intent}", takes="metadata")
def update(call: Call) -> JsonObject:
    """Change the metadata."""
    intent = call.account.get("payment_intent", call.ids["intent"])
    intent["metadata"] = merged(intent["metadata"], call.params.get("metadata"))
    return intent
