"""Test clocks: time that a test moves. What falls due on the way is done in order, each thing at its own second."""

import logging

from sandbox.billing import periods, renewals
from sandbox.errors import invalid
from sandbox.http.routing import Call, Page, serves
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id
from sandbox.store.scheduler import ACTIONS, action

_KIND = "test_helpers.test_clock"
_KEPT = 30 * 86400
_DAY = 86400
_log = logging.getLogger("sandbox")


@serves("POST", "/v1/test_helpers/test_clocks", takes="frozen_time name")
def create(call: Call) -> JsonObject:
    """Make a clock that stands at a time."""
    account, params = call.account, call.params
    clock: JsonObject = {
        "id": new_id("clock"),
        "object": _KIND,
        "created": account.now(),
        "deletes_after": account.now() + _KEPT,
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


@serves("GET", "/v1/test_helpers/test_clocks/{test_clock}")
def retrieve(call: Call) -> JsonObject:
    """One clock; its status is `ready` when all that fell due is done."""
    return call.account.get(_KIND, call.ids["test_clock"])


@serves("GET", "/v1/test_helpers/test_clocks")
def every(call: Call) -> Page:
    """All clocks."""
    return Page(call.account.all(_KIND))


@serves("POST", "/v1/test_helpers/test_clocks/{test_clock}/advance", takes="frozen_time")
def advance(call: Call) -> JsonObject:
    """Begin to move a clock forward, by at most two intervals of its shortest subscription."""
    account, target = call.account, call.params["frozen_time"]
    clock = account.get(_KIND, call.ids["test_clock"])
    if clock["status"] != "ready":
        message = "Test clock advancement underway - cannot perform modifications. Please wait and try again later."
        raise invalid(message)
    if target <= clock["frozen_time"]:
        raise invalid("You cannot advance a test clock to a time in the past of its frozen time.", param="frozen_time")
    furthest = _furthest(account, clock)
    if target > furthest:
        message = (
            "You can only advance a test clock by at most two intervals of its shortest subscription, or two years "
            f"without one. The furthest you can go now is {furthest}."
        )
        raise invalid(message, param="frozen_time")
    clock["status"] = "advancing"
    clock["status_details"] = {"advancing": {"target_frozen_time": target}}
    account.emit(f"{_KIND}.advancing", clock)
    account.agenda.add(None, account.now(), "test_clock.advance", clock["id"])
    return clock


@serves("DELETE", "/v1/test_helpers/test_clocks/{test_clock}")
def delete(call: Call) -> JsonObject:
    """Delete a clock, its customers and all that is theirs."""
    account = call.account
    clock = account.get(_KIND, call.ids["test_clock"])
    account.agenda.forget(clock["id"])
    account.emit(f"{_KIND}.deleted", clock)
    for kind in ("subscription", "customer"):
        for thing in account.all(kind):
            if thing["test_clock"] == clock["id"]:
                account.drop(thing)
    return account.drop(clock)


def _furthest(account: Account, clock: JsonObject) -> int:
    start = clock["frozen_time"]
    ends = [
        periods.shifted(start, account.get("price", item["_price"])["recurring"], 2)
        for subscription in account.all("subscription")
        if subscription["test_clock"] == clock["id"]
        and subscription["status"] not in ("canceled", "incomplete_expired")
        for item in renewals.items_of(account, subscription)
    ]
    return min(ends, default=start + 2 * 366 * _DAY)


@action("test_clock.advance")
def _advance(account: Account, clock_id: str, _at: int) -> None:
    clock = account.find(_KIND, clock_id)
    if clock is None:
        return
    target = clock["status_details"]["advancing"]["target_frozen_time"]
    try:
        while due := account.agenda.pop(clock_id, target):
            at, name, object_id = due
            clock["_time"] = max(clock["_time"], at)
            ACTIONS[name](account, object_id, at)
    except Exception:
        # Whoever waits for `ready` is told, as by Stripe; what else is due on real time goes on.
        _log.exception("what fell due on a test clock failed")
        clock["status"] = "internal_failure"
        clock["status_details"] = {}
        account.emit(f"{_KIND}.internal_failure", clock)
        return
    clock["_time"] = clock["frozen_time"] = target
    clock["status"] = "ready"
    clock["status_details"] = {}
    account.emit(f"{_KIND}.ready", clock)
