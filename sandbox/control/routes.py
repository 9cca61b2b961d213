"""The control API below `/_sandbox`: what tests need beyond Stripe's API."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import wraps

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import clock
from sandbox.constants import API_VERSION
from sandbox.control.coverage import report as contract_report
from sandbox.control.simulations import SIMULATIONS, Simulation
from sandbox.delivery import signatures
from sandbox.errors import StripeError, invalid
from sandbox.http.api import account_of, served_routes
from sandbox.json_types import JsonObject
from sandbox.runtime import Runtime
from sandbox.store.accounts import Account, new_id

Action = Callable[[Request, Runtime, Account], Awaitable[JsonObject]]
_POLL = 0.01
_LONGEST_WAIT = 600.0


def _for_account(function: Action) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that runs an action on the account of the given key. Errors have Stripe's format."""

    @wraps(function)
    async def endpoint(request: Request) -> Response:
        runtime: Runtime = request.app.state.runtime
        try:
            return JSONResponse(await function(request, runtime, account_of(runtime, request)))
        except StripeError as error:
            return JSONResponse(error.body(), error.status)

    return endpoint


async def health(request: Request) -> Response:
    """Return the status and the supported routes."""
    return JSONResponse({"status": "ok", "api_version": API_VERSION, "routes": served_routes()})


async def violations(request: Request) -> Response:
    """List responses and events, of any account, that did not match the SDK's types."""
    runtime: Runtime = request.app.state.runtime
    return JSONResponse({"data": runtime.violations})


@_for_account
async def requests(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """List the API requests in order. A `null` status means in progress or dropped."""
    return {"data": account.requests}


@_for_account
async def clear_requests(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Delete the recorded API requests."""
    account.requests.clear()
    return {"data": []}


@_for_account
async def deliveries(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """List all delivery attempts in order, or those of one event with `?event=`."""
    event = request.query_params.get("event")
    made = [each for each in account.deliveries if event in (None, each["event"])]
    waiting = runtime.delivery.waiting(account)
    return {
        "data": made,
        "under_way": runtime.delivery.under_way(account),
        "held": runtime.delivery.held(account),
        "waiting": waiting,
    }


@_for_account
async def lose_deliveries(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Discard all pending deliveries, as if the network had lost them."""
    runtime.delivery.discard(account)
    account.deliveries.clear()
    return {"data": []}


@_for_account
async def deliver(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Redeliver an event now, even while deliveries are held, to one endpoint or to all enabled ones."""
    event = account.get("event", request.path_params["id"])
    wanted = (await _fields(request, "endpoint")).get("endpoint")
    endpoints = [account.get("webhook_endpoint", wanted)] if wanted else account.all("webhook_endpoint")
    made = [await runtime.delivery.send(account, event, each) for each in endpoints if each["status"] == "enabled"]
    return {"data": made}


@_for_account
async def wind_deliveries(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Advance the time of retries by `seconds`. Return the attempts made on the way."""
    wanted = await _fields(request, "seconds")
    before = len(account.deliveries)
    await runtime.delivery.advance(account, wanted.get("seconds"))
    return {"data": account.deliveries[before:], "waiting": runtime.delivery.waiting(account)}


@_for_account
async def send_thin_event(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """
    Send a thin event of Stripe's v2 API to all enabled endpoints.

    `type` is the event's type. `related_object` is optional. A thin event has no `data`.
    """
    wanted = await _fields(request, "type", "related_object")
    event = {
        "id": new_id("evt_test"),
        "object": "v2.core.event",
        "type": str(wanted.get("type", "v2.core.event_destination.ping")),
        "created": datetime.fromtimestamp(clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "livemode": False,
        "context": None,
        "related_object": wanted.get("related_object"),
        "reason": None,
    }
    statuses = [
        await runtime.delivery.send_payload(account, endpoint, json.dumps(event))
        for endpoint in account.all("webhook_endpoint")
        if endpoint["status"] == "enabled"
    ]
    return {"event": event, "statuses": statuses}


@_for_account
async def roll_secret(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Roll the secret of an endpoint. The old one keeps signing for `overlap_seconds` (default 24 hours)."""
    endpoint = account.get("webhook_endpoint", request.path_params["id"])
    wanted = await _fields(request, "overlap_seconds")
    overlap = wanted.get("overlap_seconds", signatures.LONGEST_OVERLAP)
    secret = signatures.roll(endpoint, overlap=overlap, now=runtime.delivery.now(account))
    return {"id": endpoint["id"], "secret": secret}


@_for_account
async def copy_objects(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Replace the objects of this account with copies of another's, whose secret key is `source`. No event is sent."""
    wanted = await _fields(request, "source")
    account.copy_objects(runtime.accounts.get(str(wanted["source"])))
    return {"id": account.id}


@_for_account
async def limits(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Return the rate limits and their counters. DELETE resets the counters."""
    if request.method == "DELETE":
        account.rate_limits.clear()
    return account.rate_limits.to_json(account.settings)


async def report(request: Request) -> Response:
    """Return the coverage report."""
    return JSONResponse(contract_report())


@_for_account
async def idle(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """
    Wait until no delivery is in progress or queued. Held deliveries do not count.

    Returns 408 after `timeout` seconds (default 30). `planned` is the total number of deliveries so far: if it is the
    same in two responses, nothing was sent in between.
    """
    try:
        timeout = min(float(request.query_params.get("timeout", "30")), _LONGEST_WAIT)
    except ValueError as error:
        raise invalid("timeout must be a number of seconds.", param="timeout") from error
    end = clock.precise() + timeout
    while runtime.delivery.under_way(account) or _clock_is_advancing(account):
        if clock.precise() >= end:
            pending = runtime.delivery.under_way(account)
            raise invalid(f"Not idle after {timeout} s: {pending} deliveries are in progress.", status=408)
        await clock.sleep(_POLL)
    return {"idle": True, "held": runtime.delivery.held(account), "planned": runtime.delivery.planned(account)}


def _clock_is_advancing(account: Account) -> bool:
    return any(each["status"] == "advancing" for each in account.all("test_helpers.test_clock"))


@_for_account
async def settings(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Return the settings of the account. PUT changes them first."""
    if request.method == "PUT":
        account.settings.update(await _body(request))
        runtime.delivery.apply_settings(account)
    return dict(vars(account.settings))


@_for_account
async def add_fault(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Add a fault."""
    return account.faults.add(await _body(request), seed=account.settings.seed).to_json()


@_for_account
async def faults(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """List the faults and how often each has matched."""
    return {"data": account.faults.all()}


@_for_account
async def remove_faults(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Delete one fault or all, and release the calls they hold."""
    account.faults.remove(request.path_params.get("id"))
    return {"data": account.faults.all()}


def _simulation_endpoint(function: Simulation) -> Callable[[Request], Awaitable[Response]]:
    @_for_account
    async def happen(request: Request, runtime: Runtime, account: Account) -> JsonObject:
        try:
            return account.render(function(account, request.path_params["id"], await _body(request)))
        finally:
            runtime.publish_events(account, method="POST", path=request.url.path)

    return happen


async def _body(request: Request) -> JsonObject:
    text = await request.body()
    try:
        found = json.loads(text or b"{}")
    except ValueError as error:
        raise invalid("The body must be JSON.") from error
    if not isinstance(found, dict):
        raise invalid("The body must be a JSON object.")
    return found


async def _fields(request: Request, *known: str) -> JsonObject:
    """
    Return the body of a request that accepts these fields.

    :raises StripeError: 400 for any other field.
    """
    found = await _body(request)
    for name in found:
        if name not in known:
            raise invalid(f"Unknown field: {name}. Known fields: {', '.join(known)}.", param=name)
    return found


routes = [
    Route("/_sandbox/health", health),
    Route("/_sandbox/violations", violations),
    Route("/_sandbox/requests", requests, methods=["GET"]),
    Route("/_sandbox/requests", clear_requests, methods=["DELETE"]),
    Route("/_sandbox/deliveries", deliveries, methods=["GET"]),
    Route("/_sandbox/deliveries", lose_deliveries, methods=["DELETE"]),
    Route("/_sandbox/deliveries/wind", wind_deliveries, methods=["POST"]),
    Route("/_sandbox/webhook_endpoints/{id}/roll", roll_secret, methods=["POST"]),
    Route("/_sandbox/copy", copy_objects, methods=["POST"]),
    Route("/_sandbox/limits", limits, methods=["GET", "DELETE"]),
    Route("/_sandbox/report", report),
    Route("/_sandbox/events/{id}/deliver", deliver, methods=["POST"]),
    *[Route(f"/_sandbox/{path}", _simulation_endpoint(each), methods=["POST"]) for path, each in SIMULATIONS.items()],
    Route("/_sandbox/thin_events", send_thin_event, methods=["POST"]),
    Route("/_sandbox/idle", idle),
    Route("/_sandbox/settings", settings, methods=["GET", "PUT"]),
    Route("/_sandbox/faults", faults, methods=["GET"]),
    Route("/_sandbox/faults", add_fault, methods=["POST"]),
    Route("/_sandbox/faults", remove_faults, methods=["DELETE"]),
    Route("/_sandbox/faults/{id}", remove_faults, methods=["DELETE"]),
]
