"""Rules for new checkout sessions that involve several parameters."""

from urllib.parse import urlsplit

from sandbox.billing import trials
from sandbox.errors import invalid, unsupported
from sandbox.http.parameters import check_length
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account

_MIN_LIFETIME, _MAX_LIFETIME = 30 * 60, 24 * 3600
_MODE_RULES = {
    "shipping_options": "`shipping_options` can only be used in `payment` mode.",
    "customer_creation": "`customer_creation` can only be used in `payment` and `setup` mode.",
    "payment_intent_data": "You can not pass `payment_intent_data` in `subscription` mode.",
}
_LINE_PARAMS = {"price", "quantity", "metadata"}
_DATA = {"metadata", "description", "billing_mode", "trial_end", "trial_period_days", "trial_settings"}
_MIN_TRIAL = 48 * 3600


def check(account: Account, params: JsonObject) -> None:
    """Raise Stripe's 400 for the first broken rule, or 501 for what the sandbox does not support."""
    if params.get("mode") is None:
        raise invalid("Missing required param: mode.", param="mode", code="parameter_missing")
    if params["mode"] != "subscription":
        raise unsupported(f"mode={params['mode']} on POST /v1/checkout/sessions")
    for name, message in _MODE_RULES.items():
        if name in params:
            raise invalid(message, param=name)
    if params.get("billing_address_collection") == "required":
        raise unsupported("billing_address_collection=required")
    _check_urls(params)
    _check_customer(account, params)
    _check_lengths(params)
    _check_lines(params)
    _check_optional(params)
    _check_discounts(params)
    _check_trial(account, params)
    _check_times(account, params)
    for name in params.get("subscription_data", {}).keys() - _DATA:
        raise unsupported(f"the parameter subscription_data[{name}]")


def _check_urls(params: JsonObject) -> None:
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise unsupported(f"ui_mode={params['ui_mode']}")
    if not params.get("success_url"):
        raise invalid("Missing required param: success_url.", param="success_url", code="parameter_missing")
    for name in ("success_url", "cancel_url"):
        parts = urlsplit(params.get(name) or "https://ok")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise invalid(
                "Not a valid URL: an explicit scheme (such as https) must be provided.", param=name, code="url_invalid"
            )


def _check_customer(account: Account, params: JsonObject) -> None:
    if "customer" in params:
        account.get("customer", params["customer"], param="customer", status=400)
        if "customer_email" in params:
            message = "You may only specify one of these parameters: customer, customer_email."
            raise invalid(message, param="customer", code="parameters_exclusive")
    elif "customer_update" in params:
        raise invalid("`customer_update` can only be used with `customer`.", param="customer_update")
    shipping = params.get("customer_update", {}).get("shipping")
    if shipping == "auto" and "shipping_address_collection" not in params:
        message = "`customer_update[shipping]` requires `shipping_address_collection`."
        raise invalid(message, param="customer_update[shipping]")
    _check_tax_location(account, params)
    countries = params.get("shipping_address_collection", {}).get("allowed_countries")
    if countries is not None and not countries:
        raise invalid("You must allow at least one country.", param="shipping_address_collection[allowed_countries]")


def _check_tax_location(account: Account, params: JsonObject) -> None:
    update = params.get("customer_update", {})
    if "customer" not in params or not params.get("automatic_tax", {}).get("enabled") or "auto" in update.values():
        return
    customer = account.get("customer", params["customer"])
    if customer["address"] is None and customer["shipping"] is None:
        raise invalid(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to "
            "the Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]` to 'auto' "
            "to save the address entered in Checkout to the Customer.",
            param="automatic_tax",
            code="customer_tax_location_invalid",
        )


def _check_lengths(params: JsonObject) -> None:
    check_length(params.get("client_reference_id"), 200, param="client_reference_id")
    description = params.get("subscription_data", {}).get("description")
    check_length(description, 500, param="subscription_data[description]")
    for name, text in params.get("custom_text", {}).items():
        check_length((text or {}).get("message"), 1200, param=f"custom_text[{name}][message]")


def _check_lines(params: JsonObject) -> None:
    if not params.get("line_items"):
        raise invalid("Missing required param: line_items.", param="line_items", code="parameter_missing")
    if len(params["line_items"]) > 20:
        raise invalid("A subscription can have at most 20 recurring line items.", param="line_items")
    for index, entry in enumerate(params["line_items"]):
        for name in entry.keys() - _LINE_PARAMS:
            raise unsupported(f"the parameter line_items[][{name}]")
        if "price" not in entry:
            where = f"line_items[{index}][price]"
            raise invalid(f"Missing required param: {where}.", param=where, code="parameter_missing")
        if "quantity" not in entry:
            message = f"Quantity is required. Add `quantity` to `line_items[{index}]`"
            raise invalid(message, param=f"line_items[{index}]")
        if entry["quantity"] < 1:
            raise invalid("Invalid positive integer", param=f"line_items[{index}][quantity]")


def _check_optional(params: JsonObject) -> None:
    items = params.get("optional_items", [])
    if len(items) > 10:
        raise invalid("You can have at most 10 optional items.", param="optional_items")
    for index, entry in enumerate(items):
        if entry.get("adjustable_quantity", {}).get("enabled"):
            raise unsupported("the parameter optional_items[][adjustable_quantity] on POST /v1/checkout/sessions")
        if entry["quantity"] < 1:
            raise invalid("Invalid positive integer", param=f"optional_items[{index}][quantity]")
        if entry["price"] in [line["price"] for line in params["line_items"]]:
            message = "An optional item cannot have the price of a line item."
            raise invalid(message, param=f"optional_items[{index}][price]")


def _check_trial(account: Account, params: JsonObject) -> None:
    data, now = params.get("subscription_data", {}), account.now_for(params.get("customer"))
    end = trials.end_of(data, now=now)
    if end is not None and "trial_end" in data and end < now + _MIN_TRIAL:
        message = "The `trial_end` date has to be at least 2 days in the future."
        raise invalid(message, param="subscription_data[trial_end]")
    if end is None and "trial_settings" in data:
        raise invalid("`trial_settings` requires a trial.", param="subscription_data[trial_settings]")


def _check_discounts(params: JsonObject) -> None:
    items = params.get("discounts", [])
    if len(items) > 1:
        raise invalid("You may only apply one discount to a Checkout Session.", param="discounts")
    if items and params.get("allow_promotion_codes") is not None:
        message = "You may only specify one of these parameters: allow_promotion_codes, discounts."
        raise invalid(message, param="allow_promotion_codes", code="parameters_exclusive")


def _check_times(account: Account, params: JsonObject) -> None:
    if "expires_at" in params:
        ahead = params["expires_at"] - account.now_for(params.get("customer"))
        # Allow a few seconds for the time the request was on its way.
        if ahead < _MIN_LIFETIME - 5:
            raise invalid("The `expires_at` timestamp must be at least 30 minutes from now.", param="expires_at")
        if ahead > _MAX_LIFETIME + 5:
            raise invalid("The `expires_at` timestamp must be less than 24 hours from now.", param="expires_at")
