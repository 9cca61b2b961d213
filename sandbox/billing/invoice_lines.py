"""
The lines of an invoice: subscription items for their period, and pending invoice items.

Pending invoice items come first, as at Stripe.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.billing import amounts, prices
from sandbox.json_types import JsonObject
from sandbox.store.accounts import new_id

if TYPE_CHECKING:
    from sandbox.store.accounts import Account


@dataclass(kw_only=True)
class LineItem:
    """A line before it is on an invoice. The amount is in minor units, the period in seconds since the epoch."""

    price: JsonObject
    quantity: int
    amount: int
    period: tuple[int, int]
    description: str
    metadata: dict[str, str] = field(default_factory=dict)
    discountable: bool = True
    subscription: str | None = None
    subscription_item: str | None = None
    invoice_item: str | None = None
    proration: bool = False
    credited_items: JsonObject | None = None
    """What a proration credits, in the format of an invoice item."""

    def line(self) -> amounts.LineAmounts:
        """Return the arithmetic of this line."""
        return amounts.LineAmounts(
            price=self.price, quantity=self.quantity, subtotal=self.amount, discountable=self.discountable
        )


def for_subscription_items(
    account: "Account",
    subscription: JsonObject,
    *,
    trial: bool = False,
    period: tuple[int, int] | None = None,
    items: list[JsonObject] | None = None,
) -> list[LineItem]:
    """
    Return a line for each item of a subscription, for its current or another period. In a trial they are free.

    :param items: the items that are invoiced; None for all.
    """
    found = []
    for item in items or [account.get("subscription_item", item_id) for item_id in subscription["_items"]]:
        price = prices.get(account, item["_price"], subscription["currency"])
        name = product_name(account, price)
        found.append(
            LineItem(
                price=price,
                quantity=item["quantity"],
                amount=0 if trial else price["unit_amount"] * item["quantity"],
                period=period or (item["current_period_start"], item["current_period_end"]),
                description=f"Trial period for {name}" if trial else f"{item['quantity']} × {name}",
                metadata=dict(subscription["metadata"]),
                subscription=subscription["id"],
                subscription_item=item["id"],
            )
        )
    return found


def for_pending_items(account: "Account", customer_id: str, subscription_id: str | None) -> list[LineItem]:
    """Return a line for each pending invoice item of this subscription or customer."""
    return [
        for_invoice_item(account, item)
        for item in reversed(account.all("invoiceitem"))
        if item["customer"] == customer_id
        and item["invoice"] is None
        and item["_subscription"] in (None, subscription_id)
    ]


def for_invoice_item(account: "Account", item: JsonObject) -> LineItem:
    """Return the line of an invoice item."""
    details = (item["parent"] or {}).get("subscription_details") or {}
    return LineItem(
        price=account.get("price", item["_price"]),
        quantity=item["quantity"],
        amount=item["amount"],
        period=(item["period"]["start"], item["period"]["end"]),
        description=item["description"],
        metadata=dict(item["metadata"]),
        discountable=item["discountable"],
        subscription=item["_subscription"],
        subscription_item=details.get("subscription_item"),
        invoice_item=item["id"],
        proration=item["proration"],
        credited_items=(item["proration_details"] or {}).get("credited_items"),
    )


def product_name(account: "Account", price: JsonObject) -> str:
    """Return the name of a price's product."""
    product = account.find("product", price["product"])
    return str(product["name"]) if product else "Deleted product"


def to_json(
    entry: LineItem, line: amounts.LineAmounts, invoice_id: str | None, *, currency: str, taxed: bool
) -> JsonObject:
    """Return a line as the API returns it."""
    taken = [{"amount": amount, "discount": discount_id} for discount_id, amount in line.discounts.items()]
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": line.subtotal,
        "currency": currency,
        "description": entry.description,
        "discount_amounts": taken,
        "discountable": entry.discountable,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": entry.metadata,
        "parent": _parent(entry),
        "period": {"end": entry.period[1], "start": entry.period[0]},
        "pretax_credit_amounts": [{**each, "type": "discount"} for each in taken],
        "pricing": {
            "price_details": {"price": entry.price["id"], "product": entry.price["product"]},
            "type": "price_details",
            "unit_amount_decimal": entry.price["unit_amount_decimal"],
        },
        "quantity": entry.quantity,
        "quantity_decimal": str(entry.quantity),
        "subscription": entry.subscription,
        "subtotal": line.subtotal,
        "taxes": amounts.tax_entries([line], automatic_tax=taxed),
    }


def _parent(entry: LineItem) -> JsonObject:
    common: JsonObject = {
        "proration": entry.proration,
        "proration_details": {"credited_items": (entry.credited_items or {}).get("invoice_line_item_details")},
        "subscription": entry.subscription,
        "invoice_item": entry.invoice_item,
    }
    if entry.subscription_item is None:
        return {
            "invoice_item_details": common,
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    return {
        "invoice_item_details": None,
        "subscription_item_details": {**common, "subscription_item": entry.subscription_item},
        "type": "subscription_item_details",
    }


def totals(lines: list[amounts.LineAmounts], *, automatic_tax: bool) -> JsonObject:
    """Return the amounts of an invoice. A negative total is not due: it is added to the customer's balance."""
    subtotal = sum(line.subtotal for line in lines)
    total = sum(line.total for line in lines)
    tax = sum(line.tax for line in lines)
    off: dict[str, int] = {}
    for line in lines:
        for discount_id, amount in line.discounts.items():
            off[discount_id] = off.get(discount_id, 0) + amount
    taken = [{"amount": amount, "discount": discount_id} for discount_id, amount in off.items()]
    return {
        "amount_due": max(0, total),
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": max(0, total),
        "amount_shipping": 0,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - sum(line.tax for line in lines if line.tax_behavior == "inclusive"),
        "total": total,
        "total_discount_amounts": taken,
        "total_excluding_tax": total - tax,
        "total_pretax_credit_amounts": [{**entry, "type": "discount"} for entry in taken],
        "total_taxes": amounts.tax_entries(lines, automatic_tax=automatic_tax),
    }
