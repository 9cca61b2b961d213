"""How a subscription ends: immediately, at a scheduled time, or because its first invoice was not paid."""

from sandbox.billing import invoicing
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account
from sandbox.store.scheduler import job

ENDED_STATUSES = ("canceled", "incomplete_expired")
"""Final statuses."""


def cancel(account: Account, subscription: JsonObject, *, reason: str = "cancellation_requested") -> None:
    """Cancel a subscription immediately. Its open invoices stay payable, as at Stripe, but are no longer collected."""
    now = account.now_for(subscription["customer"])
    subscription["status"] = "canceled"
    subscription["canceled_at"] = subscription["canceled_at"] or now
    subscription["ended_at"] = now
    if subscription["cancellation_details"]["reason"] is None:
        subscription["cancellation_details"]["reason"] = reason
    for invoice in account.all("invoice"):
        if invoice["_subscription"] == subscription["id"] and invoice["status"] in ("draft", "open"):
            invoice["auto_advance"] = False
            invoice["next_payment_attempt"] = None
            invoice["automatically_finalizes_at"] = None
    account.emit("customer.subscription.deleted", subscription)
    schedule = account.find("subscription_schedule", subscription["schedule"])
    if schedule is not None and schedule["status"] in ("not_started", "active"):
        cancel_schedule(account, schedule)


def cancel_schedule(account: Account, schedule: JsonObject) -> None:
    """Cancel a subscription schedule."""
    schedule["status"] = "canceled"
    schedule["canceled_at"] = account.now_for(schedule["customer"])
    schedule["current_phase"] = None
    account.emit("subscription_schedule.canceled", schedule)


def check_at(account: Account, subscription: JsonObject, at: int) -> None:
    """Schedule a check of the subscription: it may end or renew at that time."""
    account.scheduler.schedule(subscription["test_clock"], at, "subscription.period_end", subscription["id"])


def schedule_cancellation(account: Account, subscription: JsonObject, at: int) -> None:
    """Schedule the end of a subscription."""
    subscription["cancel_at"] = at
    subscription["canceled_at"] = account.now_for(subscription["customer"])
    subscription["cancellation_details"]["reason"] = "cancellation_requested"
    check_at(account, subscription, at)


def unschedule(subscription: JsonObject) -> None:
    """Remove a scheduled end."""
    subscription["cancel_at"] = None
    subscription["cancel_at_period_end"] = False
    subscription["canceled_at"] = None
    subscription["cancellation_details"]["reason"] = None


def expire_incomplete(account: Account, subscription: JsonObject) -> None:
    """Expire a subscription whose first invoice was not paid, and void that invoice."""
    now = account.now_for(subscription["customer"])
    invoicing.void(account, account.get("invoice", subscription["latest_invoice"]), now=now)
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription["status"] = "incomplete_expired"
        subscription["ended_at"] = now


@job("subscription.incomplete_expiry")
def _expire(account: Account, subscription_id: str, _at: int) -> None:
    subscription = account.find("subscription", subscription_id)
    if subscription and subscription["status"] == "incomplete":
        expire_incomplete(account, subscription)
