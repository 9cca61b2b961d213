"""Paying a checkout session: its amounts, and what completing it creates."""

from dataclasses import dataclass

from sandbox.billing import (
    amounts,
    cancellation,
    charges,
    discounts,
    invoicing,
    payments,
    prices,
    subscription_creation,
    test_bank_accounts,
    test_cards,
    trials,
)
from sandbox.errors import StripeError
from sandbox.http.parameters import address as full_address
from sandbox.json_types import JsonObject
from sandbox.resources import customers, payment_methods
from sandbox.store.accounts import Account, new_id
from sandbox.store.scheduler import job

OptionalItems = tuple[int, ...]
"""Indexes of the selected optional items."""


@dataclass(kw_only=True)
class Payer:
    """What the customer entered on the page, without the card number."""

    email: str
    name: str | None = None
    card: test_cards.Card | None = None
    """None if the customer pays by direct debit, or if nothing is due and no card is required."""
    bank: test_bank_accounts.BankAccount | None = None
    expiry: tuple[int, int] = (12, 2040)
    shipping: JsonObject | None = None
    """`name` and `address`."""
    promotion_code: JsonObject | None = None
    optional: OptionalItems = ()
    authenticated: bool = False


def lines(
    account: Account, session: JsonObject, *, promotion_code: JsonObject | None = None, optional: OptionalItems = ()
) -> list[amounts.LineAmounts]:
    """
    Return the lines of a session with its discount, or with a promotion code the customer entered.

    :param optional: indexes of the selected optional items.
    """
    coupon_ids = [coupon_id for coupon_id, _ in session["_discounts"]]
    if promotion_code is not None:
        coupon_ids = [promotion_code["promotion"]["coupon"]]
    added = [session["optional_items"][index] for index in optional]
    wanted = [(price_id, quantity) for price_id, quantity, _ in session["_lines"]]
    wanted += [(item["price"], item["quantity"]) for item in added]
    found = [
        amounts.LineAmounts(
            price=price, quantity=quantity, subtotal=0 if has_trial(session) else price["unit_amount"] * quantity
        )
        for price, quantity in [
            (prices.get(account, price_id, session["currency"]), quantity) for price_id, quantity in wanted
        ]
    ]
    coupons = {coupon_id: account.get("coupon", coupon_id) for coupon_id in coupon_ids}
    amounts.compute(account, found, coupons=coupons, automatic_tax=session["automatic_tax"]["enabled"])
    return found


def has_trial(session: JsonObject) -> bool:
    """Return whether the session has a trial, so nothing is due today."""
    return bool(session["_subscription_data"]["trial"])


def total(account: Account, session: JsonObject, payer: Payer) -> int:
    """Return the amount due today."""
    computed = lines(account, session, promotion_code=payer.promotion_code, optional=payer.optional)
    return sum(line.total for line in computed)


def validate_promotion_code(account: Account, session: JsonObject, code: JsonObject, optional: OptionalItems) -> None:
    """Raise Stripe's 400 if a promotion code cannot be redeemed for this order."""
    discounts.check_promotion_code(account, code, customer_id=session["customer"], param="promotion_code")
    order = sum(line.subtotal for line in lines(account, session, optional=optional))
    discounts.check_minimum(account, code["id"], order, session["currency"], param="promotion_code")


def discounts_json(session: JsonObject) -> list[JsonObject] | None:
    """Return the `discounts` of a session: each is a promotion code or a coupon."""
    return [
        {"coupon": None if code_id else coupon_id, "promotion_code": code_id}
        for coupon_id, code_id in session["_discounts"]
    ] or None


def compute(account: Account, session: JsonObject) -> None:
    """Set the amounts of a session from its lines."""
    computed = lines(account, session)
    session["amount_subtotal"] = sum(line.subtotal for line in computed)
    session["amount_total"] = sum(line.total for line in computed)
    session["total_details"] = {
        "amount_discount": sum(sum(line.discounts.values()) for line in computed),
        "amount_shipping": 0,
        "amount_tax": sum(line.tax for line in computed),
    }


def needs_card(session: JsonObject, total: int) -> bool:
    """Return whether a card is required: unless nothing is due and the session says `if_required`."""
    return total > 0 or session["payment_method_collection"] == "always"


def decline_message(account: Account, session: JsonObject, payer: Payer) -> str | None:
    """Return the message if the payer's card would be declined, or None. The session does not change."""
    if payer.card is None or payer.card.decline is None:
        return None
    return payer.card.decline[2] if total(account, session, payer) > 0 or not payer.card.attaches else None


def needs_authentication(account: Account, session: JsonObject, payer: Payer) -> bool:
    """Return whether the payer must complete 3-D Secure first."""
    required = payer.card is not None and payer.card.authentication and not payer.authenticated
    return required and total(account, session, payer) > 0


def complete(account: Account, session: JsonObject, payer: Payer) -> None:
    """
    Pay an open session, after `decline_message` and `needs_authentication` found no obstacle.

    :raises StripeError: if the promotion code or the price is no longer available; nothing is changed then.
    """
    if payer.promotion_code is not None:
        validate_promotion_code(account, session, payer.promotion_code, payer.optional)
        session["_discounts"] = [(payer.promotion_code["promotion"]["coupon"], payer.promotion_code["id"])]
        session["discounts"] = discounts_json(session)
    for item in [session["optional_items"][index] for index in payer.optional]:
        session["_lines"].append((item["price"], item["quantity"], new_id("li")))
    compute(account, session)
    prices.check_customer_currency(account, session["customer"], session["currency"])
    customer = _customer(account, session, payer)
    method = _method(account, customer, payer)
    subscription, invoice = subscription_creation.create(account, _wanted(account, session, customer, method))
    outcome: payments.Outcome = "paid"
    now = account.now_for(customer["id"])
    if method is None or invoice["amount_due"] == 0:
        invoicing.mark_paid(account, invoice, now=now)
    else:
        attempt = charges.Attempt(method=method, now=now, authenticated=payer.authenticated)
        outcome = payments.pay(account, invoice, attempt)
    if outcome not in ("paid", "processing"):
        cancellation.expire_incomplete(account, subscription)
        raise StripeError(402, "card_error", "Your card was declined.", code="card_declined")
    payments.activate_subscription(account, subscription, outcome)
    _complete_session(account, session, payer, customer, subscription, invoice)


def expire(account: Account, session: JsonObject) -> None:
    """Expire an open session."""
    session["status"] = "expired"
    session["url"] = None
    account.emit("checkout.session.expired", session)


def details(*, email: str | None, name: str | None, address: JsonObject | None) -> JsonObject:
    """Return the `customer_details` of a session."""
    return {
        "address": full_address(address),
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


@job("checkout.expiry")
def _expiry(account: Account, session_id: str, _at: int) -> None:
    session = account.find("checkout.session", session_id)
    if session and session["status"] == "open":
        expire(account, session)


def _customer(account: Account, session: JsonObject, payer: Payer) -> JsonObject:
    if session["customer"] is None:
        shipped = {"shipping": payer.shipping} if payer.shipping else {}
        return customers.make(account, {"email": payer.email, "name": payer.name or "", **shipped})
    customer = account.get("customer", session["customer"])
    update = session["_customer_update"]
    with account.track_changes(customer, "customer.updated"):
        if update.get("shipping") == "auto" and payer.shipping:
            customer["shipping"] = {**payer.shipping, "phone": None}
        if update.get("address") == "auto" and payer.shipping:
            customer["address"] = payer.shipping["address"]
        if update.get("name") == "auto" and payer.name:
            customer["name"] = payer.name
    return customer


def _method(account: Account, customer: JsonObject, payer: Payer) -> JsonObject | None:
    billing: JsonObject = {"email": payer.email, "name": payer.name}
    now = account.now_for(customer["id"])
    if payer.bank is not None:
        method = payment_methods.make_debit(account, payer.bank, billing=billing, now=now)
    elif payer.card is not None:
        method = payment_methods.make(account, payer.card, expiry=payer.expiry, billing=billing, now=now)
    else:
        return None
    payment_methods.attach_to(account, method, customer["id"])
    return method


def _wanted(
    account: Account, session: JsonObject, customer: JsonObject, method: JsonObject | None
) -> subscription_creation.SubscriptionSpec:
    data = session["_subscription_data"]
    return subscription_creation.SubscriptionSpec(
        customer=customer["id"],
        items=[
            (prices.get(account, price_id, session["currency"]), quantity, {})
            for price_id, quantity, _ in session["_lines"]
        ],
        metadata=dict(data["metadata"]),
        discounts=list(session["_discounts"]),
        default_payment_method=method["id"] if method else None,
        automatic_tax=session["automatic_tax"]["enabled"],
        description=data["description"],
        billing_mode=data["billing_mode"],
        checkout_session=session["id"],
        trial_end=trials.end_of(data["trial"], now=account.now_for(customer["id"])),
        missing_payment_method=trials.missing_payment_method(data["trial"]),
    )


def _complete_session(
    account: Account,
    session: JsonObject,
    payer: Payer,
    customer: JsonObject,
    subscription: JsonObject,
    invoice: JsonObject,
) -> None:
    session["status"] = "complete"
    session["payment_status"] = "no_payment_required"
    if invoice["amount_due"] > 0:
        session["payment_status"] = "paid" if invoice["status"] == "paid" else "unpaid"
    session["customer"] = customer["id"]
    session["subscription"] = subscription["id"]
    session["invoice"] = invoice["id"]
    session["url"] = None
    session["customer_details"] = details(email=payer.email, name=payer.name, address={})
    if payer.shipping:
        session["collected_information"] = {
            "business_name": None,
            "individual_name": None,
            "shipping_details": {"address": payer.shipping["address"], "name": payer.shipping["name"]},
        }
    account.emit("checkout.session.completed", session)
