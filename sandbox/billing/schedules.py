"""
Subscription schedules: phases of a subscription, each with its own items.

When a phase ends, the next one replaces the items of the subscription. After the last one, the subscription is released
from the schedule or canceled.
"""

from sandbox.billing import cancellation, periods, prices, renewals, subscription_creation, subscription_updates
from sandbox.errors import invalid
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account
from sandbox.store.scheduler import job

ACTIVE = ("not_started", "active")


def start(account: Account, schedule: JsonObject, *, at: int) -> None:
    """Create the subscription of a schedule with the items of its first phase."""
    phase = schedule["phases"][0]
    customer = account.get("customer", schedule["customer"])
    spec = subscription_creation.SubscriptionSpec(
        customer=customer["id"],
        items=[
            (prices.get(account, item["price"], phase["currency"]), item["quantity"], dict(item["metadata"] or {}))
            for item in phase["items"]
        ],
        metadata=dict(phase["metadata"] or {}),
        default_payment_method=schedule["default_settings"]["default_payment_method"],
        billing_mode=schedule["billing_mode"]["type"],
    )
    subscription, invoice = subscription_creation.create(account, spec)
    attach(account, schedule, subscription)
    method = account.find(
        "payment_method", spec.default_payment_method or customer["invoice_settings"]["default_payment_method"]
    )
    behavior = "allow_incomplete" if method else "default_incomplete"
    subscription_creation.pay_first_invoice(account, subscription, invoice, method, behavior)
    advance(account, schedule, at=at)


def attach(account: Account, schedule: JsonObject, subscription: JsonObject) -> None:
    """Put a subscription under a schedule."""
    schedule["subscription"] = subscription["id"]
    schedule["status"] = "active"
    subscription["schedule"] = schedule["id"]


def plan(account: Account, schedule: JsonObject) -> None:
    """Schedule the start and the end of each phase."""
    for at in {schedule["phases"][0]["start_date"], *(phase["end_date"] for phase in schedule["phases"])}:
        account.scheduler.schedule(schedule["test_clock"], at, "schedule.phase", schedule["id"])


def advance(account: Account, schedule: JsonObject, *, at: int) -> None:
    """Move a schedule to the phase of a time, or complete it."""
    subscription = account.find("subscription", schedule["subscription"])
    if schedule["status"] != "active" or subscription is None:
        return
    phase = next((each for each in schedule["phases"] if each["start_date"] <= at < each["end_date"]), None)
    if phase is None:
        if at >= schedule["phases"][-1]["end_date"]:
            _complete(account, schedule, subscription, at=at)
        return
    current = {"start_date": phase["start_date"], "end_date": phase["end_date"]}
    if schedule["current_phase"] == current:
        return
    with account.track_changes(schedule, "subscription_schedule.updated"):
        entering = schedule["current_phase"] is not None
        schedule["current_phase"] = current
    if entering:
        _enter(account, subscription, phase)


def release(account: Account, schedule: JsonObject, *, at: int) -> None:
    """Release the subscription, which goes on as it is."""
    subscription = account.find("subscription", schedule["subscription"])
    if subscription is not None:
        with account.track_changes(subscription, "customer.subscription.updated"):
            subscription["schedule"] = None
    with account.track_changes(schedule, "subscription_schedule.updated"):
        schedule["released_subscription"] = schedule["subscription"]
        schedule["subscription"] = None
        schedule["status"] = "released"
        schedule["released_at"] = at
        schedule["current_phase"] = None
    account.emit("subscription_schedule.released", schedule)


def phases(account: Account, given: list[JsonObject], *, begin: int) -> list[JsonObject]:
    """
    Return the phases of a request.

    :param begin: the start of the first phase, unless it has a `start_date`.
    :raises StripeError: 400 for an unknown price, or a phase that ends before it starts.
    """
    found = []
    for index, phase in enumerate(given):
        param = f"phases[{index}]"
        first = phase.get("start_date", begin)
        begin = begin if first == "now" else int(first)
        made = _phase(account, phase, begin=begin, param=param)
        found.append(made)
        begin = made["end_date"]
    return found


def _phase(account: Account, given: JsonObject, *, begin: int, param: str) -> JsonObject:
    found = [
        prices.get(
            account, item.get("price", ""), given.get("currency"), param=f"{param}[items][{index}][price]", status=400
        )
        for index, item in enumerate(given["items"])
    ]
    subscription_creation.check_prices(found, param=f"{param}[items][{{}}][price]")
    duration = given.get("duration")
    recurring = {"interval_count": 1, **duration} if duration else found[0]["recurring"]
    end = given.get("end_date") or periods.add_intervals(begin, recurring, 1)
    if end <= begin:
        raise invalid("The end date of a phase must be after its start date.", param=f"{param}[end_date]")
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "billing_cycle_anchor": None,
        "billing_thresholds": None,
        "collection_method": None,
        "currency": found[0]["currency"],
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "end_date": end,
        "invoice_settings": None,
        "items": [
            {
                "billing_thresholds": None,
                "discounts": [],
                "metadata": item.get("metadata") or {},
                "plan": price["id"],
                "price": price["id"],
                "quantity": item.get("quantity", 1),
                "tax_rates": [],
            }
            for item, price in zip(given["items"], found, strict=True)
        ],
        "metadata": given.get("metadata") or {},
        "on_behalf_of": None,
        "proration_behavior": given.get("proration_behavior", "create_prorations"),
        "start_date": begin,
        "transfer_data": None,
        "trial_end": None,
    }


def _enter(account: Account, subscription: JsonObject, phase: JsonObject) -> None:
    """Replace the items of a subscription by those of a phase."""
    wanted = {item["price"]: item["quantity"] for item in phase["items"]}
    entries: list[JsonObject] = []
    for item in renewals.items_of(account, subscription):
        quantity = wanted.pop(item["_price"], None)
        entries.append(
            {"id": item["id"], "deleted": True} if quantity is None else {"id": item["id"], "quantity": quantity}
        )
    entries += [{"price": price, "quantity": quantity} for price, quantity in wanted.items()]
    changes = subscription_updates.parse_changes(account, subscription, entries)
    params = {"proration_behavior": phase["proration_behavior"]}
    terms = subscription_updates.billing_terms(account, subscription, params)
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription["metadata"] = {**subscription["metadata"], **phase["metadata"]}
        subscription_updates.apply(account, subscription, changes, terms)


def _complete(account: Account, schedule: JsonObject, subscription: JsonObject, *, at: int) -> None:
    if schedule["end_behavior"] != "cancel":
        release(account, schedule, at=at)
        return
    schedule["status"] = "completed"
    schedule["completed_at"] = at
    schedule["current_phase"] = None
    account.emit("subscription_schedule.completed", schedule)
    if subscription["status"] not in cancellation.ENDED_STATUSES:
        cancellation.cancel(account, subscription)


@job("schedule.phase")
def _on_phase(account: Account, schedule_id: str, at: int) -> None:
    schedule = account.find("subscription_schedule", schedule_id)
    if schedule is None or schedule["status"] not in ACTIVE:
        return
    if schedule["status"] == "not_started":
        if schedule["phases"][0]["start_date"] <= at:
            start(account, schedule, at=at)
        return
    advance(account, schedule, at=at)


def _before_renewal(account: Account, subscription: JsonObject, at: int) -> None:
    """Enter a phase that starts with the next period before that period is invoiced."""
    schedule = account.find("subscription_schedule", subscription["schedule"])
    if schedule is not None:
        advance(account, schedule, at=at)


renewals.BEFORE_RENEWAL.append(_before_renewal)
