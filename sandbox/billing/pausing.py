"""
Stripe's two kinds of pause.

With `pause_collection`, invoices are still created and then kept as drafts, voided or marked as uncollectible. A paused
subscription has no invoices and no new periods until it is resumed.
"""

from typing import Literal

from sandbox.billing import invoicing
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account
from sandbox.store.scheduler import job

PAYMENT_FAILURES = ("first_payment_failure", "final_payment_failure")
"""Reasons that end when the open invoice is paid."""

Why = Literal["pause_requested", "trial_end_without_payment_method", "first_payment_failure", "final_payment_failure"]


def handle_paused_collection(account: Account, subscription: JsonObject, invoice: JsonObject, *, now: int) -> None:
    """Handle a new draft as `pause_collection` says."""
    behavior = subscription["pause_collection"]["behavior"]
    invoice["auto_advance"] = False
    if behavior == "keep_as_draft":
        return
    invoicing.finalize(account, invoice, now=now)
    if invoice["status"] == "paid":
        return
    if behavior == "void":
        invoicing.void(account, invoice, now=now)
    else:
        invoicing.mark_uncollectible(account, invoice, now=now, why="subscription_paused")


def pause_collection(account: Account, subscription: JsonObject, wanted: JsonObject | None) -> None:
    """Pause or resume the collection of payments."""
    subscription["pause_collection"] = None
    if wanted:
        resumes_at = wanted.get("resumes_at")
        subscription["pause_collection"] = {"behavior": wanted["behavior"], "resumes_at": resumes_at}
        if resumes_at is not None:
            account.scheduler.schedule(
                subscription["test_clock"], resumes_at, "subscription.resume_collection", subscription["id"]
            )


@job("subscription.resume_collection")
def _collect_again(account: Account, subscription_id: str, at: int) -> None:
    subscription = account.find("subscription", subscription_id)
    if subscription and (subscription["pause_collection"] or {}).get("resumes_at") == at:
        with account.track_changes(subscription, "customer.subscription.updated"):
            subscription["pause_collection"] = None


def pause(account: Account, subscription: JsonObject, *, why: Why) -> None:
    """Pause a subscription."""
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription["status"] = "paused"
        subscription["status_details"] = {
            "paused": {
                "subscription": {"type": why},
                "transitioned_at": account.now_for(subscription["customer"]),
                "type": "subscription",
            }
        }
    account.emit("customer.subscription.paused", subscription)


def resume(account: Account, subscription: JsonObject) -> None:
    """Resume a paused subscription."""
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription["status"] = "active"
        subscription["status_details"] = None
        subscription.pop("_resuming", None)
    account.emit("customer.subscription.resumed", subscription)
