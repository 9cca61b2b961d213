"""Payment records: payments made outside Stripe and reported to it."""

from sandbox.billing import currencies, invoice_payments
from sandbox.errors import invalid, unsupported
from sandbox.http.routing import Call, route
from sandbox.json_types import JsonObject
from sandbox.store.metadata import merged

_PARAMS = (
    "amount_requested customer_details description guaranteed initiated_at metadata outcome payment_method_details"
)


@route("POST", "/v1/payment_records/report_payment", takes=f"{_PARAMS} processor_details customer_presence")
def report_payment(call: Call) -> JsonObject:
    """Report a payment that was completed outside Stripe."""
    account, params = call.account, call.params
    if params.get("outcome") != "guaranteed" or "guaranteed" not in params:
        raise unsupported("outcomes other than guaranteed on POST /v1/payment_records/report_payment")
    amount = params["amount_requested"]
    if amount["value"] <= 0:
        raise invalid("Invalid positive integer", param="amount_requested[value]")
    custom = params.get("processor_details", {}).get("custom", {})
    record = invoice_payments.record(
        account,
        amount=amount["value"],
        currency=currencies.check(amount["currency"], param="amount_requested[currency]"),
        customer=params.get("customer_details", {}).get("customer"),
        reference=custom.get("payment_reference"),
        now=params["guaranteed"]["guaranteed_at"],
    )
    record["description"] = params.get("description")
    record["metadata"] = merged({}, params.get("metadata"))
    return record


@route("GET", "/v1/payment_records/{id}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a payment record."""
    return call.account.get("payment_record", call.ids["id"])
