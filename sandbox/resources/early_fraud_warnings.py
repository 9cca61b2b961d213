"""Early fraud warnings: the bank reports a charge as fraudulent before it is disputed."""

from sandbox.http.pagination import in_range
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject

_KIND = "radar.early_fraud_warning"


@route("GET", "/v1/radar/early_fraud_warnings/{early_fraud_warning}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve an early fraud warning."""
    return call.account.get(_KIND, call.ids["early_fraud_warning"])


@route("GET", "/v1/radar/early_fraud_warnings", takes="charge created payment_intent")
def list_all(call: Call) -> Page:
    """List early fraud warnings by charge or payment intent."""
    params = call.params
    return Page(
        [
            warning
            for warning in call.account.all(_KIND)
            if all(warning[name] == params[name] for name in ("charge", "payment_intent") if name in params)
            and in_range(warning["created"], params.get("created"))
        ]
    )
