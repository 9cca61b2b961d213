"""
Prorations: the credit for unused time and the charge for remaining time when items change in the middle of a period.

Calculated by the second, halves rounded up. With billing mode `flexible`, the credit is a share of the amount that was
billed, after discounts. With `classic`, it is a share of the current price after the current discounts.
(https://docs.stripe.com/billing/subscriptions/billing-mode, https://docs.stripe.com/billing/subscriptions/prorations)
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from sandbox.billing import amounts, discounts, invoice_lines, periods, prices
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account

Behavior = Literal["always_invoice", "create_prorations", "none"]


@dataclass(frozen=True, slots=True)
class _Billed:
    """What was billed for an item."""

    amount: Decimal
    """After discounts, in minor units."""
    start: int
    """Start of the time that it paid for."""
    source: JsonObject
    """`credited_items` of the proration that credits it."""


@dataclass(kw_only=True)
class Change:
    """The change of one subscription item. Without an item, the price is added."""

    item: JsonObject | None
    price: JsonObject
    quantity: int
    metadata: dict[str, str] = field(default_factory=dict)
    deleted: bool = False

    @property
    def affects_billing(self) -> bool:
        """Whether more than the metadata changes."""
        if self.item is None or self.deleted:
            return True
        return bool(self.price["id"] != self.item["_price"] or self.quantity != self.item["quantity"])


def for_changes(
    account: Account, subscription: JsonObject, changes: list[Change], *, at: int
) -> list[invoice_lines.LineItem]:
    """Return a credit for each removed item and a debit for each added one. Nothing in a trial, which is free."""
    if subscription["status"] == "trialing":
        return []
    found = []
    for change in changes:
        if change.item is not None and change.affects_billing:
            found.append(credit_for_item(account, subscription, change.item, at=at))
        if not change.deleted and change.affects_billing:
            found.append(_debit(account, subscription, change, at))
    return [entry for entry in found if entry.amount != 0]


def credit_for_item(account: Account, subscription: JsonObject, item: JsonObject, *, at: int) -> invoice_lines.LineItem:
    """Return the credit for the time left of an item."""
    price = prices.get(account, item["_price"], subscription["currency"])
    start, end = item["current_period_start"], item["current_period_end"]
    value = _net(account, subscription, price, item["quantity"], at)
    billed = _billed(account, subscription, item) if subscription["billing_mode"]["type"] == "flexible" else None
    if billed is not None:
        value, start = billed.amount, billed.start
    amount = -amounts.round_half_up(value * Decimal(end - at) / (end - start))
    line = _entry(account, subscription, price, item["quantity"], amount, (at, end), item["id"])
    line.credited_items = billed.source if billed else None
    return line


def _debit(account: Account, subscription: JsonObject, change: Change, at: int) -> invoice_lines.LineItem:
    start, end = period_for(account, subscription, change.price, at=at)
    value = _net(account, subscription, change.price, change.quantity, at)
    amount = amounts.round_half_up(value * Decimal(end - at) / (end - start))
    owner = change.item["id"] if change.item else None
    return _entry(account, subscription, change.price, change.quantity, amount, (at, end), owner)


def period_for(account: Account, subscription: JsonObject, price: JsonObject, *, at: int) -> tuple[int, int]:
    """Return the current period of an item with a price: that of an item with the same interval, if there is one."""
    for item_id in subscription["_items"]:
        item = account.get("subscription_item", item_id)
        if account.get("price", item["_price"])["recurring"] == price["recurring"]:
            return item["current_period_start"], item["current_period_end"]
    return periods.containing(subscription["billing_cycle_anchor"], price["recurring"], at)


def _net(account: Account, subscription: JsonObject, price: JsonObject, quantity: int, at: int) -> Decimal:
    """Return the amount of a full period after percentage discounts. Fixed amounts off apply to whole invoices."""
    ids = discounts.active_discounts(account, subscription["discounts"], at)
    coupons = {key: each for key, each in discounts.coupons_of(account, ids).items() if each["percent_off"] is not None}
    line = amounts.LineAmounts(price=price, quantity=quantity, subtotal=price["unit_amount"] * quantity)
    amounts.compute(account, [line], coupons=coupons, automatic_tax=False)
    return Decimal(line.discounted)


def _billed(account: Account, subscription: JsonObject, item: JsonObject) -> _Billed | None:
    """Return what was billed last for an item in its current period."""
    for waiting in account.all("invoiceitem"):
        details = (waiting["parent"] or {}).get("subscription_details") or {}
        fits = details.get("subscription_item") == item["id"] and waiting["period"]["end"] == item["current_period_end"]
        if fits and waiting["amount"] > 0 and waiting["invoice"] is None:
            source = {"invoice_item": waiting["id"], "invoice_line_item_details": None, "type": "invoice_item"}
            return _Billed(Decimal(waiting["amount"]), waiting["period"]["start"], source)
    for invoice in account.all("invoice"):
        if invoice["_subscription"] == subscription["id"] and invoice["status"] != "void":
            for line in reversed(invoice["lines"]["data"]):
                details = line["parent"]["subscription_item_details"] or {}
                fits = details.get("subscription_item") == item["id"]
                if fits and line["period"]["end"] == item["current_period_end"] and line["amount"] > 0:
                    off = sum(each["amount"] for each in line["discount_amounts"])
                    details = {"invoice": invoice["id"], "invoice_line_items": [line["id"]]}
                    source = {
                        "invoice_item": None,
                        "invoice_line_item_details": details,
                        "type": "invoice_line_items",
                    }
                    return _Billed(Decimal(line["amount"] - off), line["period"]["start"], source)
    return None


def _entry(
    account: Account,
    subscription: JsonObject,
    price: JsonObject,
    quantity: int,
    amount: int,
    period: tuple[int, int],
    item_id: str | None,
) -> invoice_lines.LineItem:
    words = "Unused time on" if amount < 0 else "Remaining time on"
    day = datetime.fromtimestamp(period[0], UTC).strftime("%d %b %Y")
    times = "" if quantity == 1 else f"{quantity} × "
    return invoice_lines.LineItem(
        price=price,
        quantity=quantity,
        amount=amount,
        period=period,
        description=f"{words} {times}{invoice_lines.product_name(account, price)} after {day}",
        metadata=dict(subscription["metadata"]),
        discountable=False,
        subscription=subscription["id"],
        subscription_item=item_id,
        proration=True,
    )
