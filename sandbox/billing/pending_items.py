"""Pending invoice items, created through the API or by a change in the middle of a period."""

from sandbox.billing import currencies
from sandbox.billing.invoice_lines import LineItem
from sandbox.errors import invalid, unsupported
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id


def create(account: Account, entry: LineItem, customer_id: str, *, now: int) -> JsonObject:
    """Create an invoice item."""
    parent: JsonObject | None = None
    if entry.subscription:
        details = {"subscription": entry.subscription, "subscription_item": entry.subscription_item}
        parent = {"subscription_details": details, "type": "subscription_details"}
    item = account.add(
        {
            "id": new_id("ii"),
            "object": "invoiceitem",
            "amount": entry.amount,
            "currency": entry.price["currency"],
            "customer": customer_id,
            "date": now,
            "description": entry.description,
            "discountable": entry.discountable,
            "discounts": [],
            "livemode": False,
            "metadata": entry.metadata,
            "net_amount": entry.amount,
            "parent": parent,
            "period": {"end": entry.period[1], "start": entry.period[0]},
            "pricing": {
                "price_details": {"price": entry.price["id"], "product": entry.price["product"]},
                "type": "price_details",
                "unit_amount_decimal": entry.price["unit_amount_decimal"],
            },
            "proration": entry.proration,
            "proration_details": {"credited_items": entry.credited_items, "discount_amounts": []}
            if entry.proration
            else None,
            "quantity": entry.quantity,
            "quantity_decimal": str(entry.quantity),
            "tax_rates": [],
            "test_clock": account.clock_of(customer_id),
            "_price": entry.price["id"],
            "_subscription": entry.subscription,
        }
    )
    account.emit("invoiceitem.created", item)
    return item


def create_one_time_price(
    account: Account, *, amount: int, currency: str, name: str, tax_behavior: str, now: int
) -> JsonObject:
    """Return an inactive price and product for a bare amount, as Stripe creates them."""
    product = account.add(
        {
            "id": new_id("prod", length=14),
            "object": "product",
            "active": False,
            "created": now,
            "images": [],
            "livemode": False,
            "marketing_features": [],
            "metadata": {},
            "name": name,
            "type": "service",
            "updated": now,
        }
    )
    return account.add(
        _one_time_price(amount=amount, currency=currency, product=product["id"], tax_behavior=tax_behavior, now=now)
    )


def price_of_data(account: Account, data: JsonObject, *, param: str, now: int) -> JsonObject:
    """Return an inactive price of a product for `price_data`, as Stripe creates it, without storing it."""
    for name in data.keys() - {"currency", "product", "tax_behavior", "unit_amount"}:
        raise unsupported(f"the parameter {param}[{name}]")
    product = account.get("product", data["product"], param=f"{param}[product]", status=400)
    if "unit_amount" not in data:
        raise invalid(f"Missing required param: {param}[unit_amount].", param=param, code="parameter_missing")
    currency = currencies.check(data["currency"])
    currencies.check_amount(data["unit_amount"], currency, param=f"{param}[unit_amount]")
    behavior = data.get("tax_behavior", "unspecified")
    return _one_time_price(
        amount=data["unit_amount"], currency=currency, product=product["id"], tax_behavior=behavior, now=now
    )


def _one_time_price(*, amount: int, currency: str, product: str, tax_behavior: str, now: int) -> JsonObject:
    return {
        "id": new_id("price"),
        "object": "price",
        "active": False,
        "billing_scheme": "per_unit",
        "created": now,
        "currency": currency,
        "livemode": False,
        "metadata": {},
        "product": product,
        "tax_behavior": tax_behavior,
        "type": "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
        "_currency_options": {},
    }
