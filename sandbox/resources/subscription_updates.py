"""Updating a subscription: items, trial, pauses and billing mode."""

from sandbox.billing import (
    cancellation,
    discounts,
    pausing,
    pending_items,
    pending_updates,
    prorations,
    renewals,
    subscription_updates,
    trials,
)
from sandbox.errors import StripeError, invalid, unsupported
from sandbox.http.parameters import unset
from sandbox.http.routing import Call, route
from sandbox.json_types import JsonObject
from sandbox.resources import subscriptions
from sandbox.resources.subscription_cancellation import schedule_end, set_cancellation_details
from sandbox.store.accounts import Account, deep_copy
from sandbox.store.metadata import merged

_UPDATE = (
    "automatic_tax billing_cycle_anchor cancel_at cancel_at_period_end cancellation_details collection_method "
    "days_until_due default_payment_method description discounts items metadata off_session pause_collection "
    "payment_behavior proration_behavior proration_date trial_end trial_settings"
)
_EDITABLE_AFTER_END = {"metadata", "cancellation_details", "expand"}


@route("POST", "/v1/subscriptions/{subscription_exposed_id}", takes=_UPDATE)
def update(call: Call) -> JsonObject:
    """Update a subscription, schedule its end or remove a scheduled end."""
    account, params = call.account, call.params
    subscription = account.get("subscription", call.ids["subscription_exposed_id"])
    if subscription["status"] in cancellation.ENDED_STATUSES:
        if params.keys() - _EDITABLE_AFTER_END:
            raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
        with account.track_changes(subscription, "customer.subscription.updated"):
            subscription["metadata"] = merged(subscription["metadata"], params.get("metadata"))
            set_cancellation_details(subscription, params)
        return subscription
    if params.get("default_payment_method"):
        subscriptions.customer_payment_method(account, params["default_payment_method"], subscription["customer"])
    chosen = _discounts(account, subscription, params)
    terms = subscription_updates.billing_terms(account, subscription, params)
    changes = subscription_updates.parse_changes(account, subscription, params["items"]) if "items" in params else []
    before = dict(deep_copy(subscription))
    try:
        with account.track_changes(subscription, "customer.subscription.updated"):
            _apply_params(account, subscription, params)
            schedule_end(account, subscription, params)
            set_cancellation_details(subscription, params)
            if "trial_end" in params:
                subscription_updates.change_trial(account, subscription, params["trial_end"], terms)
            if chosen is not None:
                _redeem(account, subscription, chosen)
            if changes:
                _change_items(account, subscription, changes, terms)
            if params.get("billing_cycle_anchor", {}).get("type") == "now":
                subscription_updates.reset_anchor(account, subscription, terms)
    except StripeError:
        subscription.clear()
        subscription.update(before)
        raise
    return subscription


def _change_items(
    account: Account,
    subscription: JsonObject,
    changes: list[prorations.Change],
    terms: subscription_updates.BillingTerms,
) -> None:
    if not _waits_for_payment(account, subscription, changes, terms):
        subscription_updates.apply(account, subscription, changes, terms)
    elif pending_updates.invoice_first(account, subscription, changes, terms):
        subscription_updates.carry_out(account, subscription, changes, [])


def _waits_for_payment(
    account: Account,
    subscription: JsonObject,
    changes: list[prorations.Change],
    terms: subscription_updates.BillingTerms,
) -> bool:
    """Return whether the changes apply only when they are paid."""
    if terms.payment_behavior != "pending_if_incomplete":
        return False
    if subscription_updates.changes_interval(account, subscription, changes):
        raise unsupported("payment_behavior=pending_if_incomplete with a different billing interval")
    lines = prorations.for_changes(account, subscription, changes, at=terms.at)
    return terms.behavior == "always_invoice" and sum(line.amount for line in lines) > 0


def _apply_params(account: Account, subscription: JsonObject, params: JsonObject) -> None:
    subscription["metadata"] = merged(subscription["metadata"], params.get("metadata"))
    for name in ("default_payment_method", "description"):
        if name in params:
            subscription[name] = unset(params[name])
    if "collection_method" in params or "days_until_due" in params:
        subscriptions.check_days_until_due({"collection_method": subscription["collection_method"], **params})
        subscription["collection_method"] = params.get("collection_method", subscription["collection_method"])
        subscription["days_until_due"] = params.get("days_until_due")
    if "pause_collection" in params:
        pausing.pause_collection(account, subscription, unset(params["pause_collection"]))
    if "trial_settings" in params:
        subscription["trial_settings"] = trials.settings_of(trials.missing_payment_method(params))
    if "automatic_tax" in params:
        enabled = params["automatic_tax"]["enabled"]
        subscription["automatic_tax"] |= {"enabled": enabled, "liability": {"type": "self"} if enabled else None}


def _discounts(account: Account, subscription: JsonObject, params: JsonObject) -> list[tuple[str, str | None]] | None:
    """Return the coupons that replace the current ones, or None to keep those."""
    if "discounts" not in params:
        return None
    given = unset(params["discounts"]) or []
    kept = [entry["discount"] for entry in given if "discount" in entry]
    if kept:
        raise unsupported("the parameter discounts[][discount] on POST /v1/subscriptions/{id}")
    chosen = [
        discounts.coupon_of(account, entry, customer_id=subscription["customer"], param=f"discounts[{index}]")
        for index, entry in enumerate(given)
    ]
    discounts.check_currency(account, chosen, subscription["currency"], param="discounts")
    return chosen


def _redeem(account: Account, subscription: JsonObject, chosen: list[tuple[str, str | None]]) -> None:
    subscription["discounts"] = [
        discounts.redeem(
            account, coupon_id, code_id, customer_id=subscription["customer"], subscription=subscription["id"]
        )["id"]
        for coupon_id, code_id in chosen
    ]


@route("DELETE", "/v1/subscriptions/{subscription_exposed_id}/discount")
def delete_discount(call: Call) -> JsonObject:
    """Remove the discount of a subscription."""
    account = call.account
    subscription = account.get("subscription", call.ids["subscription_exposed_id"])
    if not subscription["discounts"]:
        raise invalid("No active discount for subscription.", status=404)
    discount = account.get("discount", subscription["discounts"][-1])
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription["discounts"] = []
    return {**discount, "deleted": True}


@route("POST", "/v1/subscriptions/{subscription}/pause", takes="bill_for invoicing_behavior type")
def pause(call: Call) -> JsonObject:
    """Pause a subscription. Unused time is credited unless `bill_for` says otherwise."""
    account, params = call.account, call.params
    subscription = account.get("subscription", call.ids["subscription"])
    if subscription["status"] not in ("active", "past_due", "trialing"):
        raise invalid(f"You cannot pause a subscription whose status is {subscription['status']}.")
    now = account.now_for(subscription["customer"])
    since = params.get("bill_for", {}).get("unused_time_from", {}).get("type", "now")
    if since != "none" and subscription["status"] != "trialing":
        for item in renewals.items_of(account, subscription):
            at = item["current_period_start"] if since == "item_current_period_start" else now
            credit = prorations.credit_for_item(account, subscription, item, at=at)
            if credit.amount:
                pending_items.create(account, credit, subscription["customer"], now=now)
    if params.get("invoicing_behavior") == "invoice":
        subscription_updates.bill_pending(account, subscription, now=now)
    pausing.pause(account, subscription, why="pause_requested")
    return subscription


@route(
    "POST",
    "/v1/subscriptions/{subscription}/resume",
    takes="billing_cycle_anchor payment_behavior proration_behavior",
)
def resume(call: Call) -> JsonObject:
    """Resume a paused subscription. A new period starts now and is charged."""
    account, params = call.account, call.params
    subscription = account.get("subscription", call.ids["subscription"])
    if subscription["status"] != "paused":
        raise invalid("Subscription is not paused: only a paused subscription can be resumed.")
    if params.get("billing_cycle_anchor", {}).get("type") == "unchanged":
        raise unsupported("billing_cycle_anchor[type]=unchanged on POST /v1/subscriptions/{id}/resume")
    now = account.now_for(subscription["customer"])
    subscription["_resuming"] = True
    if params.get("payment_behavior", "resume_on_payment_attempt") == "resume_on_payment_attempt":
        pausing.resume(account, subscription)
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription_updates.restart_period(account, subscription, now=now)
    due = now + subscription_updates.RESUME_PAYMENT_PERIOD
    account.scheduler.schedule(subscription["test_clock"], due, "subscription.resumption_expiry", subscription["id"])
    return subscription


@route("POST", "/v1/subscriptions/{subscription}/migrate", takes="billing_mode")
def migrate(call: Call) -> JsonObject:
    """Migrate a subscription from billing mode classic to flexible. This cannot be undone."""
    account = call.account
    subscription = account.get("subscription", call.ids["subscription"])
    if subscription["billing_mode"]["type"] == "flexible":
        raise invalid("The billing mode of this subscription is already flexible.", param="billing_mode[type]")
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription["billing_mode"] = {
            "flexible": {"proration_discounts": "included"},
            "type": "flexible",
            "updated_at": account.now_for(subscription["customer"]),
        }
    return subscription
