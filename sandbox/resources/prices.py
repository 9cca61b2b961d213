"""Prices. Amounts never change; a lookup key can be transferred to a newer price."""

from decimal import Decimal

from sandbox.billing import currencies
from sandbox.errors import invalid, unsupported
from sandbox.http import expand
from sandbox.http.pagination import in_range
from sandbox.http.parameters import assign, unset
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id
from sandbox.store.metadata import merged

_CREATE = (
    "active billing_scheme currency currency_options lookup_key metadata nickname product product_data recurring "
    "tax_behavior transfer_lookup_key unit_amount unit_amount_decimal"
)


@route("POST", "/v1/prices", takes=_CREATE)
def create(call: Call) -> JsonObject:
    """Create a one-time or recurring price."""
    account, params = call.account, call.params
    recurring = _recurring(params.get("recurring"))
    amount = _amount(params)
    currency = currencies.check(params["currency"])
    currencies.check_amount(amount, currency, param="unit_amount")
    product = _product(account, params)
    _claim_lookup_key(account, params)
    price: JsonObject = {
        "id": new_id("price"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": params.get("billing_scheme", "per_unit"),
        "created": account.now(),
        "currency": currency,
        "livemode": False,
        "lookup_key": params.get("lookup_key"),
        "metadata": merged({}, params.get("metadata")),
        "nickname": params.get("nickname"),
        "product": product,
        "recurring": recurring,
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "type": "recurring" if recurring else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
        "_currency_options": _currency_options(params, currency),
    }
    account.add(price)
    account.emit("price.created", price)
    return price


@route("GET", "/v1/prices/{price}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a price."""
    return call.account.get("price", call.ids["price"])


@route(
    "POST",
    "/v1/prices/{price}",
    takes="active currency_options lookup_key metadata nickname tax_behavior transfer_lookup_key",
)
def update(call: Call) -> JsonObject:
    """Update a price. The amount cannot change, and the tax behavior only once."""
    account, params = call.account, call.params
    price = account.get("price", call.ids["price"])
    wanted = params.get("tax_behavior", price["tax_behavior"])
    if price["tax_behavior"] != "unspecified" and wanted != price["tax_behavior"]:
        raise invalid("The tax behavior of a price cannot be changed once it is set.", param="tax_behavior")
    _claim_lookup_key(account, params, owner=price["id"])
    with account.track_changes(price, "price.updated"):
        assign(price, params, "active lookup_key nickname tax_behavior")
        price["metadata"] = merged(price["metadata"], params.get("metadata"))
        price["_currency_options"] |= _currency_options(params, price["currency"])
    return price


@route("GET", "/v1/prices", takes="active created currency lookup_keys product recurring type")
def list_all(call: Call) -> Page:
    """List prices by lookup key, product and other fields."""
    params = call.params
    if len(params.get("lookup_keys", [])) > 10:
        raise invalid("You may only specify up to 10 lookup_keys.", param="lookup_keys")
    return Page([price for price in call.account.all("price") if _matches(price, params)])


def _matches(price: JsonObject, params: JsonObject) -> bool:
    wanted = {name: params[name] for name in ("active", "currency", "product", "type") if name in params}
    recurring = params.get("recurring", {})
    return (
        all(price[name] == value for name, value in wanted.items())
        and ("lookup_keys" not in params or price["lookup_key"] in params["lookup_keys"])
        and in_range(price["created"], params.get("created"))
        and all((price["recurring"] or {}).get(name) == value for name, value in recurring.items())
    )


def _recurring(given: JsonObject | None) -> JsonObject | None:
    if given is None:
        return None
    if given.get("usage_type", "licensed") != "licensed" or "meter" in given:
        raise unsupported("metered prices")
    if given.get("trial_period_days"):
        raise unsupported("the parameter recurring[trial_period_days]")
    count = given.get("interval_count", 1)
    if not 1 <= count <= {"day": 1095, "week": 156, "month": 36, "year": 3}[given["interval"]]:
        raise invalid("The interval of a price is at most three years.", param="recurring[interval_count]")
    return {
        "interval": given["interval"],
        "interval_count": count,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def _amount(params: JsonObject) -> int:
    if params.get("billing_scheme", "per_unit") != "per_unit":
        raise unsupported("tiered prices")
    if "unit_amount_decimal" in params:
        if "unit_amount" in params:
            message = "You may only specify one of these parameters: unit_amount, unit_amount_decimal."
            raise invalid(message, code="parameters_exclusive", param="unit_amount_decimal")
        exact = Decimal(params["unit_amount_decimal"])
        if exact != int(exact):
            raise unsupported("fractions of a minor unit")
        amount = int(exact)
    elif "unit_amount" in params:
        amount = params["unit_amount"]
    else:
        raise invalid("Missing required param: unit_amount.", param="unit_amount", code="parameter_missing")
    if amount < 0:
        raise invalid("Invalid non-negative integer", param="unit_amount", code="parameter_invalid_integer")
    return amount


def _currency_options(params: JsonObject, own: str) -> dict[str, JsonObject]:
    """Return the amounts in other currencies."""
    options = {}
    for code, given in (unset(params.get("currency_options")) or {}).items():
        where = f"currency_options[{code}]"
        currency = currencies.check(code, param=where)
        for name in given.keys() - {"unit_amount", "unit_amount_decimal", "tax_behavior"}:
            raise unsupported(f"the parameter {where}[{name}]")
        amount = _amount(given)
        currencies.check_amount(amount, currency, param=f"{where}[unit_amount]")
        if currency == own:
            raise invalid(f"{own} is the currency of the price itself.", param=where)
        options[currency] = {
            "tax_behavior": given.get("tax_behavior", "unspecified"),
            "unit_amount": amount,
            "unit_amount_decimal": str(amount),
        }
    return options


def _load_currency_options(account: Account, price: JsonObject) -> JsonObject:
    stored = account.get("price", price["id"])
    own = {name: price[name] for name in ("tax_behavior", "unit_amount", "unit_amount_decimal")}
    return {
        currency: {"custom_unit_amount": None, **option}
        for currency, option in {price["currency"]: own, **stored["_currency_options"]}.items()
    }


expand.EXPANDABLE_FIELDS["price", "currency_options"] = _load_currency_options


def _product(account: Account, params: JsonObject) -> str:
    if ("product" in params) == ("product_data" in params):
        raise invalid("You must specify either `product` or `product_data` when creating a price.", param="product")
    if "product_data" in params:
        raise unsupported("the parameter product_data on POST /v1/prices")
    return str(account.get("product", params["product"], param="product", status=400)["id"])


def _claim_lookup_key(account: Account, params: JsonObject, *, owner: str | None = None) -> None:
    """Ensure that a lookup key has one price: another price takes it over only with `transfer_lookup_key`."""
    key = unset(params.get("lookup_key"))
    if key is None:
        return
    if len(key) > 200:
        raise invalid("A lookup key can have up to 200 characters.", param="lookup_key")
    for other in account.all("price"):
        if other["lookup_key"] == key and other["id"] != owner:
            if not params.get("transfer_lookup_key"):
                message = f"A price (`{other['id']}`) already uses that lookup key."
                raise invalid(message, param="lookup_key", code="resource_already_exists")
            with account.track_changes(other, "price.updated"):
                other["lookup_key"] = None
