"""Customers."""

import secrets
import string

from sandbox.billing import cancellation, customer_balance
from sandbox.control.simulations import simulation
from sandbox.errors import invalid
from sandbox.http import expand
from sandbox.http.pagination import in_range
from sandbox.http.parameters import address, assign, check_length, shipping, unset
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.resources import payment_methods
from sandbox.store.accounts import Account, new_id
from sandbox.store.metadata import merged

_PLAIN = "business_name description email individual_name name phone"
_MAX_LENGTHS = {"name": 256, "business_name": 150, "individual_name": 150, "phone": 20, "description": 350}
_BOTH = f"{_PLAIN} address balance invoice_settings metadata preferred_locales shipping tax_exempt"


@route("POST", "/v1/customers", takes=f"{_BOTH} payment_method test_clock")
def create(call: Call) -> JsonObject:
    """Create a customer, optionally on a test clock."""
    return make(call.account, call.params)


def make(account: Account, params: JsonObject) -> JsonObject:
    """Create a customer from the parameters of a request."""
    clock_id = params.get("test_clock")
    if clock_id is not None:
        account.get("test_helpers.test_clock", clock_id, param="test_clock", status=400)
    customer: JsonObject = {
        "id": new_id("cus", length=14),
        "object": "customer",
        "balance": 0,
        "created": account.now(clock_id),
        "delinquent": False,
        "invoice_prefix": "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(8)),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "tax_exempt": "none",
        "test_clock": clock_id,
        "_balances": {},
    }
    account.add(customer)
    try:
        _apply_params(account, customer, {name: value for name, value in params.items() if name != "invoice_settings"})
        _attach_first(account, customer, params)
        _apply_params(account, customer, params)
    except Exception:
        account.drop(customer)
        raise
    account.emit("customer.created", customer)
    _set_balance(account, customer, params, kind="initial")
    return customer


def _attach_first(account: Account, customer: JsonObject, params: JsonObject) -> None:
    if "payment_method" in params:
        method = payment_methods.usable(account, params["payment_method"], param="payment_method")
        payment_methods.attach_to(account, method, customer["id"])
        settings = params.get("invoice_settings") or {}
        if settings.get("default_payment_method") == params["payment_method"]:
            settings["default_payment_method"] = method["id"]


@route("GET", "/v1/customers/{customer}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a customer, or the stub of a deleted one."""
    customer_id = call.ids["customer"]
    return call.account.find_with_deleted("customer", customer_id) or call.account.get("customer", customer_id)


@route("POST", "/v1/customers/{customer}", takes=_BOTH)
def update(call: Call) -> JsonObject:
    """Update a customer."""
    customer = call.account.get("customer", call.ids["customer"])
    with call.account.track_changes(customer, "customer.updated"):
        _apply_params(call.account, customer, call.params)
    _set_balance(call.account, customer, call.params, kind="adjustment")
    return customer


@route("GET", "/v1/customers", takes="created email test_clock")
def list_all(call: Call) -> Page:
    """List customers by email. Customers on test clocks are listed only by `test_clock`."""
    params = call.params
    return Page(
        [
            customer
            for customer in call.account.all("customer")
            if customer["test_clock"] == params.get("test_clock")
            and ("email" not in params or customer["email"] == params["email"])
            and in_range(customer["created"], params.get("created"))
        ]
    )


@route("DELETE", "/v1/customers/{customer}")
def delete(call: Call) -> JsonObject:
    """Delete a customer and cancel their subscriptions immediately."""
    account = call.account
    customer = account.get("customer", call.ids["customer"])
    for subscription in account.all("subscription"):
        if subscription["customer"] == customer["id"] and subscription["status"] not in (
            "canceled",
            "incomplete_expired",
        ):
            cancellation.cancel(account, subscription)
    for method in account.all("payment_method"):
        if method["customer"] == customer["id"]:
            method["customer"] = None
            method["_detached"] = True
    account.emit("customer.deleted", customer)
    return account.drop(customer)


def _apply_params(account: Account, customer: JsonObject, params: JsonObject) -> None:
    email = params.get("email")
    if email and ("@" not in email or len(email) > 512):
        raise invalid(f"Invalid email address: {email}", param="email", code="email_invalid")
    assign(customer, params, _PLAIN)
    customer["metadata"] = merged(customer["metadata"], params.get("metadata"))
    _check_lengths(params)
    if "address" in params:
        customer["address"] = address(params["address"])
        customer.pop("_tax_location_invalid", None)
    if "shipping" in params:
        customer["shipping"] = shipping(params["shipping"])
    if "preferred_locales" in params:
        customer["preferred_locales"] = params["preferred_locales"]
    if "tax_exempt" in params:
        customer["tax_exempt"] = unset(params["tax_exempt"]) or "none"
    for name, value in params.get("invoice_settings", {}).items():
        if name == "default_payment_method" and value:
            _check_default(account, customer, value)
        customer["invoice_settings"][name] = unset(value)


def _check_lengths(params: JsonObject) -> None:
    for name, limit in _MAX_LENGTHS.items():
        check_length(params.get(name), limit, param=name)


@simulation("customers/{id}/tax_location")
def set_tax_location(account: Account, customer_id: str, wanted: JsonObject) -> JsonObject:
    """Simulate a location that automatic tax cannot use: `{"valid": false}`. A new address makes it valid again."""
    if not isinstance(wanted.get("valid"), bool):
        raise invalid("valid must be true or false.", param="valid")
    customer = account.get("customer", customer_id)
    customer["_tax_location_invalid"] = not wanted["valid"]
    return customer


def _set_balance(account: Account, customer: JsonObject, params: JsonObject, *, kind: str) -> None:
    if "balance" in params:
        currency = customer["currency"] or "usd"
        difference = params["balance"] - customer_balance.of(customer, currency)
        if difference:
            customer_balance.change(account, customer, difference, currency=currency, kind=kind)


def _check_default(account: Account, customer: JsonObject, method_id: str) -> None:
    param = "invoice_settings[default_payment_method]"
    method = account.get("payment_method", method_id, param=param, status=400)
    if method["customer"] != customer["id"]:
        message = (
            f"The customer does not have a payment method with the ID {method_id}. The payment method must be "
            "attached to the customer."
        )
        raise invalid(message, param=param, code="resource_missing")


def _subscriptions(account: Account, customer: JsonObject) -> JsonObject:
    own = [
        account.render(subscription)
        for subscription in account.all("subscription")
        if subscription["customer"] == customer["id"]
        and subscription["status"] not in ("canceled", "incomplete_expired")
    ]
    url = f"/v1/customers/{customer['id']}/subscriptions"
    return {"object": "list", "data": own[:10], "has_more": len(own) > 10, "url": url}


expand.EXPANDABLE_FIELDS["customer", "subscriptions"] = _subscriptions
