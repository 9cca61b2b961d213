"""Canceling a subscription: immediately, or scheduled in one of three ways."""

from sandbox.billing import cancellation, pending_items, periods, prorations, renewals, subscription_updates
from sandbox.errors import invalid, unsupported
from sandbox.http.parameters import unset
from sandbox.http.routing import Call, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account

_ID = "subscription_exposed_id"


def schedule_end(account: Account, subscription: JsonObject, params: JsonObject) -> None:
    """Schedule the end of a subscription, or remove a scheduled end."""
    if subscription["schedule"] and ("cancel_at" in params or "cancel_at_period_end" in params):
        message = (
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and updating any "
            "cancelation behavior directly is not allowed. Please update the schedule instead."
        )
        raise invalid(message)
    if "cancel_at" in params and params.get("cancel_at_period_end"):
        message = "You may only specify one of these parameters: cancel_at, cancel_at_period_end."
        raise invalid(message, param="cancel_at", code="parameters_exclusive")
    if params.get("cancel_at_period_end"):
        if not subscription["cancel_at_period_end"]:
            subscription["cancel_at_period_end"] = True
            cancellation.schedule_cancellation(account, subscription, renewals.period_end(account, subscription))
    elif params.get("cancel_at"):
        at = _resolve_cancel_at(account, subscription, params)
        subscription["cancel_at_period_end"] = False
        cancellation.schedule_cancellation(account, subscription, at)
    elif "cancel_at" in params or ("cancel_at_period_end" in params and subscription["cancel_at_period_end"]):
        # `cancel_at_period_end=false` does not remove a `cancel_at` that was set separately.
        cancellation.unschedule(subscription)


def _resolve_cancel_at(account: Account, subscription: JsonObject, params: JsonObject) -> int:
    wanted = params["cancel_at"]
    ends = [item["current_period_end"] for item in renewals.items_of(account, subscription)]
    if wanted in ("min_period_end", "max_period_end"):
        return int(min(ends) if wanted == "min_period_end" else max(ends))
    if not isinstance(wanted, int):
        raise unsupported(f"cancel_at={wanted}")
    if wanted <= account.now_for(subscription["customer"]):
        raise invalid("cancel_at must be in the future.", param="cancel_at")
    if params.get("proration_behavior") != "none" and not _on_boundary(account, subscription, wanted):
        raise unsupported("cancel_at in the middle of a period, unless proration_behavior is none")
    return wanted


def _on_boundary(account: Account, subscription: JsonObject, moment: int) -> bool:
    item = renewals.items_of(account, subscription)[0]
    recurring = account.get("price", item["_price"])["recurring"]
    return periods.next_boundary(subscription["billing_cycle_anchor"], recurring, moment - 1) == moment


@route("DELETE", "/v1/subscriptions/{subscription_exposed_id}", takes="cancellation_details invoice_now prorate")
def cancel(call: Call) -> JsonObject:
    """Cancel a subscription immediately."""
    account, params = call.account, call.params
    subscription = account.get("subscription", call.ids[_ID])
    if subscription["status"] in cancellation.ENDED_STATUSES:
        # Stripe responds as if a canceled subscription did not exist.
        message = f"No such subscription: '{subscription['id']}'"
        raise invalid(message, param="id", code="resource_missing", status=404)
    set_cancellation_details(subscription, params)
    if subscription["status"] == "incomplete":
        cancellation.expire_incomplete(account, subscription)
        return subscription
    now = account.now_for(subscription["customer"])
    if params.get("prorate") and subscription["status"] != "trialing":
        for item in renewals.items_of(account, subscription):
            credit = prorations.credit_for_item(account, subscription, item, at=now)
            if credit.amount:
                pending_items.create(account, credit, subscription["customer"], now=now)
    if params.get("invoice_now"):
        subscription_updates.bill_pending(account, subscription, now=now)
    cancellation.cancel(account, subscription)
    return subscription


def set_cancellation_details(subscription: JsonObject, params: JsonObject) -> None:
    """Store the cancellation feedback and comment."""
    for name, value in (unset(params.get("cancellation_details")) or {}).items():
        if name not in ("comment", "feedback"):
            raise unsupported(f"the parameter cancellation_details[{name}]")
        subscription["cancellation_details"][name] = unset(value)
