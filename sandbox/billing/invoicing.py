"""Invoices: made as drafts, finalised with a number and a payment intent, then paid, voided or left open."""

from dataclasses import dataclass

from sandbox.billing import amounts, discounts, intents
from sandbox.jsontypes import JsonObject
from sandbox.store import Account, new_id


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What an invoice is made of. Times are seconds since the epoch."""

    reason: str
    """`billing_reason`."""
    period: tuple[int, int]
    """The invoice's own period: for a renewal, the one that has just ended."""
    made_at: int


def draft(account: Account, subscription: JsonObject, bill: Bill) -> JsonObject:
    """Make the draft of an invoice for all items of a subscription, for their current periods."""
    customer = account.get("customer", subscription["customer"])
    items = [account.get("subscription_item", item_id) for item_id in subscription["_items"]]
    coupons = discounts.coupons_of(account, subscription["discounts"])
    automatic_tax = subscription["automatic_tax"]["enabled"]
    wanted = [(account.get("price", item["_price"]), item["quantity"]) for item in items]
    lines = amounts.lines_of(account, wanted, coupons=coupons, automatic_tax=automatic_tax)
    invoice_id = new_id("in")
    shown = [
        _line(account, invoice_id, subscription, item, line, automatic_tax)
        for item, line in zip(items, lines, strict=True)
    ]
    invoice: JsonObject = {
        "id": invoice_id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Sandbox",
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": _automatic_tax(automatic_tax),
        "billing_reason": bill.reason,
        "collection_method": "charge_automatically",
        "created": bill.made_at,
        "currency": subscription["currency"],
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": list(coupons),
        "issuer": {"type": "self"},
        "lines": {
            "object": "list",
            "data": shown,
            "has_more": False,
            "url": f"/v1/invoices/{invoice_id}/lines",
        },
        "livemode": False,
        "metadata": {},
        "parent": {
            "quote_details": None,
            "subscription_details": {
                "metadata": dict(subscription["metadata"]),
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": bill.period[1],
        "period_start": bill.period[0],
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "test_clock": customer["test_clock"],
        **_sums(lines, automatic_tax=automatic_tax),
        "_subscription": subscription["id"],
        "_payment_intent": None,
        "_payments": [],
    }
    account.add(invoice)
    account.emit("invoice.created", invoice)
    return invoice


def finalize(account: Account, invoice: JsonObject, *, now: int) -> None:
    """Give a draft its number and, if there is something to pay, a payment intent."""
    customer = account.get("customer", invoice["customer"])
    with account.changing(invoice, "invoice.updated"):
        invoice["status"] = "open"
        invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
        invoice["status_transitions"]["finalized_at"] = now
        invoice["effective_at"] = now
        invoice["automatically_finalizes_at"] = None
        page = f"https://invoice.stripe.com/i/{account.id}/test_{invoice['id']}"
        invoice["hosted_invoice_url"] = page
        invoice["invoice_pdf"] = f"https://pay.stripe.com/invoice/{account.id}/test_{invoice['id']}/pdf"
        invoice["ending_balance"] = 0
    customer["next_invoice_sequence"] += 1
    account.emit("invoice.finalized", invoice)
    if invoice["amount_due"] > 0:
        intents.make_intent(account, invoice, now=now)
    _spend_once_coupons(account, account.get("subscription", invoice["_subscription"]))


def mark_paid(account: Account, invoice: JsonObject, *, now: int) -> None:
    """Mark an open invoice as paid in full."""
    with account.changing(invoice, "invoice.updated"):
        invoice["status"] = "paid"
        invoice["attempted"] = True
        invoice["amount_paid"] = invoice["amount_due"]
        invoice["amount_remaining"] = 0
        invoice["next_payment_attempt"] = None
        invoice["auto_advance"] = False
        invoice["status_transitions"]["paid_at"] = now
    account.emit("invoice.paid", invoice)
    account.emit("invoice.payment_succeeded", invoice)


def void(account: Account, invoice: JsonObject, *, now: int) -> None:
    """Void an invoice that is not paid: its payment intent is cancelled and nothing is due any more."""
    with account.changing(invoice, "invoice.updated"):
        invoice["status"] = "void"
        invoice["next_payment_attempt"] = None
        invoice["auto_advance"] = False
        invoice["status_transitions"]["voided_at"] = now
    account.emit("invoice.voided", invoice)
    intent = account.find("payment_intent", invoice["_payment_intent"])
    if intent and intent["status"] not in ("succeeded", "canceled"):
        intent["status"] = "canceled"
        intent["canceled_at"] = now
        intent["cancellation_reason"] = "void_invoice"
        intent["next_action"] = None
        account.emit("payment_intent.canceled", intent)
    for payment in payments_of(account, invoice["id"]):
        if payment["status"] == "open":
            payment["status"] = "canceled"
            payment["status_transitions"]["canceled_at"] = now


def payments_of(account: Account, invoice_id: str) -> list[JsonObject]:
    """Return the payments of an invoice, newest first."""
    made = account.get("invoice", invoice_id)["_payments"]
    return [account.get("invoice_payment", payment_id) for payment_id in reversed(made)]


def _spend_once_coupons(account: Account, subscription: JsonObject) -> None:
    """A coupon that lasts once has now been used."""
    coupons = discounts.coupons_of(account, subscription["discounts"])
    kept = [discount_id for discount_id, coupon in coupons.items() if coupon["duration"] != "once"]
    if kept != subscription["discounts"]:
        with account.changing(subscription, "customer.subscription.updated"):
            subscription["discounts"] = kept


def _automatic_tax(enabled: bool) -> JsonObject:
    return {
        "disabled_reason": None,
        "enabled": enabled,
        "liability": {"type": "self"} if enabled else None,
        "provider": "stripe" if enabled else None,
        "status": "complete" if enabled else None,
    }


def _sums(lines: list[amounts.Line], *, automatic_tax: bool) -> JsonObject:
    subtotal = sum(line.subtotal for line in lines)
    total = sum(line.total for line in lines)
    tax = sum(line.tax for line in lines)
    off: dict[str, int] = {}
    for line in lines:
        for discount_id, amount in line.discounts.items():
            off[discount_id] = off.get(discount_id, 0) + amount
    taken = [{"amount": amount, "discount": discount_id} for discount_id, amount in off.items()]
    return {
        "amount_due": total,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": total,
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
        "total_taxes": amounts.taxes(lines, automatic_tax=automatic_tax),
    }


def _line(
    account: Account,
    invoice_id: str,
    subscription: JsonObject,
    item: JsonObject,
    line: amounts.Line,
    automatic_tax: bool,
) -> JsonObject:
    product = account.find("product", line.price["product"])
    taken = [{"amount": amount, "discount": discount_id} for discount_id, amount in line.discounts.items()]
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": line.subtotal,
        "currency": subscription["currency"],
        "description": f"{line.quantity} × {product['name'] if product else 'Deleted product'}",
        "discount_amounts": taken,
        "discountable": True,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": dict(subscription["metadata"]),
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"end": item["current_period_end"], "start": item["current_period_start"]},
        "pretax_credit_amounts": [{**entry, "type": "discount"} for entry in taken],
        "pricing": {
            "price_details": {"price": line.price["id"], "product": line.price["product"]},
            "type": "price_details",
            "unit_amount_decimal": line.price["unit_amount_decimal"],
        },
        "quantity": line.quantity,
        "quantity_decimal": str(line.quantity),
        "subscription": subscription["id"],
        "subtotal": line.subtotal,
        "taxes": amounts.taxes([line], automatic_tax=automatic_tax),
    }
