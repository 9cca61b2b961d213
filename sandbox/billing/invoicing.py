"""Invoices: drafted, finalized, and then paid, voided or marked as uncollectible."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.billing import amounts, customer_balance, discounts, invoice_lines, payment_intents
from sandbox.contract.responses import nullable_fields
from sandbox.errors import StripeError, invalid
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id

ON_PAID: list[Callable[[Account, JsonObject], None]] = []
"""Called with each invoice that is paid."""


@dataclass(frozen=True, kw_only=True)
class InvoiceSpec:
    """The parameters of an invoice. Times are seconds since the epoch."""

    reason: str
    """`billing_reason`."""
    period: tuple[int, int]
    """The invoice's own period. For a renewal, the period that has just ended."""
    created_at: int
    entries: list[invoice_lines.LineItem]


def create_draft(account: Account, subscription: JsonObject, spec: InvoiceSpec) -> JsonObject:
    """Create the draft of a subscription's invoice."""
    invoice = build_draft(account, subscription, spec)
    return store_draft(account, invoice, spec.entries)


def store_draft(account: Account, invoice: JsonObject, lines: list[invoice_lines.LineItem]) -> JsonObject:
    """Store a draft and assign its invoice items to it."""
    account.add(invoice)
    for entry in lines:
        item = account.find("invoiceitem", entry.invoice_item)
        if item:
            item["invoice"] = invoice["id"]
    account.emit("invoice.created", invoice)
    return invoice


def build_draft(account: Account, subscription: JsonObject, spec: InvoiceSpec) -> JsonObject:
    """Return the draft of a subscription's invoice without storing it."""
    coupons = discounts.coupons_of(
        account, discounts.active_discounts(account, subscription["discounts"], spec.created_at)
    )
    taxed = subscription["automatic_tax"]["enabled"]
    lines = [entry.line() for entry in spec.entries]
    amounts.compute(account, lines, coupons=coupons, automatic_tax=taxed)
    invoice = empty_draft(account, subscription["customer"], currency=subscription["currency"], spec=spec)
    invoice |= invoice_lines.totals(lines, automatic_tax=taxed)
    invoice["automatic_tax"] = automatic_tax(enabled=taxed)
    invoice["discounts"] = list(coupons)
    invoice["lines"]["data"] = [
        invoice_lines.to_json(entry, line, invoice["id"], currency=invoice["currency"], taxed=taxed)
        for entry, line in zip(spec.entries, lines, strict=True)
    ]
    invoice["parent"] = {
        "quote_details": None,
        "subscription_details": {
            "metadata": dict(subscription["metadata"]),
            "subscription": subscription["id"],
        },
        "type": "subscription_details",
    }
    invoice["_subscription"] = subscription["id"]
    invoice["collection_method"] = subscription.get("collection_method", "charge_automatically")
    invoice["_days_until_due"] = subscription.get("days_until_due")
    return invoice


def preview(account: Account, subscription: JsonObject, spec: InvoiceSpec) -> JsonObject:
    """Return a preview: an unsaved invoice with the customer's balance applied."""
    invoice = build_draft(account, subscription, spec)
    shown = dict.fromkeys(nullable_fields("invoice"))
    for name in ("payments", "confirmation_secret", "amount_paid_off_stripe", "deleted"):
        shown.pop(name, None)
    invoice = {**shown, **invoice, "id": new_id("upcoming_in")}
    customer = account.get("customer", invoice["customer"])
    customer_balance.set_amounts(invoice, customer_balance.of(customer, invoice["currency"]))
    invoice["next_payment_attempt"] = spec.created_at + 3600
    for line in invoice["lines"]["data"]:
        line["invoice"] = invoice["id"]
    return invoice


def empty_draft(account: Account, customer_id: str, *, currency: str, spec: InvoiceSpec) -> JsonObject:
    """Return a draft without lines."""
    customer = account.get("customer", customer_id)
    invoice_id = new_id("in")
    return {
        "id": invoice_id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Sandbox",
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": automatic_tax(enabled=False),
        "billing_reason": spec.reason,
        "collection_method": "charge_automatically",
        "created": spec.created_at,
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": {"type": "self"},
        "lines": {"object": "list", "data": [], "has_more": False, "url": f"/v1/invoices/{invoice_id}/lines"},
        "livemode": False,
        "metadata": {},
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": spec.period[1],
        "period_start": spec.period[0],
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "test_clock": customer["test_clock"],
        **invoice_lines.totals([], automatic_tax=False),
        "_subscription": None,
        "_payment_intent": None,
        "_payments": [],
        "_days_until_due": None,
    }


def replace_lines(account: Account, invoice: JsonObject, lines: list[invoice_lines.LineItem]) -> None:
    """Replace the lines of a draft that Stripe did not create for a period of a subscription. No coupons apply."""
    computed = [entry.line() for entry in lines]
    taxed = invoice["automatic_tax"]["enabled"]
    amounts.compute(account, computed, coupons={}, automatic_tax=taxed)
    invoice |= invoice_lines.totals(computed, automatic_tax=taxed)
    invoice["lines"]["data"] = [
        invoice_lines.to_json(entry, line, invoice["id"], currency=invoice["currency"], taxed=taxed)
        for entry, line in zip(lines, computed, strict=True)
    ]


def finalize(account: Account, invoice: JsonObject, *, now: int) -> None:
    """
    Finalize a draft: assign its number, apply the balance, and create a payment intent if an amount is due.

    If nothing is due, because the balance covers it or it is below the minimum charge, the invoice is paid.

    :raises StripeError: 400 if automatic tax is enabled and the customer's location is invalid.
    """
    customer = account.get("customer", invoice["customer"])
    _check_tax_location(account, invoice, customer)
    with account.track_changes(invoice, "invoice.updated"):
        invoice["status"] = "open"
        invoice["last_finalization_error"] = None
        invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
        invoice["status_transitions"]["finalized_at"] = now
        invoice["effective_at"] = now
        invoice["automatically_finalizes_at"] = None
        page = f"https://invoice.stripe.com/i/{account.id}/test_{invoice['id']}"
        invoice["hosted_invoice_url"] = page
        invoice["invoice_pdf"] = f"https://pay.stripe.com/invoice/{account.id}/test_{invoice['id']}/pdf"
        if invoice["collection_method"] == "send_invoice":
            _set_due_date(account, invoice, now)
        customer_balance.apply(account, customer, invoice)
    customer["next_invoice_sequence"] += 1
    account.emit("invoice.finalized", invoice)
    if invoice["amount_due"] > 0:
        payment_intents.make_intent(account, invoice, now=now)
    subscription = account.find("subscription", invoice["_subscription"])
    if subscription and any(line["discountable"] for line in invoice["lines"]["data"]):
        _end_used_discounts(account, subscription, now)
    if invoice["amount_due"] == 0:
        mark_paid(account, invoice, now=now)


def _check_tax_location(account: Account, invoice: JsonObject, customer: JsonObject) -> None:
    if not invoice["automatic_tax"]["enabled"]:
        return
    if not customer.get("_tax_location_invalid"):
        invoice["automatic_tax"]["status"] = "complete"
        return
    error = tax_location_error()
    with account.track_changes(invoice, "invoice.updated"):
        invoice["automatic_tax"] = {**invoice["automatic_tax"], "status": "requires_location_inputs"}
        invoice["next_payment_attempt"] = invoice["automatically_finalizes_at"] = None
        invoice["last_finalization_error"] = {
            "code": error.members["code"],
            "doc_url": error.body()["error"]["doc_url"],
            "message": error.message,
            "type": error.kind,
        }
    account.emit("invoice.finalization_failed", invoice)
    raise error


def tax_location_error() -> StripeError:
    """Return Stripe's 400 for a customer whose location automatic tax cannot use."""
    return invalid(
        "The customer's location isn't recognized. Set a valid customer address in order to automatically calculate tax.",
        param="automatic_tax",
        code="customer_tax_location_invalid",
    )


def set_delinquent(account: Account, customer_id: str, *, delinquent: bool) -> None:
    """Set whether the latest payment of a customer failed."""
    customer = account.find("customer", customer_id)
    if customer is not None and customer["delinquent"] != delinquent:
        with account.track_changes(customer, "customer.updated"):
            customer["delinquent"] = delinquent


def _set_due_date(account: Account, invoice: JsonObject, now: int) -> None:
    if invoice["due_date"] is None:
        invoice["due_date"] = now + (invoice["_days_until_due"] or 0) * 86400
    account.scheduler.schedule(invoice["test_clock"], invoice["due_date"], "invoice.overdue", invoice["id"])


def mark_paid(account: Account, invoice: JsonObject, *, now: int) -> None:
    """Mark an open invoice as paid in full. Does nothing if it is paid already."""
    if invoice["status"] == "paid":
        return
    with account.track_changes(invoice, "invoice.updated"):
        invoice["status"] = "paid"
        invoice["attempted"] = True
        invoice["amount_paid"] = invoice["amount_due"]
        invoice["amount_remaining"] = 0
        invoice["next_payment_attempt"] = None
        invoice["auto_advance"] = False
        invoice["status_transitions"]["paid_at"] = now
    account.emit("invoice.paid", invoice)
    account.emit("invoice.payment_succeeded", invoice)
    for follow_up in ON_PAID:
        follow_up(account, invoice)
    if not any(_is_overdue(each) for each in account.all("invoice") if each["customer"] == invoice["customer"]):
        set_delinquent(account, invoice["customer"], delinquent=False)


def _is_overdue(invoice: JsonObject) -> bool:
    return bool(invoice["status"] == "open" and invoice["attempt_count"] > 0)


def void(account: Account, invoice: JsonObject, *, now: int) -> None:
    """Void an unpaid invoice and cancel its payment intent."""
    with account.track_changes(invoice, "invoice.updated"):
        invoice["status"] = "void"
        invoice["next_payment_attempt"] = None
        invoice["auto_advance"] = False
        invoice["status_transitions"]["voided_at"] = now
    customer_balance.unapply(account, invoice)
    account.emit("invoice.voided", invoice)
    cancel_open_payment(account, invoice, now=now, reason="void_invoice")


def cancel_open_payment(account: Account, invoice: JsonObject, *, now: int, reason: str) -> None:
    """Cancel the payment intent of an invoice and its open invoice payment."""
    intent = account.find("payment_intent", invoice["_payment_intent"])
    if intent and intent["status"] not in ("succeeded", "canceled"):
        intent["status"] = "canceled"
        intent["canceled_at"] = now
        intent["cancellation_reason"] = reason
        intent["next_action"] = None
        account.emit("payment_intent.canceled", intent)
    for payment in payments_of(account, invoice["id"]):
        if payment["status"] == "open":
            payment["status"] = "canceled"
            payment["status_transitions"]["canceled_at"] = now


def mark_uncollectible(account: Account, invoice: JsonObject, *, now: int, why: str = "user_forgiven") -> None:
    """Mark an open invoice as uncollectible. `why` is one of Stripe's reasons."""
    with account.track_changes(invoice, "invoice.updated"):
        invoice["status"] = "uncollectible"
        invoice["status_details"] = {"uncollectible": {"reason": why}}
        invoice["auto_advance"] = False
        invoice["next_payment_attempt"] = None
        invoice["status_transitions"]["marked_uncollectible_at"] = now
    account.emit("invoice.marked_uncollectible", invoice)


def payments_of(account: Account, invoice_id: str) -> list[JsonObject]:
    """Return the payments of an invoice, newest first."""
    made = account.get("invoice", invoice_id)["_payments"]
    return [account.get("invoice_payment", payment_id) for payment_id in reversed(made)]


def _end_used_discounts(account: Account, subscription: JsonObject, now: int) -> None:
    """Remove the discounts that do not apply to the next invoice."""
    coupons = discounts.coupons_of(account, discounts.active_discounts(account, subscription["discounts"], now))
    kept = [discount_id for discount_id, coupon in coupons.items() if coupon["duration"] != "once"]
    if kept != subscription["discounts"]:
        with account.track_changes(subscription, "customer.subscription.updated"):
            subscription["discounts"] = kept


def automatic_tax(*, enabled: bool) -> JsonObject:
    """Return the `automatic_tax` of an invoice."""
    return {
        "disabled_reason": None,
        "enabled": enabled,
        "liability": {"type": "self"} if enabled else None,
        "provider": "stripe" if enabled else None,
        "status": "complete" if enabled else None,
    }
