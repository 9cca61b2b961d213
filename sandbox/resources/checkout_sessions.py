"""Checkout sessions with mode `subscription`. `sandbox.resources.checkout_payment` completes them."""

from sandbox.billing import currencies, discounts, prices, subscription_creation, test_bank_accounts
from sandbox.errors import invalid
from sandbox.http import expand
from sandbox.http.pagination import in_range
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.resources import checkout_payment as checkout
from sandbox.resources.checkout_validation import check
from sandbox.store.accounts import Account, new_id
from sandbox.store.metadata import merged

_DAY = 86400
_CREATE = (
    "allow_promotion_codes automatic_tax billing_address_collection cancel_url client_reference_id currency custom_text "
    "customer customer_email customer_update discounts expires_at line_items locale metadata mode "
    "payment_method_collection shipping_address_collection subscription_data submit_type success_url ui_mode "
    "allowed_payment_method_types excluded_payment_method_types customer_creation payment_intent_data shipping_options "
    "optional_items"
)


@route("POST", "/v1/checkout/sessions", takes=_CREATE)
def create(call: Call) -> JsonObject:
    """Create a checkout session with a hosted page."""
    account, params = call.account, call.params
    check(account, params)
    wanted = currencies.check(params["currency"]) if "currency" in params else None
    lines = [
        (
            prices.get(account, entry["price"], wanted, param=f"line_items[{index}][price]", status=400),
            entry["quantity"],
        )
        for index, entry in enumerate(params["line_items"])
    ]
    subscription_creation.check_prices([price for price, _ in lines], param="line_items[{}][price]")
    optional = _optional(account, params, lines[0][0])
    customer_id = params.get("customer")
    coupons = [
        discounts.coupon_of(account, entry, customer_id=customer_id, param=f"discounts[{index}]")
        for index, entry in enumerate(params.get("discounts", []))
    ]
    currency = lines[0][0]["currency"]
    prices.check_customer_currency(account, customer_id, currency)
    discounts.check_currency(account, coupons, currency, param="discounts[0]")
    total = sum(price["unit_amount"] * quantity for price, quantity in lines)
    for _, code_id in coupons:
        discounts.check_minimum(account, code_id, total, currency, param="discounts[0][promotion_code]")
    session = _session(account, params, base_url=call.base_url, currency=currency)
    session["_lines"] = [(price["id"], quantity, new_id("li")) for price, quantity in lines]
    session["_discounts"] = coupons
    session["optional_items"] = optional
    session["discounts"] = checkout.discounts_json(session)
    account.add(session)
    checkout.compute(account, session)
    _check_minimum(account, session)
    account.scheduler.schedule(account.clock_of(customer_id), session["expires_at"], "checkout.expiry", session["id"])
    return session


def _optional(account: Account, params: JsonObject, first: JsonObject) -> list[JsonObject] | None:
    """Return the optional items of a session."""
    given = params.get("optional_items", [])
    found = [
        prices.get(account, entry["price"], first["currency"], param=f"optional_items[{index}][price]", status=400)
        for index, entry in enumerate(given)
    ]
    subscription_creation.check_prices([first, *found], param="optional_items[{}][price]")
    items_json = [
        {"adjustable_quantity": None, "price": entry["price"], "quantity": entry["quantity"]} for entry in given
    ]
    return items_json or None


@route("GET", "/v1/checkout/sessions/{session}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a checkout session."""
    return call.account.get("checkout.session", call.ids["session"])


@route("GET", "/v1/checkout/sessions", takes="created customer customer_details payment_intent status subscription")
def list_all(call: Call) -> Page:
    """List checkout sessions by customer, subscription or status."""
    params = call.params
    email = params.get("customer_details", {}).get("email")
    return Page(
        [
            session
            for session in call.account.all("checkout.session")
            if all(
                session[name] == params[name]
                for name in ("customer", "payment_intent", "status", "subscription")
                if name in params
            )
            and (email is None or (session["customer_details"] or {}).get("email") == email)
            and in_range(session["created"], params.get("created"))
        ]
    )


@route("POST", "/v1/checkout/sessions/{session}", takes="metadata")
def update(call: Call) -> JsonObject:
    """Update the metadata."""
    session = call.account.get("checkout.session", call.ids["session"])
    session["metadata"] = merged(session["metadata"], call.params.get("metadata"))
    return session


@route("POST", "/v1/checkout/sessions/{session}/expire")
def expire(call: Call) -> JsonObject:
    """Expire an open session."""
    session = call.account.get("checkout.session", call.ids["session"])
    if session["status"] != "open":
        message = (
            f"Only Checkout Sessions with a status in ['open'] can be expired. This Checkout Session has a status of "
            f"{session['status']}"
        )
        raise invalid(message)
    checkout.expire(call.account, session)
    return session


@route("GET", "/v1/checkout/sessions/{session}/line_items")
def line_items(call: Call) -> Page:
    """List the line items of a session in order."""
    return Page(_line_items(call.account, call.account.get("checkout.session", call.ids["session"])))


def _session(account: Account, params: JsonObject, *, base_url: str, currency: str) -> JsonObject:
    now = account.now_for(params.get("customer"))
    session_id = new_id("cs_test", length=58)
    data = params.get("subscription_data", {})
    taxed = params.get("automatic_tax", {}).get("enabled", False)
    return {
        "id": session_id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "allow_promotion_codes": params.get("allow_promotion_codes"),
        "automatic_tax": {
            "enabled": taxed,
            "liability": {"type": "self"} if taxed else None,
            "provider": "stripe" if taxed else None,
            "status": "complete" if taxed else None,
        },
        "billing_address_collection": params.get("billing_address_collection"),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": now,
        "currency": currency,
        "custom_fields": [],
        "custom_text": {
            name: params.get("custom_text", {}).get(name) or None
            for name in ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        },
        "customer": params.get("customer"),
        "customer_creation": None if "customer" in params else "always",
        "customer_details": _known_details(account, params),
        "customer_email": params.get("customer_email"),
        "expires_at": params.get("expires_at", now + _DAY),
        "livemode": False,
        "locale": params.get("locale"),
        "metadata": merged({}, params.get("metadata")),
        "mode": "subscription",
        "payment_method_collection": params.get("payment_method_collection", "always"),
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": _payment_method_types(account, params, currency),
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "saved_payment_method_options": {
            "allow_redisplay_filters": ["always"],
            "payment_method_remove": "disabled",
            "payment_method_save": None,
        },
        "shipping_address_collection": params.get("shipping_address_collection"),
        "shipping_options": [],
        "status": "open",
        "submit_type": params.get("submit_type"),
        "success_url": params["success_url"],
        "ui_mode": "hosted_page",
        "url": f"{base_url}/c/pay/{session_id}",
        "_subscription_data": {
            "metadata": merged({}, data.get("metadata")),
            "description": data.get("description"),
            "billing_mode": data.get("billing_mode", {}).get("type", "flexible"),
            "trial": {
                name: data[name] for name in ("trial_end", "trial_period_days", "trial_settings") if name in data
            },
        },
        "_customer_update": params.get("customer_update", {}),
    }


def _check_minimum(account: Account, session: JsonObject) -> None:
    if 0 < session["amount_total"] < currencies.minimum(session["currency"]):
        account.drop(session)
        least = currencies.display(currencies.minimum(session["currency"]), session["currency"])
        message = f"The Checkout Session's total amount due must add up to at least {least} {session['currency']}"
        raise invalid(message, param="line_items", code="amount_too_small")


def _payment_method_types(account: Account, params: JsonObject, currency: str) -> list[str]:
    """Return the types that the account has enabled, in the session's currency."""
    allowed = params.get("allowed_payment_method_types")
    excluded = params.get("excluded_payment_method_types", [])
    types = [
        kind
        for kind in account.settings.payment_methods
        if test_bank_accounts.CURRENCIES.get(kind, currency) == currency
        and (not allowed or kind in allowed)
        and kind not in excluded
    ]
    if not types:
        raise invalid("No valid payment method types for this Checkout Session.", param="allowed_payment_method_types")
    return types


def _known_details(account: Account, params: JsonObject) -> JsonObject | None:
    customer = account.find("customer", params.get("customer"))
    email = customer["email"] if customer else params.get("customer_email")
    if customer is None and email is None:
        return None
    return checkout.details(email=email, name=None, address=None)


def _line_items(account: Account, session: JsonObject) -> list[JsonObject]:
    lines = checkout.lines(account, session)
    items_json = []
    for (_, _, line_id), line in zip(session["_lines"], lines, strict=True):
        product = account.find("product", line.price["product"])
        items_json.append(
            {
                "id": line_id,
                "object": "item",
                "amount_discount": sum(line.discounts.values()),
                "amount_subtotal": line.subtotal,
                "amount_tax": line.tax,
                "amount_total": line.total,
                "currency": session["currency"],
                "description": product["name"] if product else None,
                "metadata": {},
                "price": account.render(line.price),
                "quantity": line.quantity,
                "adjustable_quantity": None,
            }
        )
    return items_json


def _load_line_items(account: Account, session: JsonObject) -> JsonObject:
    stored = account.get("checkout.session", session["id"])
    url = f"/v1/checkout/sessions/{session['id']}/line_items"
    return {"object": "list", "data": _line_items(account, stored), "has_more": False, "url": url}


expand.EXPANDABLE_FIELDS["checkout.session", "line_items"] = _load_line_items
