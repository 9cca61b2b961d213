"""
Pending updates: changes of a subscription that wait for their payment (`payment_behavior=pending_if_incomplete`).

The changes are invoiced first. They apply when the invoice is paid; after 23 hours they expire and it is voided.
"""

from sandbox.billing import charges, invoice_lines, invoicing, payments, prorations, renewals, subscription_updates
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id
from sandbox.store.scheduler import job

_EXPIRES = 23 * 3600


def invoice_first(
    account: Account,
    subscription: JsonObject,
    changes: list[prorations.Change],
    terms: subscription_updates.BillingTerms,
) -> bool:
    """
    Invoice changes before they apply, and try to charge the invoice.

    :returns: whether they are paid, so they can apply now. Otherwise they are pending.
    """
    now = account.now_for(subscription["customer"])
    lines: list[invoice_lines.LineItem] = prorations.for_changes(account, subscription, changes, at=terms.at)
    spec = invoicing.InvoiceSpec(reason="subscription_update", period=(now, now), created_at=now, entries=lines)
    invoice = invoicing.create_draft(account, subscription, spec)
    subscription["latest_invoice"] = invoice["id"]
    invoice["auto_advance"] = False
    invoicing.finalize(account, invoice, now=now)
    method = payments.payment_method_for(account, subscription)
    outcome: payments.Outcome = "declined"
    if invoice["status"] == "paid":
        return True
    if method is not None:
        outcome = payments.pay(account, invoice, charges.Attempt(method=method, now=now))
    if outcome == "paid":
        return True
    if outcome != "processing":
        payments.record_failure(account, invoice, outcome)
    subscription["pending_update"] = {
        "billing_cycle_anchor": None,
        "expires_at": now + _EXPIRES,
        "subscription_items": [_item(account, subscription, change) for change in changes if not change.deleted],
        "trial_end": None,
        "trial_from_plan": None,
    }
    subscription["_pending_changes"] = (invoice["id"], changes)
    account.scheduler.schedule(
        subscription["test_clock"], now + _EXPIRES, "subscription.pending_update_expiry", subscription["id"]
    )
    return False


def _item(account: Account, subscription: JsonObject, change: prorations.Change) -> JsonObject:
    """Return an item as it will be."""
    first = renewals.items_of(account, subscription)[0]
    base = account.render(change.item or first)
    price, recurring = change.price, change.price["recurring"]
    plan = {
        **base["plan"],
        "id": price["id"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "product": price["product"],
    }
    item_id = change.item["id"] if change.item else new_id("si", length=14)
    return {**base, "id": item_id, "plan": plan, "price": account.render(price), "quantity": change.quantity}


def _apply_when_paid(account: Account, invoice: JsonObject) -> None:
    subscription = account.find("subscription", invoice["_subscription"])
    pending = subscription.get("_pending_changes") if subscription else None
    if subscription is None or pending is None or pending[0] != invoice["id"]:
        return
    del subscription["_pending_changes"]
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription["pending_update"] = None
        subscription_updates.carry_out(account, subscription, pending[1], [])
    account.emit("customer.subscription.pending_update_applied", subscription)


@job("subscription.pending_update_expiry")
def _expire(account: Account, subscription_id: str, at: int) -> None:
    subscription = account.find("subscription", subscription_id)
    pending = subscription.get("_pending_changes") if subscription else None
    if subscription is None or pending is None or subscription["pending_update"]["expires_at"] != at:
        return
    invoice = account.get("invoice", pending[0])
    intent = account.find("payment_intent", invoice["_payment_intent"])
    if intent is not None and intent["status"] == "processing":
        return
    del subscription["_pending_changes"]
    if invoice["status"] == "open":
        invoicing.void(account, invoice, now=at)
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription["pending_update"] = None
    account.emit("customer.subscription.pending_update_expired", subscription)


invoicing.ON_PAID.append(_apply_when_paid)
