"""Balance transactions of the account."""

from sandbox.http.pagination import in_range
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject


@route("GET", "/v1/balance_transactions/{id}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a balance transaction."""
    return call.account.get("balance_transaction", call.ids["id"])


@route("GET", "/v1/balance_transactions", takes="created currency source type")
def list_all(call: Call) -> Page:
    """List balance transactions by source, type or currency."""
    params = call.params
    return Page(
        [
            each
            for each in call.account.all("balance_transaction")
            if all(each[name] == params[name] for name in ("currency", "source", "type") if name in params)
            and in_range(each["created"], params.get("created"))
        ]
    )
