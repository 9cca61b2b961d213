"""Invoice items, pending for a customer's next invoice or added to a draft."""

from sandbox.billing import currencies, invoice_lines, invoicing, pending_items
from sandbox.errors import invalid, unsupported
from sandbox.http.pagination import in_range
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account
from sandbox.store.metadata import merged

_KIND = "invoiceitem"
_CREATE = (
    "amount currency customer description discountable invoice metadata period price_data pricing quantity subscription "
    "tax_behavior unit_amount_decimal"
)


@route("POST", "/v1/invoiceitems", takes=_CREATE)
def create(call: Call) -> JsonObject:
    """Add an invoice item to the next invoice of a customer or subscription, or to a draft."""
    account, params = call.account, call.params
    if "customer" not in params:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customer = account.get("customer", params["customer"], param="customer", status=400)
    draft = _draft(account, params, customer["id"])
    if "subscription" in params:
        owner = account.get("subscription", params["subscription"], param="subscription", status=400)
        if owner["customer"] != customer["id"]:
            raise invalid("The subscription belongs to another customer.", param="subscription")
    if "unit_amount_decimal" in params:
        raise unsupported("the parameter unit_amount_decimal on POST /v1/invoiceitems")
    price = _price(account, params)
    currencies.check_amount(price["unit_amount"], price["currency"], param="amount")
    quantity = params.get("quantity", 1)
    now = account.now_for(customer["id"])
    period = params.get("period", {})
    entry = invoice_lines.LineItem(
        price=price,
        quantity=quantity,
        amount=price["unit_amount"] * quantity,
        period=(period.get("start", now), period.get("end", now)),
        description=params.get("description") or invoice_lines.product_name(account, price),
        metadata=merged({}, params.get("metadata")),
        discountable=params.get("discountable", price["unit_amount"] >= 0),
        subscription=params.get("subscription"),
    )
    item = pending_items.create(account, entry, customer["id"], now=now)
    if draft:
        item["invoice"] = draft["id"]
        _recompose(account, draft)
    return item


@route("GET", "/v1/invoiceitems/{invoiceitem}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve an invoice item."""
    return call.account.get(_KIND, call.ids["invoiceitem"])


@route("GET", "/v1/invoiceitems", takes="created customer invoice pending")
def list_all(call: Call) -> Page:
    """List invoice items by customer, by invoice or by whether they are pending."""
    params = call.params
    return Page(
        [
            item
            for item in call.account.all(_KIND)
            if all(item[name] == params[name] for name in ("customer", "invoice") if name in params)
            and ("pending" not in params or (item["invoice"] is None) == params["pending"])
            and in_range(item["date"], params.get("created"))
        ]
    )


@route("POST", "/v1/invoiceitems/{invoiceitem}", takes="amount description metadata")
def update(call: Call) -> JsonObject:
    """Update an invoice item unless its invoice is finalized."""
    account, params = call.account, call.params
    item = account.get(_KIND, call.ids["invoiceitem"])
    draft = _editable(account, item)
    if "amount" in params and account.get("price", item["_price"])["active"]:
        raise invalid("You cannot change the amount of an invoice item that has a price.", param="amount")
    item["metadata"] = merged(item["metadata"], params.get("metadata"))
    item["description"] = params.get("description", item["description"])
    if "amount" in params:
        item["amount"] = item["net_amount"] = params["amount"] * item["quantity"]
    if draft:
        _recompose(account, draft)
    return item


@route("DELETE", "/v1/invoiceitems/{invoiceitem}")
def delete(call: Call) -> JsonObject:
    """Delete an invoice item unless its invoice is finalized."""
    account = call.account
    item = account.get(_KIND, call.ids["invoiceitem"])
    draft = _editable(account, item)
    account.emit("invoiceitem.deleted", item)
    stub = account.drop(item)
    if draft:
        _recompose(account, draft)
    return stub


def _editable(account: Account, item: JsonObject) -> JsonObject | None:
    """Return the draft that an invoice item is on, if any."""
    invoice = account.find("invoice", item["invoice"])
    of_period = invoice and invoice["_subscription"] and invoice["billing_reason"] != "manual"
    if invoice and (invoice["status"] != "draft" or of_period):
        message = "You cannot change or delete an invoice item that is on an invoice, unless the invoice is a draft."
        raise invalid(message, param="invoiceitem")
    return invoice


def _draft(account: Account, params: JsonObject, customer_id: str) -> JsonObject | None:
    if "invoice" not in params:
        return None
    invoice = account.get("invoice", params["invoice"], param="invoice", status=400)
    if invoice["customer"] != customer_id:
        raise invalid("The invoice belongs to another customer.", param="invoice")
    if invoice["status"] != "draft":
        raise invalid("The invoice is no longer a draft.", param="invoice", code="invoice_not_editable")
    if invoice["_subscription"] and invoice["billing_reason"] != "manual":
        raise unsupported("adding an invoice item to the draft of a period of a subscription")
    return invoice


def _recompose(account: Account, draft: JsonObject) -> None:
    own = [item for item in reversed(account.all(_KIND)) if item["invoice"] == draft["id"]]
    with account.track_changes(draft, "invoice.updated"):
        invoicing.replace_lines(account, draft, [invoice_lines.for_invoice_item(account, item) for item in own])


def _price(account: Account, params: JsonObject) -> JsonObject:
    """Return the given price, or an inactive price created for a bare amount or for `price_data`, as at Stripe."""
    named = params.get("pricing", {}).get("price")
    if sum((named is not None, "amount" in params, "price_data" in params)) != 1:
        message = "You must specify exactly one of amount, price_data and pricing[price]."
        raise invalid(message, param="amount", code="parameter_missing")
    if "price_data" in params:
        now = account.now_for(params["customer"])
        return account.add(pending_items.price_of_data(account, params["price_data"], param="price_data", now=now))
    if named is not None:
        price = account.get("price", named, param="pricing[price]", status=400)
        if price["recurring"] is not None:
            raise invalid("An invoice item takes a price of `type=one_time`.", param="pricing[price]")
        return price
    if "currency" not in params:
        raise invalid("Missing required param: currency.", param="currency", code="parameter_missing")
    return pending_items.create_one_time_price(
        account,
        amount=params["amount"],
        currency=currencies.check(params["currency"]),
        name=params.get("description") or "Invoice item",
        tax_behavior=params.get("tax_behavior", "unspecified"),
        now=account.now_for(params["customer"]),
    )
