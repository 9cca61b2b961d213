"""Subscription schedules. `sandbox.billing.schedules` moves them from phase to phase."""

from sandbox.billing import cancellation, renewals, schedules
from sandbox.errors import invalid, unsupported
from sandbox.http.pagination import in_range
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id
from sandbox.store.metadata import merged

_PHASE_PARAMS = {
    "currency",
    "duration",
    "end_date",
    "items",
    "metadata",
    "proration_behavior",
    "start_date",
}
_KIND = "subscription_schedule"


@route("POST", "/v1/subscription_schedules", takes="customer end_behavior from_subscription metadata phases start_date")
def create(call: Call) -> JsonObject:
    """Create a schedule for a new subscription, or from an existing one."""
    account, params = call.account, call.params
    if "from_subscription" in params:
        return _from_subscription(account, params)
    for name in ("customer", "phases"):
        if not params.get(name):
            raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    customer = account.get("customer", params["customer"], param="customer", status=400)
    now = account.now_for(customer["id"])
    begin = now if params.get("start_date", "now") == "now" else int(params["start_date"])
    _check_phases(params["phases"])
    schedule = _store(account, params, customer, schedules.phases(account, params["phases"], begin=begin))
    if begin <= now:
        schedules.start(account, schedule, at=now)
    return schedule


@route("GET", "/v1/subscription_schedules/{schedule}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a schedule."""
    return call.account.get(_KIND, call.ids["schedule"])


@route("GET", "/v1/subscription_schedules", takes="canceled_at completed_at created customer released_at scheduled")
def list_all(call: Call) -> Page:
    """List schedules by customer and time."""
    params = call.params
    return Page(
        [
            each
            for each in call.account.all(_KIND)
            if ("customer" not in params or each["customer"] == params["customer"])
            and (not params.get("scheduled") or each["status"] == "not_started")
            and in_range(each["created"], params.get("created"))
            and all(
                each[name] is not None and in_range(each[name], params[name])
                for name in ("canceled_at", "completed_at", "released_at")
                if name in params
            )
        ]
    )


@route("POST", "/v1/subscription_schedules/{schedule}", takes="end_behavior metadata phases proration_behavior")
def update(call: Call) -> JsonObject:
    """Update the phases, what happens after the last one, or the metadata."""
    account, params = call.account, call.params
    schedule = _active(account, call.ids["schedule"])
    now = account.now_for(schedule["customer"])
    with account.track_changes(schedule, "subscription_schedule.updated"):
        schedule["metadata"] = merged(schedule["metadata"], params.get("metadata"))
        schedule["end_behavior"] = params.get("end_behavior", schedule["end_behavior"])
        if "phases" in params:
            _check_phases(params["phases"])
            begin = schedule["phases"][0]["start_date"]
            schedule["phases"] = schedules.phases(account, params["phases"], begin=begin)
    schedules.plan(account, schedule)
    schedules.advance(account, schedule, at=now)
    return schedule


@route("POST", "/v1/subscription_schedules/{schedule}/release")
def release(call: Call) -> JsonObject:
    """Release the subscription from the schedule."""
    schedule = _active(call.account, call.ids["schedule"])
    schedules.release(call.account, schedule, at=call.account.now_for(schedule["customer"]))
    return schedule


@route("POST", "/v1/subscription_schedules/{schedule}/cancel")
def cancel(call: Call) -> JsonObject:
    """Cancel a schedule and its subscription immediately."""
    account = call.account
    schedule = _active(account, call.ids["schedule"])
    subscription = account.find("subscription", schedule["subscription"])
    if subscription and subscription["status"] not in cancellation.ENDED_STATUSES:
        cancellation.cancel(account, subscription)
    else:
        cancellation.cancel_schedule(account, schedule)
    return schedule


def _active(account: Account, schedule_id: str) -> JsonObject:
    schedule = account.get(_KIND, schedule_id)
    if schedule["status"] not in schedules.ACTIVE:
        raise invalid(f"You cannot change a subscription schedule with the status {schedule['status']}.")
    return schedule


def _check_phases(given: list[JsonObject]) -> None:
    for phase in given:
        for name in phase.keys() - _PHASE_PARAMS:
            raise unsupported(f"the parameter phases[][{name}] of a subscription schedule")
        for item in phase["items"]:
            for name in item.keys() - {"price", "quantity", "metadata"}:
                raise unsupported(f"the parameter phases[][items][][{name}] of a subscription schedule")


def _from_subscription(account: Account, params: JsonObject) -> JsonObject:
    if params.keys() - {"from_subscription", "expand"}:
        raise invalid("You cannot set other parameters with `from_subscription`.", param="from_subscription")
    where = "from_subscription"
    subscription = account.get("subscription", params[where], param=where, status=400)
    if subscription["schedule"]:
        message = "You cannot migrate a subscription that is already attached to a schedule: "
        raise invalid(f"{message}{subscription['schedule']}", param=where)
    items = renewals.items_of(account, subscription)
    phase = {
        "currency": subscription["currency"],
        "end_date": renewals.period_end(account, subscription),
        "items": [{"price": item["_price"], "quantity": item["quantity"]} for item in items],
    }
    begin = items[0]["current_period_start"]
    customer = account.get("customer", subscription["customer"])
    schedule = _store(account, {}, customer, schedules.phases(account, [phase], begin=begin))
    schedule["billing_mode"] = dict(subscription["billing_mode"])
    with account.track_changes(subscription, "customer.subscription.updated"):
        schedules.attach(account, schedule, subscription)
    schedules.advance(account, schedule, at=account.now_for(customer["id"]))
    return schedule


def _store(account: Account, params: JsonObject, customer: JsonObject, phases: list[JsonObject]) -> JsonObject:
    schedule = account.add(
        {
            "id": new_id("sub_sched"),
            "object": _KIND,
            "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
            "created": account.now_for(customer["id"]),
            "customer": customer["id"],
            "default_settings": {
                "application_fee_percent": None,
                "billing_cycle_anchor": "automatic",
                "billing_thresholds": None,
                "collection_method": "charge_automatically",
                "default_payment_method": None,
                "description": None,
                "invoice_settings": {"account_tax_ids": None, "days_until_due": None, "issuer": {"type": "self"}},
                "on_behalf_of": None,
                "transfer_data": None,
            },
            "end_behavior": params.get("end_behavior", "release"),
            "livemode": False,
            "metadata": merged({}, params.get("metadata")),
            "pause_schedules": [],
            "phases": phases,
            "status": "not_started",
            "test_clock": customer["test_clock"],
        }
    )
    account.emit("subscription_schedule.created", schedule)
    schedules.plan(account, schedule)
    return schedule
