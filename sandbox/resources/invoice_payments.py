"""Invoice payments: the links between invoices and their payments."""

from sandbox.http.pagination import in_range
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject


@route("GET", "/v1/invoice_payments/{invoice_payment}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve an invoice payment."""
    return call.account.get("invoice_payment", call.ids["invoice_payment"])


@route("GET", "/v1/invoice_payments", takes="created invoice payment status")
def list_all(call: Call) -> Page:
    """List invoice payments by invoice, status or payment."""
    params = call.params
    wanted = params.get("payment", {})
    return Page(
        [
            payment
            for payment in call.account.all("invoice_payment")
            if all(payment[name] == params[name] for name in ("invoice", "status") if name in params)
            and all(payment["payment"].get(name) == value for name, value in wanted.items())
            and in_range(payment["created"], params.get("created"))
        ]
    )
