"""Payment methods, created from Stripe's test IDs or on the checkout page."""

from sandbox.billing import test_bank_accounts, test_cards
from sandbox.billing.test_bank_accounts import BankAccount
from sandbox.errors import StripeError, invalid, unsupported
from sandbox.http.parameters import address, unset
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id
from sandbox.store.metadata import merged

_TOKENS = {"tok_visa": "pm_card_visa", "tok_mastercard": "pm_card_mastercard", "tok_amex": "pm_card_amex"}


def make(
    account: Account,
    card: test_cards.Card,
    *,
    expiry: tuple[int, int] = (12, 2040),
    billing: JsonObject | None = None,
    now: int | None = None,
) -> JsonObject:
    """Create a card payment method without a customer."""
    method = _blank(account, "card", billing=billing, now=now)
    return account.add({**method, "card": _card(card, expiry), "_card": card})


def make_debit(
    account: Account, bank: BankAccount, *, billing: JsonObject | None = None, now: int | None = None
) -> JsonObject:
    """Create a bank account payment method without a customer."""
    method = _blank(account, bank.type, billing=billing, now=now)
    return account.add({**method, bank.type: bank.details(), "_bank": bank})


def _blank(account: Account, kind: str, *, billing: JsonObject | None, now: int | None) -> JsonObject:
    details = billing or {}
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": address(details.get("address") or {}),
            "email": details.get("email"),
            "name": details.get("name"),
            "phone": details.get("phone"),
            "tax_id": None,
        },
        "created": account.now() if now is None else now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
    }


def usable(account: Account, method_id: str, *, param: str, status: int = 400) -> JsonObject:
    """Return a payment method. A test ID such as `pm_card_visa` creates a new one, as at Stripe."""
    card, bank = test_cards.by_method(method_id), test_bank_accounts.by_method(method_id)
    if bank is not None:
        return make_debit(account, bank)
    return make(account, card) if card else account.get("payment_method", method_id, param=param, status=status)


def attach_to(account: Account, method: JsonObject, customer_id: str) -> None:
    """
    Attach a payment method to a customer.

    :raises StripeError: 402 if the card is declined, 400 if it has another customer or was detached before.
    """
    card: test_cards.Card | None = method.get("_card")
    if method["customer"] == customer_id:
        return
    if method["customer"] is not None:
        raise invalid("The payment method you provided has already been attached to a customer.")
    if method.get("_detached"):
        raise invalid(
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a "
            "Customer, and may not be used again."
        )
    if card is not None and card.decline and not card.attaches:
        code, decline_code, message = card.decline
        raise StripeError(402, "card_error", message, code=code, decline_code=decline_code)
    method["customer"] = customer_id
    method["_test_clock"] = account.clock_of(customer_id)
    account.emit("payment_method.attached", method)


@route(
    "POST",
    "/v1/payment_methods",
    takes="type card sepa_debit us_bank_account bacs_debit billing_details metadata allow_redisplay",
)
def create(call: Call) -> JsonObject:
    """Create a card from a test token, or a bank account from a test number. Raw card numbers are rejected."""
    account, params = call.account, call.params
    if params.get("type") in test_bank_accounts.CURRENCIES:
        return _create_debit(account, params)
    if params.get("type") != "card" or "card" not in params:
        raise unsupported(f"payment methods of type {params.get('type')}")
    if "token" not in params["card"]:
        raise StripeError(
            402,
            "card_error",
            "Sending credit card numbers directly to the Stripe API is generally unsafe. Use a test token such as "
            "tok_visa, or a test payment method such as pm_card_visa.",
            param="card[number]",
        )
    card = test_cards.by_method(_TOKENS.get(params["card"]["token"], ""))
    if card is None:
        raise invalid(f"No such token: '{params['card']['token']}'", param="card[token]", code="resource_missing")
    method = make(account, card, billing=params.get("billing_details"))
    method["metadata"] = merged({}, params.get("metadata"))
    method["allow_redisplay"] = params.get("allow_redisplay", "unspecified")
    return method


def _create_debit(account: Account, params: JsonObject) -> JsonObject:
    kind = params["type"]
    given = params.get(kind, {})
    param = f"{kind}[{'iban' if kind == 'sepa_debit' else 'account_number'}]"
    number = given.get("iban" if kind == "sepa_debit" else "account_number")
    if number is None:
        raise invalid(f"Missing required param: {param}.", param=param, code="parameter_missing")
    details = params.get("billing_details", {})
    needed = ("name",) if kind == "us_bank_account" else ("name", "email")
    for name in needed:
        if not details.get(name):
            where = f"billing_details[{name}]"
            raise invalid(f"Missing required param: {where}.", param=where, code="parameter_missing")
    bank = test_bank_accounts.by_number(kind, number)
    if bank is None:
        code = "invalid_bank_account_iban" if kind == "sepa_debit" else "account_number_invalid"
        raise invalid("The bank account number is not one of Stripe's test numbers.", param=param, code=code)
    method = make_debit(account, bank, billing=details)
    method["metadata"] = merged({}, params.get("metadata"))
    method["allow_redisplay"] = params.get("allow_redisplay", "unspecified")
    return method


@route("GET", "/v1/payment_methods/{payment_method}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a payment method."""
    return call.account.get("payment_method", call.ids["payment_method"])


@route("GET", "/v1/payment_methods", takes="customer type allow_redisplay")
def list_all(call: Call) -> Page:
    """List payment methods by customer."""
    params = call.params
    return Page(
        [
            method
            for method in call.account.all("payment_method")
            if ("customer" not in params or method["customer"] == params["customer"])
            and ("type" not in params or method["type"] == params["type"])
            and ("allow_redisplay" not in params or method["allow_redisplay"] == params["allow_redisplay"])
        ]
    )


@route("GET", "/v1/customers/{customer}/payment_methods", takes="type allow_redisplay")
def list_for_customer(call: Call) -> Page:
    """List the payment methods of a customer."""
    customer = call.account.get("customer", call.ids["customer"])
    return Page(
        [
            method
            for method in call.account.all("payment_method")
            if method["customer"] == customer["id"] and call.params.get("type", "card") == method["type"]
        ]
    )


@route("POST", "/v1/payment_methods/{payment_method}", takes="allow_redisplay billing_details metadata")
def update(call: Call) -> JsonObject:
    """Update an attached payment method."""
    account, params = call.account, call.params
    method = account.get("payment_method", call.ids["payment_method"])
    if method["customer"] is None:
        raise invalid("You must save this PaymentMethod to a customer before you can update it.")
    with account.track_changes(method, "payment_method.updated"):
        method["metadata"] = merged(method["metadata"], params.get("metadata"))
        method["allow_redisplay"] = params.get("allow_redisplay", method["allow_redisplay"])
        for name, value in params.get("billing_details", {}).items():
            method["billing_details"][name] = address(value or {}) if name == "address" else unset(value)
    return method


@route("POST", "/v1/payment_methods/{payment_method}/attach", takes="customer")
def attach(call: Call) -> JsonObject:
    """Attach a payment method to a customer. A test ID creates a new payment method."""
    account = call.account
    if "customer" not in call.params:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = account.get("customer", call.params["customer"], param="customer", status=400)
    method = usable(account, call.ids["payment_method"], param="payment_method", status=404)
    method["created"] = account.now_for(customer["id"]) if method["customer"] is None else method["created"]
    attach_to(account, method, customer["id"])
    return method


@route("POST", "/v1/payment_methods/{payment_method}/detach")
def detach(call: Call) -> JsonObject:
    """Detach a payment method for good, and remove it wherever it is the default."""
    account = call.account
    method = account.get("payment_method", call.ids["payment_method"])
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    customer = account.get("customer", method["customer"])
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        with account.track_changes(customer, "customer.updated"):
            customer["invoice_settings"]["default_payment_method"] = None
    for subscription in account.all("subscription"):
        if subscription["default_payment_method"] == method["id"]:
            with account.track_changes(subscription, "customer.subscription.updated"):
                subscription["default_payment_method"] = None
    method["_detached"] = True
    with account.track_changes(method, "payment_method.detached"):
        method["customer"] = None
    return method


def _card(card: test_cards.Card, expiry: tuple[int, int]) -> JsonObject:
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": card.brand,
        "exp_month": expiry[0],
        "exp_year": expiry[1],
        "fingerprint": f"sandbox{card.last4}",
        "funding": "credit",
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
