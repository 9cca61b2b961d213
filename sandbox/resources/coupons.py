"""Coupons: a percentage or an amount off, once, for some months or forever."""

from sandbox.billing import currencies
from sandbox.billing.discounts import is_valid
from sandbox.errors import invalid
from sandbox.http import expand
from sandbox.http.pagination import in_range
from sandbox.http.parameters import assign, check_length
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import RENDERERS, Account, new_id
from sandbox.store.metadata import merged

_CREATE = (
    "amount_off applies_to currency duration duration_in_months id max_redemptions metadata name percent_off redeem_by"
)


@route("POST", "/v1/coupons", takes=_CREATE)
def create(call: Call) -> JsonObject:
    """Create a coupon, optionally with a given ID."""
    account, params = call.account, call.params
    _check(params)
    coupon_id = params.get("id") or new_id("", length=8)[1:]
    if account.find("coupon", coupon_id):
        raise invalid("Coupon already exists.", param="id", code="resource_already_exists")
    coupon: JsonObject = {
        "id": coupon_id,
        "object": "coupon",
        "amount_off": params.get("amount_off"),
        "created": account.now(),
        "currency": currencies.check(params["currency"]) if "amount_off" in params else None,
        "duration": params.get("duration", "once"),
        "duration_in_months": params.get("duration_in_months"),
        "livemode": False,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merged({}, params.get("metadata")),
        "name": params.get("name"),
        "percent_off": params.get("percent_off"),
        "redeem_by": params.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
    }
    if "applies_to" in params:
        coupon["_applies_to"] = params["applies_to"]
    account.add(coupon)
    account.emit("coupon.created", coupon)
    return coupon


@route("GET", "/v1/coupons/{coupon}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a coupon."""
    return call.account.get("coupon", call.ids["coupon"])


@route("GET", "/v1/coupons", takes="created")
def list_all(call: Call) -> Page:
    """List all coupons."""
    created = call.params.get("created")
    return Page([coupon for coupon in call.account.all("coupon") if in_range(coupon["created"], created)])


@route("POST", "/v1/coupons/{coupon}", takes="metadata name")
def update(call: Call) -> JsonObject:
    """Update the name or the metadata; other fields cannot change."""
    coupon = call.account.get("coupon", call.ids["coupon"])
    with call.account.track_changes(coupon, "coupon.updated"):
        assign(coupon, call.params, "name")
        coupon["metadata"] = merged(coupon["metadata"], call.params.get("metadata"))
    return coupon


@route("DELETE", "/v1/coupons/{coupon}")
def delete(call: Call) -> JsonObject:
    """Delete a coupon. Existing discounts stay."""
    account = call.account
    coupon = account.get("coupon", call.ids["coupon"])
    account.emit("coupon.deleted", coupon)
    stub = account.drop(coupon)
    stub["_was"] = coupon
    return stub


def _check(params: JsonObject) -> None:
    check_length(params.get("name"), 40, param="name")
    if ("percent_off" in params) == ("amount_off" in params):
        message = "You must pass exactly one of `percent_off` or `amount_off`."
        raise invalid(message, param="percent_off", code="parameters_exclusive")
    if "percent_off" in params and not 0 < params["percent_off"] <= 100:
        raise invalid("Invalid percent_off: must be greater than 0 and at most 100", param="percent_off")
    if params.get("amount_off", 1) <= 0:
        raise invalid("Invalid positive integer", param="amount_off", code="parameter_invalid_integer")
    if "amount_off" in params and "currency" not in params:
        raise invalid("Missing required param: currency.", param="currency", code="parameter_missing")
    if (params.get("duration") == "repeating") != ("duration_in_months" in params):
        message = "`duration_in_months` is required if, and only if, `duration` is `repeating`."
        raise invalid(message, param="duration_in_months")
    if params.get("duration_in_months", 1) <= 0:
        raise invalid("Invalid positive integer", param="duration_in_months", code="parameter_invalid_integer")


def _render(account: Account, coupon: JsonObject) -> JsonObject:
    stored = account.find("coupon", coupon["id"]) or coupon
    return {**coupon, "valid": is_valid(account, stored)}


def _applies_to(account: Account, coupon: JsonObject) -> JsonObject | None:
    stored: JsonObject = account.find("coupon", coupon["id"]) or {}
    return stored.get("_applies_to")


RENDERERS["coupon"] = _render
expand.EXPANDABLE_FIELDS["coupon", "applies_to"] = _applies_to
