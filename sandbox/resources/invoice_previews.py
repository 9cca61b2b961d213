"""Invoice previews: the next invoice of a subscription, or the effect of a change. Nothing is stored."""

from sandbox.billing import (
    cancellation,
    invoice_lines,
    invoicing,
    pending_items,
    periods,
    prorations,
    renewals,
    subscription_creation,
    subscription_updates,
)
from sandbox.errors import invalid, unsupported
from sandbox.http.parameters import unset
from sandbox.http.routing import Call, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, deep_copy, new_id

_DETAILS = {"items", "proration_behavior", "proration_date", "cancel_at", "cancel_at_period_end", "metadata"}
_ITEM = {"price_data", "quantity", "period", "discountable", "description", "metadata"}


@route(
    "POST",
    "/v1/invoices/create_preview",
    takes="automatic_tax customer invoice_items subscription subscription_details",
)
def create_preview(call: Call) -> JsonObject:
    """Preview the next invoice of a subscription, optionally with changes, or the first invoice of a new one."""
    account, params = call.account, call.params
    details = params.get("subscription_details", {})
    for name in details.keys() - _DETAILS:
        raise unsupported(f"the parameter subscription_details[{name}] on POST /v1/invoices/create_preview")
    if "invoice_items" in params and ("subscription" not in params or "items" in details):
        raise unsupported("invoice_items on a preview of a new or changed subscription")
    if "subscription" not in params:
        return _of_new(account, params, details)
    subscription = account.get("subscription", params["subscription"], param="subscription", status=400)
    if subscription["status"] in cancellation.ENDED_STATUSES:
        raise _none("This subscription is canceled.")
    ends = details.get("cancel_at_period_end", subscription["cancel_at_period_end"])
    if ends and "items" not in details:
        raise _none("The subscription ends at the end of the period.")
    if "items" not in details:
        if "automatic_tax" in params:
            subscription = {**subscription, "automatic_tax": {"enabled": params["automatic_tax"]["enabled"]}}
        added = [_added(account, subscription, entry) for entry in params.get("invoice_items", ())]
        return renewals.upcoming(account, subscription, added=added)
    return _of_change(account, subscription, details)


def _added(account: Account, subscription: JsonObject, entry: JsonObject) -> invoice_lines.LineItem:
    """Return the line of an additional invoice item. Its price is not stored."""
    for name in entry.keys() - _ITEM:
        raise unsupported(f"the parameter invoice_items[][{name}] on POST /v1/invoices/create_preview")
    if "price_data" not in entry:
        raise unsupported("invoice_items[] without price_data on POST /v1/invoices/create_preview")
    now = account.now_for(subscription["customer"])
    price = pending_items.price_of_data(account, entry["price_data"], param="invoice_items[][price_data]", now=now)
    quantity, period = entry.get("quantity", 1), entry.get("period", {})
    return invoice_lines.LineItem(
        price=price,
        quantity=quantity,
        amount=price["unit_amount"] * quantity,
        period=(period.get("start", now), period.get("end", now)),
        description=entry.get("description") or invoice_lines.product_name(account, price),
        metadata=unset(entry.get("metadata")) or {},
        discountable=entry.get("discountable", True),
        invoice_item=new_id("ii"),
    )


def _none(why: str) -> Exception:
    message = f"No upcoming invoices for customer: there is nothing to preview. {why}"
    return invalid(message, code="invoice_upcoming_none", status=404)


def _of_change(account: Account, subscription: JsonObject, details: JsonObject) -> JsonObject:
    terms = subscription_updates.billing_terms(account, subscription, details)
    changes = subscription_updates.parse_changes(account, subscription, details["items"])
    if subscription_updates.changes_interval(account, subscription, changes):
        raise unsupported("previews of a different billing interval")
    worth = [] if terms.behavior == "none" else prorations.for_changes(account, subscription, changes, at=terms.at)
    for entry in worth:
        # Stripe's previews contain IDs of objects that are never created, too.
        entry.invoice_item = new_id("ii")
        entry.subscription_item = entry.subscription_item or new_id("si", length=14)
    pending = invoice_lines.for_pending_items(account, subscription["customer"], subscription["id"])
    now = account.now_for(subscription["customer"])
    if terms.behavior == "always_invoice":
        spec = invoicing.InvoiceSpec(reason="upcoming", period=(now, now), created_at=now, entries=[*pending, *worth])
        return invoicing.preview(account, subscription, spec)
    period = renewals.next_period(account, subscription)
    lines = [*pending, *worth, *_recurring(account, subscription, changes, period)]
    spec = invoicing.InvoiceSpec(reason="upcoming", period=(now, period[0]), created_at=period[0], entries=lines)
    return invoicing.preview(account, subscription, spec)


def _recurring(
    account: Account, subscription: JsonObject, changes: list[prorations.Change], period: tuple[int, int]
) -> list[invoice_lines.LineItem]:
    changed = {change.item["id"]: change for change in changes if change.item}
    found = []
    for entry in invoice_lines.for_subscription_items(account, subscription, period=period):
        change = changed.get(entry.subscription_item or "")
        if change is None:
            found.append(entry)
        elif not change.deleted:
            found.append(
                _entry(account, change.price, change.quantity, period, subscription["id"], entry.subscription_item)
            )
    added = [change for change in changes if change.item is None]
    return found + [_entry(account, each.price, each.quantity, period, subscription["id"], None) for each in added]


def _entry(
    account: Account,
    price: JsonObject,
    quantity: int,
    period: tuple[int, int],
    subscription_id: str | None,
    item_id: str | None,
) -> invoice_lines.LineItem:
    return invoice_lines.LineItem(
        price=price,
        quantity=quantity,
        amount=price["unit_amount"] * quantity,
        period=period,
        description=f"{quantity} × {invoice_lines.product_name(account, price)}",
        subscription=subscription_id,
        subscription_item=item_id or new_id("si", length=14),
    )


def _of_new(account: Account, params: JsonObject, details: JsonObject) -> JsonObject:
    if "customer" not in params or not details.get("items"):
        raise invalid(
            "You must specify a subscription, or a customer and subscription_details[items].", param="customer"
        )
    customer = account.get("customer", params["customer"], param="customer", status=400)
    now = account.now_for(customer["id"])
    prices = [
        account.get("price", entry.get("price", ""), param=f"subscription_details[items][{index}][price]", status=400)
        for index, entry in enumerate(details["items"])
    ]
    subscription_creation.check_prices(prices, param="subscription_details[items][{}][price]")
    end = periods.next_boundary(now, prices[0]["recurring"], now)
    quantities = [entry.get("quantity", 1) for entry in details["items"]]
    lines = [
        _entry(account, price, quantity, (now, end), None, None)
        for price, quantity in zip(prices, quantities, strict=True)
    ]
    spec = invoicing.InvoiceSpec(reason="upcoming", period=(now, now), created_at=now, entries=lines)
    taxed = params.get("automatic_tax", {}).get("enabled", False)
    future = {
        "id": None,
        "customer": customer["id"],
        "currency": prices[0]["currency"],
        "discounts": [],
        "automatic_tax": {"enabled": taxed},
        "metadata": deep_copy(unset(details.get("metadata")) or {}),
    }
    preview = invoicing.preview(account, future, spec)
    preview["parent"] = None
    return preview
