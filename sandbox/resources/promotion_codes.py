"""Promotion codes: codes that customers enter to redeem a coupon."""

import re
import secrets
import string

from sandbox.errors import invalid, unsupported
from sandbox.http.pagination import in_range
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id
from sandbox.store.metadata import merged

_CODE = re.compile(r"[A-Za-z0-9-]{1,500}")


@route(
    "POST",
    "/v1/promotion_codes",
    takes="active code customer expires_at max_redemptions metadata promotion restrictions",
)
def create(call: Call) -> JsonObject:
    """Create a promotion code. Active codes are unique."""
    account, params = call.account, call.params
    coupon_id = params["promotion"].get("coupon")
    if coupon_id is None:
        name = "promotion[coupon]"
        raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    account.get("coupon", coupon_id, param="promotion[coupon]", status=400)
    if "customer" in params:
        account.get("customer", params["customer"], param="customer", status=400)
    if params.get("expires_at") is not None and params["expires_at"] <= account.now():
        raise invalid("The expiration must be in the future.", param="expires_at")
    code = params.get("code") or "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(8))
    if not _CODE.fullmatch(code):
        message = "The promotion code can only contain letters, digits and dashes, and up to 500 characters."
        raise invalid(message, param="code")
    if find_active(account, code):
        raise invalid(f"An active promotion code with `code: {code}` already exists.", param="code")
    restrictions = params.get("restrictions", {})
    _check_restrictions(restrictions)
    if params.get("max_redemptions", 1) <= 0:
        raise invalid("Invalid positive integer", param="max_redemptions", code="parameter_invalid_integer")
    promotion_code: JsonObject = {
        "id": new_id("promo"),
        "object": "promotion_code",
        "active": params.get("active", True),
        "code": code,
        "created": account.now(),
        "customer": params.get("customer"),
        "expires_at": params.get("expires_at"),
        "livemode": False,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merged({}, params.get("metadata")),
        "promotion": {"coupon": coupon_id, "type": "coupon"},
        "restrictions": {
            "first_time_transaction": restrictions.get("first_time_transaction", False),
            "minimum_amount": restrictions.get("minimum_amount"),
            "minimum_amount_currency": str(restrictions.get("minimum_amount_currency", "")).lower() or None,
        },
        "times_redeemed": 0,
    }
    account.add(promotion_code)
    account.emit("promotion_code.created", promotion_code)
    return promotion_code


def _check_restrictions(restrictions: JsonObject) -> None:
    if "currency_options" in restrictions:
        raise unsupported("the parameter restrictions[currency_options] on POST /v1/promotion_codes")
    if ("minimum_amount" in restrictions) != ("minimum_amount_currency" in restrictions):
        message = "You must pass both or neither of minimum_amount and minimum_amount_currency."
        raise invalid(message, param="restrictions[minimum_amount]")
    if restrictions.get("minimum_amount", 1) <= 0:
        raise invalid("Invalid positive integer", param="restrictions[minimum_amount]")


@route("GET", "/v1/promotion_codes/{promotion_code}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a promotion code."""
    return call.account.get("promotion_code", call.ids["promotion_code"])


@route("GET", "/v1/promotion_codes", takes="active code coupon created customer")
def list_all(call: Call) -> Page:
    """List promotion codes by code (case-insensitive), coupon and other fields."""
    params = call.params
    return Page(
        [
            code
            for code in call.account.all("promotion_code")
            if ("code" not in params or code["code"].casefold() == params["code"].casefold())
            and ("active" not in params or code["active"] == params["active"])
            and ("coupon" not in params or code["promotion"]["coupon"] == params["coupon"])
            and ("customer" not in params or code["customer"] == params["customer"])
            and in_range(code["created"], params.get("created"))
        ]
    )


@route("POST", "/v1/promotion_codes/{promotion_code}", takes="active metadata")
def update(call: Call) -> JsonObject:
    """Activate or deactivate a code, or update its metadata."""
    account, params = call.account, call.params
    code = account.get("promotion_code", call.ids["promotion_code"])
    if params.get("active") and not code["active"] and find_active(account, code["code"]):
        raise invalid(f"An active promotion code with `code: {code['code']}` already exists.", param="active")
    with account.track_changes(code, "promotion_code.updated"):
        code["active"] = params.get("active", code["active"])
        code["metadata"] = merged(code["metadata"], params.get("metadata"))
    return code


def find_active(account: Account, code: str) -> JsonObject | None:
    """Return the active promotion code with this text (case-insensitive), or None."""
    for candidate in account.all("promotion_code"):
        if candidate["active"] and candidate["code"].casefold() == code.casefold():
            return candidate
    return None
