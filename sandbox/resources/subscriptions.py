"""Subscriptions: create, retrieve and list. `sandbox.resources.subscription_updates` changes them."""

from sandbox.billing import currencies, discounts, payments, prices, renewals, subscription_creation, trials
from sandbox.errors import invalid, unsupported
from sandbox.http.pagination import in_range
from sandbox.http.parameters import check_length, unset
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.resources.subscription_cancellation import schedule_end
from sandbox.store.accounts import RENDERERS, Account
from sandbox.store.metadata import merged

_CREATE = (
    "automatic_tax billing_mode cancel_at cancel_at_period_end collection_method currency customer "
    "days_until_due default_payment_method description discounts items metadata off_session payment_behavior "
    "proration_behavior trial_end trial_period_days trial_settings"
)
_ID = "subscription_exposed_id"


@route("POST", "/v1/subscriptions", takes=_CREATE)
def create(call: Call) -> JsonObject:
    """Create a subscription and try its first payment."""
    account, params = call.account, call.params
    behavior = _behavior(params)
    wanted = _wanted(account, params)
    method = _paying_method(account, params, wanted)
    free = wanted.days_until_due is not None or wanted.trial_end is not None or _is_free(account, wanted)
    if method is None and behavior != "default_incomplete" and not free:
        raise payments.no_payment_method()
    subscription, invoice = subscription_creation.create(account, wanted)
    subscription_creation.pay_first_invoice(account, subscription, invoice, method, behavior)
    if params.get("cancel_at_period_end") or params.get("cancel_at"):
        schedule_end(account, subscription, params)
    return subscription


def _behavior(params: JsonObject) -> str:
    behavior = str(params.get("payment_behavior", "allow_incomplete"))
    if behavior == "pending_if_incomplete":
        message = "payment_behavior=pending_if_incomplete is not supported when creating a subscription."
        raise invalid(message, param="payment_behavior")
    check_days_until_due(params)
    return behavior


def check_days_until_due(params: JsonObject) -> None:
    """Raise Stripe's 400 unless `days_until_due` is given with `collection_method=send_invoice`, and only then."""
    sends = params.get("collection_method") == "send_invoice"
    if sends and "days_until_due" not in params and "due_date" not in params:
        message = "You must specify `days_until_due` or `due_date` when `collection_method` is `send_invoice`."
        raise invalid(message, param="days_until_due")
    if not sends and "days_until_due" in params:
        message = "You can only specify `days_until_due` if `collection_method` is `send_invoice`."
        raise invalid(message, param="days_until_due")
    if params.get("days_until_due", 0) < 0:
        raise invalid("Invalid non-negative integer", param="days_until_due", code="parameter_invalid_integer")


def _wanted(account: Account, params: JsonObject) -> subscription_creation.SubscriptionSpec:
    check_length(params.get("description"), 500, param="description")
    for name in ("customer", "items"):
        if not params.get(name):
            raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    customer = account.get("customer", params["customer"], param="customer", status=400)
    for entry in params["items"]:
        for name in entry.keys() - {"price", "quantity", "metadata"}:
            raise unsupported(f"the parameter items[][{name}] on POST /v1/subscriptions")
    wanted_currency = currencies.check(params["currency"]) if "currency" in params else None
    items = [
        prices.get(account, entry.get("price", ""), wanted_currency, param=f"items[{index}][price]", status=400)
        for index, entry in enumerate(params["items"])
    ]
    subscription_creation.check_prices(items, param="items[{}][price]")
    given = unset(params.get("discounts")) or []
    chosen = [
        discounts.coupon_of(account, entry, customer_id=customer["id"], param=f"discounts[{index}]")
        for index, entry in enumerate(given)
    ]
    currency = items[0]["currency"]
    prices.check_customer_currency(account, customer["id"], currency)
    discounts.check_currency(account, chosen, currency, param="discounts")
    total = sum(
        price["unit_amount"] * entry.get("quantity", 1) for price, entry in zip(items, params["items"], strict=True)
    )
    for _, code_id in chosen:
        discounts.check_minimum(account, code_id, total, currency, param="discounts")
    return subscription_creation.SubscriptionSpec(
        customer=customer["id"],
        items=[
            (price, entry.get("quantity", 1), merged({}, entry.get("metadata")))
            for price, entry in zip(items, params["items"], strict=True)
        ],
        metadata=merged({}, params.get("metadata")),
        discounts=chosen,
        automatic_tax=params.get("automatic_tax", {}).get("enabled", False),
        description=params.get("description"),
        billing_mode=params.get("billing_mode", {}).get("type", "flexible"),
        trial_end=trials.end_of(params, now=account.now_for(customer["id"])),
        missing_payment_method=trials.missing_payment_method(params),
        days_until_due=params.get("days_until_due"),
    )


def _paying_method(
    account: Account, params: JsonObject, wanted: subscription_creation.SubscriptionSpec
) -> JsonObject | None:
    if "default_payment_method" not in params:
        customer = account.get("customer", wanted.customer)
        return account.find("payment_method", customer["invoice_settings"]["default_payment_method"])
    method = customer_payment_method(account, params["default_payment_method"], wanted.customer)
    wanted.default_payment_method = method["id"]
    return method


def customer_payment_method(account: Account, method_id: str, customer_id: str) -> JsonObject:
    method = account.get("payment_method", method_id, param="default_payment_method", status=400)
    if method["customer"] != customer_id:
        message = (
            f"The customer does not have a payment method with the ID {method_id}. The payment method must be "
            "attached to the customer."
        )
        raise invalid(message, param="default_payment_method", code="resource_missing")
    return method


def _is_free(account: Account, wanted: subscription_creation.SubscriptionSpec) -> bool:
    coupons = [account.get("coupon", coupon_id) for coupon_id, _ in wanted.discounts]
    return all(price["unit_amount"] == 0 for price, _, _ in wanted.items) or any(
        coupon["percent_off"] == 100 for coupon in coupons
    )


@route("GET", "/v1/subscriptions/{subscription_exposed_id}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a subscription."""
    return call.account.get("subscription", call.ids[_ID])


@route("GET", "/v1/subscriptions", takes="created customer price status test_clock")
def list_all(call: Call) -> Page:
    """List subscriptions: ended ones only with `status`, those on test clocks only by customer or clock."""
    return Page([each for each in call.account.all("subscription") if _listed(call.account, each, call.params)])


def _listed(account: Account, subscription: JsonObject, params: JsonObject) -> bool:
    status = params.get("status")
    by_status = {
        None: subscription["status"] not in ("canceled", "incomplete_expired"),
        "all": True,
        "ended": subscription["status"] in ("canceled", "incomplete_expired"),
    }.get(status, subscription["status"] == status)
    on_clock = subscription["test_clock"] is not None and "customer" not in params
    return (
        by_status
        and ("customer" not in params or subscription["customer"] == params["customer"])
        and ("test_clock" in params or not on_clock)
        and ("test_clock" not in params or subscription["test_clock"] == params["test_clock"])
        and ("price" not in params or _has_price(account, subscription, params["price"]))
        and in_range(subscription["created"], params.get("created"))
    )


def _has_price(account: Account, subscription: JsonObject, price_id: str) -> bool:
    return any(item["_price"] == price_id for item in renewals.items_of(account, subscription))


def _render(account: Account, subscription: JsonObject) -> JsonObject:
    stored = account.get("subscription", subscription["id"])
    items = [account.render(item) for item in renewals.items_of(account, stored)]
    url = f"/v1/subscription_items?subscription={subscription['id']}"
    return {**subscription, "items": {"object": "list", "data": items, "has_more": False, "url": url}}


RENDERERS["subscription"] = _render
