"""Trials. Nothing is charged until the end, and `trial_will_end` is sent three days before."""

from typing import Literal

from sandbox.errors import invalid
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account
from sandbox.store.scheduler import job

_DAY = 86400
_NOTICE = 3 * _DAY
_MAX_DAYS = 730

MissingPaymentMethod = Literal["cancel", "create_invoice", "pause"]


def settings_of(missing_payment_method: MissingPaymentMethod) -> JsonObject:
    """Return the `trial_settings` of a subscription."""
    return {"end_behavior": {"billing_cycle_anchor": None, "missing_payment_method": missing_payment_method}}


def missing_payment_method(params: JsonObject) -> MissingPaymentMethod:
    """Return the requested behavior when a trial ends without a payment method."""
    wanted: MissingPaymentMethod = (
        params.get("trial_settings", {}).get("end_behavior", {}).get("missing_payment_method", "create_invoice")
    )
    return wanted


def end_of(params: JsonObject, *, now: int) -> int | None:
    """
    Return the end of the requested trial, or None.

    :raises StripeError: 400 if it is in the past, more than two years away, or given twice.
    """
    end, days = params.get("trial_end"), params.get("trial_period_days")
    if end is not None and days is not None:
        message = "You may only specify one of these parameters: trial_end, trial_period_days."
        raise invalid(message, param="trial_end", code="parameters_exclusive")
    if days is not None:
        if not 1 <= days <= _MAX_DAYS:
            raise invalid(f"A trial must have from 1 to {_MAX_DAYS} days.", param="trial_period_days")
        return now + int(days) * _DAY
    if end is None or end == "now":
        return None
    if end <= now:
        raise invalid("Invalid timestamp: must be an integer Unix timestamp in the future.", param="trial_end")
    if end > now + _MAX_DAYS * _DAY:
        raise invalid("Invalid timestamp: can be no more than two years in the future.", param="trial_end")
    return int(end)


def schedule_trial_will_end(account: Account, subscription: JsonObject) -> None:
    """Schedule `trial_will_end` three days before the end, or now for a shorter trial."""
    if subscription["trial_end"] is not None and subscription["status"] == "trialing":
        due = max(account.now_for(subscription["customer"]), subscription["trial_end"] - _NOTICE)
        account.scheduler.schedule(subscription["test_clock"], due, "subscription.trial_will_end", subscription["id"])


@job("subscription.trial_will_end")
def _will_end(account: Account, subscription_id: str, at: int) -> None:
    subscription = account.find("subscription", subscription_id)
    if subscription is None or subscription["status"] != "trialing" or subscription["trial_end"] - _NOTICE > at:
        return
    if subscription.get("_warned_of") != subscription["trial_end"]:
        subscription["_warned_of"] = subscription["trial_end"]
        account.emit("customer.subscription.trial_will_end", subscription)
