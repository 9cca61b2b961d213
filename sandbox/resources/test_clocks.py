"""Test clocks. Jobs that fall due while a clock advances run in order, each at its own time."""

import logging

from sandbox.billing import periods, renewals
from sandbox.errors import invalid
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id
from sandbox.store.scheduler import JOBS, job

_KIND = "test_helpers.test_clock"
_LIFETIME = 30 * 86400
_DAY = 86400
_log = logging.getLogger("sandbox")


@route("POST", "/v1/test_helpers/test_clocks", takes="frozen_time name")
def create(call: Call) -> JsonObject:
    """Create a test clock."""
    account, params = call.account, call.params
    clock: JsonObject = {
        "id": new_id("clock"),
        "object": _KIND,
        "created": account.now(),
        "deletes_after": account.now() + _LIFETIME,
        "frozen_time": params["frozen_time"],
        "livemode": False,
        "name": params.get("name"),
        "status": "ready",
        "status_details": {},
        "_time": params["frozen_time"],
    }
    account.add(clock)
    account.emit(f"{_KIND}.created", clock)
    account.emit(f"{_KIND}.ready", clock)
    return clock


@route("GET", "/v1/test_helpers/test_clocks/{test_clock}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a test clock. Its status is `ready` when all due jobs have run."""
    return call.account.get(_KIND, call.ids["test_clock"])


@route("GET", "/v1/test_helpers/test_clocks")
def list_all(call: Call) -> Page:
    """List all test clocks."""
    return Page(call.account.all(_KIND))


@route("POST", "/v1/test_helpers/test_clocks/{test_clock}/advance", takes="frozen_time")
def advance(call: Call) -> JsonObject:
    """Advance a test clock by at most two intervals of its shortest subscription."""
    account, target = call.account, call.params["frozen_time"]
    clock = account.get(_KIND, call.ids["test_clock"])
    if clock["status"] != "ready":
        message = "Test clock advancement underway - cannot perform modifications. Please wait and try again later."
        raise invalid(message)
    if target <= clock["frozen_time"]:
        raise invalid("You cannot advance a test clock to a time in the past of its frozen time.", param="frozen_time")
    latest = _max_frozen_time(account, clock)
    if target > latest:
        message = (
            "You can only advance a test clock by at most two intervals of its shortest subscription, or two years "
            f"without one. The latest possible time is {latest}."
        )
        raise invalid(message, param="frozen_time")
    clock["status"] = "advancing"
    clock["status_details"] = {"advancing": {"target_frozen_time": target}}
    account.emit(f"{_KIND}.advancing", clock)
    account.scheduler.schedule(None, account.now(), "test_clock.advance", clock["id"])
    return clock


@route("DELETE", "/v1/test_helpers/test_clocks/{test_clock}")
def delete(call: Call) -> JsonObject:
    """Delete a test clock with its customers and subscriptions."""
    account = call.account
    clock = account.get(_KIND, call.ids["test_clock"])
    account.scheduler.clear(clock["id"])
    account.emit(f"{_KIND}.deleted", clock)
    for kind in ("subscription", "customer"):
        for obj in account.all(kind):
            if obj["test_clock"] == clock["id"]:
                account.drop(obj)
    return account.drop(clock)


def _max_frozen_time(account: Account, clock: JsonObject) -> int:
    start = clock["frozen_time"]
    ends = [
        periods.add_intervals(start, account.get("price", item["_price"])["recurring"], 2)
        for subscription in account.all("subscription")
        if subscription["test_clock"] == clock["id"]
        and subscription["status"] not in ("canceled", "incomplete_expired")
        for item in renewals.items_of(account, subscription)
    ]
    return min(ends, default=start + 2 * 366 * _DAY)


@job("test_clock.advance")
def _advance(account: Account, clock_id: str, _at: int) -> None:
    clock = account.find(_KIND, clock_id)
    if clock is None:
        return
    target = clock["status_details"]["advancing"]["target_frozen_time"]
    try:
        while due := account.scheduler.pop_due(clock_id, target):
            at, name, object_id = due
            clock["_time"] = max(clock["_time"], at)
            JOBS[name](account, object_id, at)
    except Exception:
        # As at Stripe, the clock reports the failure. Jobs in real time go on.
        _log.exception("A job on a test clock failed")
        clock["status"] = "internal_failure"
        clock["status_details"] = {}
        account.emit(f"{_KIND}.internal_failure", clock)
        return
    clock["_time"] = clock["frozen_time"] = target
    clock["status"] = "ready"
    clock["status_details"] = {}
    account.emit(f"{_KIND}.ready", clock)
