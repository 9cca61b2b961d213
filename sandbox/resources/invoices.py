"""Invoices. `sandbox.resources.invoice_actions` finalizes and pays them."""

from sandbox.billing import invoice_lines, invoicing, renewals
from sandbox.errors import invalid
from sandbox.http.pagination import in_range
from sandbox.http.parameters import unset
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.resources.subscriptions import check_days_until_due
from sandbox.store.accounts import Account
from sandbox.store.metadata import merged

_CREATE = (
    "auto_advance automatic_tax collection_method currency customer default_payment_method description footer metadata "
    "pending_invoice_items_behavior subscription days_until_due due_date"
)


@route("GET", "/v1/invoices/{invoice}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve an invoice."""
    return call.account.get("invoice", call.ids["invoice"])


@route("GET", "/v1/invoices", takes="created customer status subscription collection_method")
def list_all(call: Call) -> Page:
    """List invoices by subscription, customer or status."""
    params = call.params
    return Page(
        [
            invoice
            for invoice in call.account.all("invoice")
            if ("subscription" not in params or invoice["_subscription"] == params["subscription"])
            and all(
                invoice[name] == params[name] for name in ("customer", "status", "collection_method") if name in params
            )
            and in_range(invoice["created"], params.get("created"))
        ]
    )


@route("POST", "/v1/invoices", takes=_CREATE)
def create(call: Call) -> JsonObject:
    """Create a draft with the pending invoice items of a customer or a subscription, or without lines."""
    account, params = call.account, call.params
    check_days_until_due(params)
    subscription = None
    if "subscription" in params:
        subscription = account.get("subscription", params["subscription"], param="subscription", status=400)
        if params.get("customer", subscription["customer"]) != subscription["customer"]:
            raise invalid("The subscription belongs to another customer.", param="subscription")
    customer_id = params.get("customer") or (subscription or {}).get("customer")
    if customer_id is None:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = account.get("customer", customer_id, param="customer", status=400)
    now = account.now_for(customer_id)
    wait = params.get("pending_invoice_items_behavior", "include" if subscription else "exclude") == "include"
    lines = (
        invoice_lines.for_pending_items(account, customer_id, subscription["id"] if subscription else None)
        if wait
        else []
    )
    spec = invoicing.InvoiceSpec(reason="manual", period=(now, now), created_at=now, entries=lines)
    if subscription:
        if wait and not lines:
            raise invalid("Nothing to invoice for subscription", code="invoice_no_subscription_line_items")
        invoice = invoicing.build_draft(account, subscription, spec)
        if "automatic_tax" in params:
            invoice["automatic_tax"] = invoicing.automatic_tax(enabled=params["automatic_tax"]["enabled"])
    else:
        currency = params.get("currency") or (lines[0].price["currency"] if lines else customer["currency"])
        invoice = invoicing.empty_draft(account, customer_id, currency=str(currency or "usd").lower(), spec=spec)
        invoice["automatic_tax"] = invoicing.automatic_tax(
            enabled=params.get("automatic_tax", {}).get("enabled", False)
        )
        invoicing.replace_lines(account, invoice, lines)
    invoice["auto_advance"] = params.get("auto_advance", False)
    _apply_params(account, invoice, params)
    invoicing.store_draft(account, invoice, lines)
    if invoice["auto_advance"]:
        renewals.schedule_collection(account, invoice, now)
    return invoice


def _apply_params(account: Account, invoice: JsonObject, params: JsonObject) -> None:
    invoice["metadata"] = merged(invoice["metadata"], params.get("metadata"))
    if "default_payment_method" in params:
        method = account.get(
            "payment_method", params["default_payment_method"], param="default_payment_method", status=400
        )
        invoice["default_payment_method"] = method["id"]
    for name in ("description", "footer", "collection_method", "due_date"):
        if name in params:
            invoice[name] = unset(params[name])
    if "days_until_due" in params:
        invoice["_days_until_due"], invoice["due_date"] = params["days_until_due"], None


@route(
    "POST",
    "/v1/invoices/{invoice}",
    takes="auto_advance collection_method days_until_due default_payment_method description due_date footer metadata",
)
def update(call: Call) -> JsonObject:
    """Update a draft. On a finalized invoice, only metadata and collection can change."""
    account, params = call.account, call.params
    invoice = account.get("invoice", call.ids["invoice"])
    if invoice["status"] != "draft" and params.keys() - {
        "metadata",
        "auto_advance",
        "default_payment_method",
        "expand",
    }:
        raise invalid("Finalized invoices can't be updated in this way", code="invoice_not_editable")
    with account.track_changes(invoice, "invoice.updated"):
        _apply_params(account, invoice, params)
        if invoice["status"] in ("draft", "open") and "auto_advance" in params:
            started = params["auto_advance"] and not invoice["auto_advance"]
            invoice["auto_advance"] = params["auto_advance"]
            if started:
                renewals.schedule_collection(account, invoice, account.now_for(invoice["customer"]))
            elif not params["auto_advance"]:
                invoice["next_payment_attempt"] = invoice["automatically_finalizes_at"] = None
    return invoice


@route("DELETE", "/v1/invoices/{invoice}")
def delete(call: Call) -> JsonObject:
    """Delete a draft without a subscription, together with its invoice items."""
    account = call.account
    invoice = account.get("invoice", call.ids["invoice"])
    if invoice["status"] != "draft" or invoice["_subscription"]:
        message = "You can only delete draft invoices without a subscription. Void the invoice instead."
        raise invalid(message, code="invoice_not_editable")
    for item in account.all("invoiceitem"):
        if item["invoice"] == invoice["id"]:
            account.drop(item)
    account.emit("invoice.deleted", invoice)
    return account.drop(invoice)


@route("GET", "/v1/invoices/{invoice}/lines")
def lines(call: Call) -> Page:
    """List the lines of an invoice."""
    return Page(call.account.get("invoice", call.ids["invoice"])["lines"]["data"])
