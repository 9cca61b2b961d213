"""
The turn of a period.

As at Stripe: at the turn the subscription moves on and a draft is made; an hour later it is finalised and charged. A
payment that fails makes the subscription `past_due` and is tried again, by the account's settings.
"""

from sandbox.agenda import action
from sandbox.billing import charging, endings, entries, invoicing, periods
from sandbox.jsontypes import JsonObject
from sandbox.store import Account

_DRAFT_FOR = 3600
_DAY = 86400


def items_of(account: Account, subscription: JsonObject) -> list[JsonObject]:
    """Return the items of a subscription, in their order."""
    return [account.get("subscription_item", item_id) for item_id in subscription["_items"]]


def period_end(account: Account, subscription: JsonObject) -> int:
    """Return when the current period of a subscription ends."""
    return int(min(item["current_period_end"] for item in items_of(account, subscription)))


@action("subscription.turn")
def _turn(account: Account, subscription_id: str, at: int) -> None:
    subscription = account.find("subscription", subscription_id)
    if subscription is None or subscription["status"] in (*endings.OVER, "incomplete"):
        return
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= at:
        endings.cancel(account, subscription)
    elif period_end(account, subscription) <= at:
        _renew(account, subscription, at)


def _renew(account: Account, subscription: JsonObject, at: int) -> None:
    before = period_end(account, subscription)
    items = items_of(account, subscription)
    ended = (items[0]["current_period_start"], before)
    recurring = account.get("price", items[0]["_price"])["recurring"]
    following = periods.after(subscription["billing_cycle_anchor"], recurring, before)
    with account.changing(subscription, "customer.subscription.updated"):
        for item in items:
            item["current_period_start"], item["current_period_end"] = before, following
        lines = [
            *entries.of_pending(account, subscription["customer"], subscription["id"]),
            *entries.of_items(account, subscription),
        ]
        bill = invoicing.Bill(reason="subscription_cycle", period=ended, made_at=at, entries=lines)
        invoice = invoicing.draft(account, subscription, bill)
        subscription["latest_invoice"] = invoice["id"]
    endings.watch(account, subscription, following)
    if subscription["status"] == "unpaid":
        invoice["auto_advance"] = False
        return
    invoice["automatically_finalizes_at"] = at + _DRAFT_FOR
    invoice["next_payment_attempt"] = at + _DRAFT_FOR
    account.agenda.add(subscription["test_clock"], at + _DRAFT_FOR, "invoice.collect", invoice["id"])


@action("invoice.collect")
def _collect(account: Account, invoice_id: str, at: int) -> None:
    """Finalise a draft and charge it, or try again to charge what is open."""
    invoice = account.find("invoice", invoice_id)
    if invoice is None or not invoice["auto_advance"] or invoice["status"] not in ("draft", "open"):
        return
    if invoice["status"] == "draft":
        invoicing.finalize(account, invoice, now=at)
    elif invoice["next_payment_attempt"] != at:
        return
    attempt_collection(account, invoice, at)


def attempt_collection(account: Account, invoice: JsonObject, at: int) -> None:
    """Charge an open renewal invoice; on failure the subscription is overdue and a retry is planned."""
    subscription = account.get("subscription", invoice["_subscription"])
    method = charging.method_for(account, subscription)
    if invoice["amount_remaining"] == 0:
        invoicing.mark_paid(account, invoice, now=at)
        outcome: charging.Outcome = "paid"
    elif method is None:
        outcome = "declined"
    else:
        outcome = charging.pay(account, invoice, charging.Attempt(method=method, now=at))
    if outcome == "paid":
        charging.settle(account, subscription, outcome)
    else:
        _failed(account, subscription, invoice, outcome, at)


def _failed(
    account: Account, subscription: JsonObject, invoice: JsonObject, outcome: charging.Outcome, at: int
) -> None:
    pauses = account.settings.retry_days
    invoice["attempted"] = True
    invoice["attempt_count"] += 1
    retry = at + int(pauses[invoice["attempt_count"] - 1] * _DAY) if invoice["attempt_count"] <= len(pauses) else None
    invoice["next_payment_attempt"] = retry
    if retry is not None:
        account.agenda.add(invoice["test_clock"], retry, "invoice.collect", invoice["id"])
    account.emit("invoice.payment_failed", invoice)
    if outcome == "requires_action":
        account.emit("invoice.payment_action_required", invoice)
    final = "past_due" if retry is not None else account.settings.after_retries
    if final == "cancel":
        endings.cancel(account, subscription, reason="payment_failed")
        return
    with account.changing(subscription, "customer.subscription.updated"):
        subscription["status"] = final
