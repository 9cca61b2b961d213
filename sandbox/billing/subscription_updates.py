"""Changes of a subscription's items, period and trial, and what they cost."""

from dataclasses import dataclass

from sandbox.billing import (
    cancellation,
    invoice_lines,
    invoicing,
    payments,
    pending_items,
    periods,
    prices,
    prorations,
    renewals,
    subscription_creation,
    trials,
)
from sandbox.errors import StripeError, invalid, unsupported
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account
from sandbox.store.metadata import merged
from sandbox.store.scheduler import job

RESUME_PAYMENT_PERIOD = 23 * 3600
"""Seconds within which the first invoice after a pause must be paid."""
_ITEM_PARAMS = {"id", "price", "quantity", "metadata", "deleted", "clear_usage"}


@dataclass(frozen=True, kw_only=True)
class BillingTerms:
    """How a change is billed."""

    behavior: prorations.Behavior
    at: int
    """The time that prorations are calculated from."""
    payment_behavior: str = "allow_incomplete"


def billing_terms(account: Account, subscription: JsonObject, params: JsonObject) -> BillingTerms:
    """
    Return the billing terms of a request.

    :raises StripeError: 400 if the proration date is outside the current period.
    """
    now = account.now_for(subscription["customer"])
    at = params.get("proration_date", now)
    start = renewals.items_of(account, subscription)[0]["current_period_start"]
    if "proration_date" in params and not start <= at <= renewals.period_end(account, subscription):
        raise invalid("The proration date must be within the current period.", param="proration_date")
    behavior = params.get("proration_behavior", "create_prorations")
    payment = str(params.get("payment_behavior", "allow_incomplete"))
    if payment == "default_incomplete" and behavior == "always_invoice":
        raise unsupported(f"payment_behavior={payment} on an update of a subscription")
    return BillingTerms(behavior=behavior, at=at, payment_behavior=payment)


def parse_changes(account: Account, subscription: JsonObject, given: list[JsonObject]) -> list[prorations.Change]:
    """
    Return the changes in `items[]` of a request.

    :raises StripeError: 400 for an item of another subscription, or if no item would be left.
    """
    if subscription["status"] == "incomplete":
        message = (
            "You cannot change the items of a subscription with the status incomplete: its first payment is still due."
        )
        raise invalid(message, param="items")
    changes = [_change(account, subscription, entry, f"items[{index}]") for index, entry in enumerate(given)]
    named = [entry["id"] for entry in given if "id" in entry]
    if len(named) != len(set(named)):
        raise invalid("You may only change a subscription item once in a request.", param="items")
    gone = {change.item["id"] for change in changes if change.item and change.deleted}
    if not set(subscription["_items"]) - gone and not any(change.item is None for change in changes):
        message = "A subscription must have at least one active plan. To cancel the subscription, use the cancel API."
        raise invalid(message, param="items")
    touched = {change.item["id"] for change in changes if change.item}
    kept = [item for item in renewals.items_of(account, subscription) if item["id"] not in touched]
    others = [account.get("price", item["_price"]) for item in kept]
    wanted = [change.price for change in changes if not change.deleted]
    _check_intervals(subscription, others + wanted)
    ids = [price["id"] for price in others + wanted]
    if len(ids) != len(set(ids)):
        raise invalid(
            "Subscription already has an item with this price: a subscription has a price once.", param="items"
        )
    return changes


def _check_intervals(subscription: JsonObject, found: list[JsonObject]) -> None:
    intervals = [price["recurring"] for price in found]
    if subscription["billing_mode"]["type"] == "classic" and any(each != intervals[0] for each in intervals):
        raise invalid("Prices with different intervals require the billing mode flexible.", param="items")
    if not all(periods.are_compatible(each, intervals[0]) for each in intervals):
        message = "The intervals of the prices of a subscription must be multiples of the shortest one."
        raise invalid(message, param="items")


def _change(account: Account, subscription: JsonObject, entry: JsonObject, param: str) -> prorations.Change:
    for name in entry.keys() - _ITEM_PARAMS:
        raise unsupported(f"the parameter items[][{name}] on POST /v1/subscriptions/{{id}}")
    item = None
    if "id" in entry:
        if entry["id"] not in subscription["_items"]:
            message = f"The subscription item {entry['id']} does not belong to the subscription {subscription['id']}."
            raise invalid(message, param=f"{param}[id]")
        item = account.get("subscription_item", entry["id"])
    elif "price" not in entry:
        raise invalid(f"Missing required param: {param}[price].", param=f"{param}[price]", code="parameter_missing")
    price = prices.get(
        account,
        entry.get("price") or (item or {})["_price"],
        subscription["currency"],
        param=f"{param}[price]",
        status=400,
    )
    if item is None or price["id"] != item["_price"]:
        subscription_creation.check_prices([price], param=f"{param}[price]")
    quantity = int(entry["quantity"] if "quantity" in entry else item["quantity"] if item else 1)
    if quantity < 0:
        raise invalid("Invalid non-negative integer", param=f"{param}[quantity]")
    metadata = merged(item["metadata"] if item else {}, entry.get("metadata"))
    return prorations.Change(
        item=item, price=price, quantity=quantity, metadata=metadata, deleted=entry.get("deleted", False)
    )


def changes_interval(account: Account, subscription: JsonObject, changes: list[prorations.Change]) -> bool:
    """Return whether the billing interval changes, which starts a new period immediately."""
    if subscription["status"] == "trialing":
        return False
    items = renewals.items_of(account, subscription)
    removed = {change.item["id"] for change in changes if change.item and change.deleted}
    if len(removed) == len(items):
        current = account.get("price", items[0]["_price"])["recurring"]
        return any(change.price["recurring"] != current for change in changes if not change.deleted)
    return any(
        change.price["recurring"] != account.get("price", change.item["_price"])["recurring"]
        for change in changes
        if change.item and not change.deleted
    )


def apply(account: Account, subscription: JsonObject, changes: list[prorations.Change], terms: BillingTerms) -> None:
    """
    Change the items of a subscription, and invoice the prorations now or on the next invoice.

    :raises StripeError: 402 if an immediate payment fails; nothing is changed then.
    """
    moves = changes_interval(account, subscription, changes)
    proration_lines = (
        [] if terms.behavior == "none" else prorations.for_changes(account, subscription, changes, at=terms.at)
    )
    at_once = sum(entry.amount for entry in proration_lines)
    if moves:
        proration_lines = [entry for entry in proration_lines if entry.amount < 0]
        at_once = sum(change.price["unit_amount"] * change.quantity for change in changes if not change.deleted)
    if (moves or terms.behavior == "always_invoice") and terms.payment_behavior == "error_if_incomplete":
        check_payable(account, subscription, at_once)
    carry_out(account, subscription, changes, proration_lines)
    now = account.now_for(subscription["customer"])
    for entry in proration_lines:
        pending_items.create(account, entry, subscription["customer"], now=now)
    if moves:
        restart_period(account, subscription, now=now)
    elif terms.behavior == "always_invoice":
        bill_pending(account, subscription, now=now)


def carry_out(
    account: Account,
    subscription: JsonObject,
    changes: list[prorations.Change],
    proration_lines: list[invoice_lines.LineItem],
) -> None:
    """Change the items of a subscription without invoicing anything."""
    # New items copy their period from an existing one, so they are added before any is deleted.
    for change in sorted(changes, key=lambda change: change.deleted):
        _apply_change(account, subscription, change, proration_lines)


def check_payable(account: Account, subscription: JsonObject, amount: int) -> None:
    """Raise Stripe's 402 if an immediate payment would fail."""
    method = payments.payment_method_for(account, subscription)
    if amount > 0 and method is None:
        raise payments.no_payment_method()
    card = method.get("_card") if method else None
    if amount > 0 and card is not None and (card.decline or card.authentication):
        unauthenticated = (
            "authentication_required",
            "authentication_required",
            "This transaction requires authentication.",
        )
        code, decline_code, message = card.decline or unauthenticated
        raise StripeError(402, "card_error", message, code=code, decline_code=decline_code)


def _apply_change(
    account: Account, subscription: JsonObject, change: prorations.Change, proration_lines: list[invoice_lines.LineItem]
) -> None:
    if change.item is None:
        period = prorations.period_for(
            account, subscription, change.price, at=account.now_for(subscription["customer"])
        )
        line = (change.price, change.quantity, change.metadata)
        item = subscription_creation.add_item(
            account, subscription["id"], line, period, account.now_for(subscription["customer"])
        )
        subscription["_items"].append(item["id"])
        for entry in proration_lines:
            if entry.subscription_item is None and entry.price is change.price:
                entry.subscription_item = item["id"]
    elif change.deleted:
        subscription["_items"].remove(change.item["id"])
        account.drop(change.item)
    else:
        change.item["_price"] = change.price["id"]
        change.item["quantity"] = change.quantity
        change.item["metadata"] = change.metadata


def bill_pending(account: Account, subscription: JsonObject, *, now: int) -> None:
    """Invoice the pending items of a subscription now, if there are any."""
    lines = invoice_lines.for_pending_items(account, subscription["customer"], subscription["id"])
    if lines:
        spec = invoicing.InvoiceSpec(reason="subscription_update", period=(now, now), created_at=now, entries=lines)
        renewals.invoice_now(account, subscription, spec)


def restart_period(account: Account, subscription: JsonObject, *, now: int) -> None:
    """Start a new period now and invoice it together with pending items. The billing cycle anchor becomes now."""
    items = renewals.items_of(account, subscription)
    began = items[0]["current_period_start"]
    subscription["billing_cycle_anchor"] = now
    for item in items:
        recurring = account.get("price", item["_price"])["recurring"]
        item["current_period_start"], item["current_period_end"] = now, periods.next_boundary(now, recurring, now)
    lines = [
        *invoice_lines.for_pending_items(account, subscription["customer"], subscription["id"]),
        *invoice_lines.for_subscription_items(account, subscription),
    ]
    renewals.schedule_renewal(account, subscription)
    spec = invoicing.InvoiceSpec(reason="subscription_update", period=(began, now), created_at=now, entries=lines)
    renewals.invoice_now(account, subscription, spec)


def reset_anchor(account: Account, subscription: JsonObject, terms: BillingTerms) -> None:
    """Reset the billing cycle to now. Credits the rest of the old period unless `proration_behavior` is `none`."""
    if terms.behavior != "none" and subscription["status"] != "trialing":
        _credit_items(account, subscription, terms)
    restart_period(account, subscription, now=account.now_for(subscription["customer"]))


def _credit_items(account: Account, subscription: JsonObject, terms: BillingTerms) -> None:
    """Credit the time left of each item on the next invoice."""
    for item in renewals.items_of(account, subscription):
        entry = prorations.credit_for_item(account, subscription, item, at=terms.at)
        if entry.amount:
            pending_items.create(
                account, entry, subscription["customer"], now=account.now_for(subscription["customer"])
            )


def change_trial(account: Account, subscription: JsonObject, wanted: int | str, terms: BillingTerms) -> None:
    """
    Change the end of a trial, or end it now, which invoices the first period.

    On a paid subscription, a trial moves the billing date: it starts now, is invoiced for zero, and the unused time of the
    paid period is credited unless `proration_behavior` is `none`.
    (https://docs.stripe.com/billing/subscriptions/billing-cycle#using-a-trial)

    :raises StripeError: 400 for a time in the past, 501 for a status other than trialing or active.
    """
    now = account.now_for(subscription["customer"])
    if wanted == "now":
        if subscription["status"] == "trialing":
            subscription["trial_end"] = now
            subscription["status"] = "active"
            restart_period(account, subscription, now=now)
        return
    end = trials.end_of({"trial_end": wanted}, now=now)
    if subscription["status"] not in ("trialing", "active") or end is None:
        raise unsupported(f"trial_end on a subscription whose status is {subscription['status']}")
    moves = subscription["status"] == "active"
    if moves and terms.behavior != "none":
        _credit_items(account, subscription, terms)
    subscription["trial_end"] = subscription["billing_cycle_anchor"] = end
    items = renewals.items_of(account, subscription)
    began = items[0]["current_period_start"]
    for item in items:
        item["current_period_start"] = now if moves else item["current_period_start"]
        item["current_period_end"] = end
    if moves:
        subscription["status"], subscription["trial_start"] = "trialing", now
        lines = [
            *invoice_lines.for_pending_items(account, subscription["customer"], subscription["id"]),
            *invoice_lines.for_subscription_items(account, subscription, trial=True),
        ]
        spec = invoicing.InvoiceSpec(reason="subscription_update", period=(began, now), created_at=now, entries=lines)
        renewals.invoice_now(account, subscription, spec)
    if subscription["cancel_at_period_end"]:
        cancellation.schedule_cancellation(account, subscription, end)
    renewals.schedule_renewal(account, subscription)
    trials.schedule_trial_will_end(account, subscription)


@job("subscription.resumption_expiry")
def _resumption_expired(account: Account, subscription_id: str, at: int) -> None:
    """Void the unpaid invoice of a resumption. The subscription stays paused."""
    subscription = account.find("subscription", subscription_id)
    if subscription and subscription["status"] == "paused" and subscription.pop("_resuming", None):
        invoice = account.get("invoice", subscription["latest_invoice"])
        if invoice["status"] == "open":
            invoicing.void(account, invoice, now=at)
