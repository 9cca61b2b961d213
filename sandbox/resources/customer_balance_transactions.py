"""Customer balance transactions."""

from sandbox.billing import currencies, customer_balance
from sandbox.errors import missing
from sandbox.http.pagination import in_range
from sandbox.http.parameters import unset
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.metadata import merged

_KIND = "customer_balance_transaction"


@route("POST", "/v1/customers/{customer}/balance_transactions", takes="amount currency description metadata")
def create(call: Call) -> JsonObject:
    """Add an amount to the balance. A negative amount is credit."""
    account, params = call.account, call.params
    customer = account.get("customer", call.ids["customer"])
    currency = currencies.check(params["currency"])
    currencies.check_amount(params["amount"], currency, param="amount")
    return customer_balance.change(
        account,
        customer,
        params["amount"],
        currency=currency,
        kind="adjustment",
        description=params.get("description"),
        metadata=merged({}, params.get("metadata")),
    )


@route("GET", "/v1/customers/{customer}/balance_transactions", takes="created invoice")
def list_all(call: Call) -> Page:
    """List the balance transactions of a customer."""
    params = call.params
    return Page(
        [
            each
            for each in call.account.all(_KIND)
            if each["customer"] == call.ids["customer"]
            and ("invoice" not in params or each["invoice"] == params["invoice"])
            and in_range(each["created"], params.get("created"))
        ]
    )


@route("GET", "/v1/customers/{customer}/balance_transactions/{transaction}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a balance transaction."""
    return _find(call)


@route("POST", "/v1/customers/{customer}/balance_transactions/{transaction}", takes="description metadata")
def update(call: Call) -> JsonObject:
    """Update the description or the metadata."""
    transaction = _find(call)
    transaction["metadata"] = merged(transaction["metadata"], call.params.get("metadata"))
    transaction["description"] = unset(call.params.get("description", transaction["description"]))
    return transaction


def _find(call: Call) -> JsonObject:
    found = call.account.get(_KIND, call.ids["transaction"])
    if found["customer"] != call.ids["customer"]:
        raise missing("customer balance transaction", call.ids["transaction"])
    return found
