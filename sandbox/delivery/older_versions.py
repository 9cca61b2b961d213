"""
Events in the shape of an older API version, for webhook endpoints that were created with one.

The only one is 2024-06-20. Like all versions before 2025-03-31.basil, it has the subscription at the top level of an
invoice and the current period on the subscription. (https://docs.stripe.com/changelog/basil)
"""

from collections.abc import Callable
from typing import Final

from sandbox.constants import API_VERSION
from sandbox.json_types import Json, JsonObject
from sandbox.store.accounts import Account

OLDER_VERSION: Final = "2024-06-20"
SUPPORTED_VERSIONS: Final = (API_VERSION, OLDER_VERSION)


def event_for(account: Account, event: JsonObject, version: str | None) -> JsonObject:
    """Return an event as an endpoint with this API version receives it. None is the current version."""
    shown = account.render(event)
    if version != OLDER_VERSION:
        return shown
    shown["api_version"] = OLDER_VERSION
    shown["data"]["object"] = _older(account, shown["data"]["object"])
    previous = shown["data"].get("previous_attributes")
    if previous is not None:
        shown["data"]["previous_attributes"] = _older_previous(previous)
    return shown


def _older(account: Account, obj: JsonObject) -> JsonObject:
    converter = _CONVERTERS.get(obj.get("object", ""))
    return converter(account, obj) if converter else obj


def _invoice(account: Account, invoice: JsonObject) -> JsonObject:
    details = ((invoice.get("parent") or {}).get("subscription_details")) or {}
    stored = account.find("invoice", invoice.get("id")) or {}
    intent = account.find("payment_intent", stored.get("_payment_intent"))
    paid_off_stripe = stored.get("_paid_off_stripe", 0)
    for name in ("parent", "payments", "confirmation_secret", "amount_overpaid", "total_pretax_credit_amounts"):
        invoice.pop(name, None)
    taxes = invoice.pop("total_taxes", None) or []
    return {
        **invoice,
        "charge": intent["latest_charge"] if intent else None,
        "discount": _discount(account, invoice["discounts"]),
        "lines": {**invoice["lines"], "data": [_line(account, line) for line in invoice["lines"]["data"]]},
        "paid": invoice["status"] == "paid",
        "paid_out_of_band": paid_off_stripe > 0,
        "payment_intent": intent["id"] if intent else None,
        "quote": None,
        "subscription": details.get("subscription"),
        "subscription_details": {"metadata": details.get("metadata")},
        "tax": sum(entry["amount"] for entry in taxes) if taxes else None,
        "total_tax_amounts": [
            {"amount": entry["amount"], "inclusive": entry["tax_behavior"] == "inclusive", "tax_rate": None}
            for entry in taxes
        ],
    }


def _line(account: Account, line: JsonObject) -> JsonObject:
    item = line["parent"]["subscription_item_details"]
    details = item or line["parent"]["invoice_item_details"] or {}
    price = account.find("price", line["pricing"]["price_details"]["price"])
    for name in ("parent", "pricing", "subtotal", "pretax_credit_amounts"):
        line.pop(name, None)
    taxes = line.pop("taxes", None) or []
    return {
        **line,
        "invoice_item": details.get("invoice_item"),
        "plan": None,
        "price": account.render(price) if price else None,
        "proration": details.get("proration", False),
        "proration_details": {"credited_items": None},
        "subscription": details.get("subscription"),
        "subscription_item": (item or {}).get("subscription_item"),
        "tax_amounts": [{"amount": each["amount"], "inclusive": False, "tax_rate": None} for each in taxes],
        "type": "subscription" if item and not details.get("invoice_item") else "invoiceitem",
    }


def _subscription(account: Account, subscription: JsonObject) -> JsonObject:
    items: list[JsonObject] = subscription["items"]["data"]
    period = (items[0]["current_period_start"], items[0]["current_period_end"])
    for item in items:
        del item["current_period_start"], item["current_period_end"]
    subscription.pop("billing_mode", None)
    return {
        **subscription,
        "current_period_end": period[1],
        "current_period_start": period[0],
        "discount": _discount(account, subscription["discounts"]),
    }


def _discount(account: Account, ids: list[str]) -> JsonObject | None:
    discount = account.find("discount", ids[0]) if ids else None
    if discount is None:
        return None
    coupon = account.find("coupon", discount["source"]["coupon"])
    shown = {name: value for name, value in account.render(discount).items() if name != "source"}
    return {**shown, "coupon": account.render(coupon) if coupon else None}


def _with_invoice(account: Account, obj: JsonObject) -> JsonObject:
    """Add the invoice to a charge or a payment intent."""
    intent_id = obj["id"] if obj["object"] == "payment_intent" else obj["payment_intent"]
    intent = account.find("payment_intent", intent_id)
    return {**obj, "invoice": intent["_invoice"] if intent else None}


def _credit_note(account: Account, note: JsonObject) -> JsonObject:
    refunds = note.pop("refunds", [])
    return {**note, "refund": refunds[0]["refund"] if refunds else None}


def _older_previous(previous: Json) -> Json:
    """Move the previous period from the items to the subscription, as it was then."""
    items = (previous.get("items") or {}).get("data") if isinstance(previous, dict) else None
    if not items:
        return previous
    period = {name: items[0][name] for name in ("current_period_end", "current_period_start") if name in items[0]}
    return {**previous, **period}


_CONVERTERS: dict[str, Callable[[Account, JsonObject], JsonObject]] = {
    "invoice": _invoice,
    "subscription": _subscription,
    "charge": _with_invoice,
    "payment_intent": _with_invoice,
    "credit_note": _credit_note,
}
