"""The control API, below `/_sandbox`: what a test asks and does that Stripe has no API for."""

import json
from collections.abc import Awaitable, Callable
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
from sandbox.store.accounts import Account

Action = Callable[[Request, Runtime, Account], Awaitable[JsonObject]]
_POLL = 0.01
_LONGEST_WAIT = 60.0


def _for_account(function: Action) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint of an action on the account whose key is given; an error is told in Stripe's shape."""

    @wraps(function)
    async def endpoint(request: Request) -> Response:
        runtime: Runtime = request.app.state.runtime
        try:
            return JSONResponse(await function(request, runtime, account_of(runtime, request)))
        except StripeError as error:
            return JSONResponse(error.body(), error.status)

    return endpoint


async def health(request: Request) -> Response:
    """Say that the sandbox runs, and what it serves."""
    return JSONResponse({"status": "ok", "api_version": API_VERSION, "routes": served_routes()})


async def violations(request: Request) -> Response:
    """Every reply or event, of any account, that did not fit the SDK's types."""
    runtime: Runtime = request.app.state.runtime
    return JSONResponse({"data": runtime.violations})


@_for_account
async def requests(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """The API requests so far, in their order; a status of null is still under way or was dropped."""
    return {"data": account.requests}


@_for_account
async def clear_requests(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Forget the API requests so far."""
    account.requests.clear()
    return {"data": []}


@_for_account
async def deliveries(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Every attempt to deliver an event, in their order; `?event=` for those of one event."""
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
    """Drop every delivery that is held, queued or waiting for a retry, as if the network had lost them."""
    runtime.delivery.forget(account)
    account.deliveries.clear()
    return {"data": []}


@_for_account
async def deliver(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Deliver an event again, now, even while deliveries are held; to one endpoint, or to all that are enabled."""
    event = account.get("event", request.path_params["id"])
    wanted = (await _fields(request, "endpoint")).get("endpoint")
    endpoints = [account.get("webhook_endpoint", wanted)] if wanted else account.all("webhook_endpoint")
    made = [await runtime.delivery.send(account, event, each) for each in endpoints if each["status"] == "enabled"]
    return {"data": made}


@_for_account
async def wind_deliveries(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Move the time of retries forward by `seconds`; answer with the attempts that were made on the way."""
    wanted = await _fields(request, "seconds")
    before = len(account.deliveries)
    await runtime.delivery.wind(account, wanted.get("seconds"))
    return {"data": account.deliveries[before:], "waiting": runtime.delivery.waiting(account)}


@_for_account
async def roll_secret(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Give an endpoint another secret; for `overlap_seconds` (24 hours) the old one signs beside it."""
    endpoint = account.get("webhook_endpoint", request.path_params["id"])
    wanted = await _fields(request, "overlap_seconds")
    overlap = wanted.get("overlap_seconds", signatures.LONGEST_OVERLAP)
    secret = signatures.roll(endpoint, overlap=overlap, now=runtime.delivery.now(account))
    return {"id": endpoint["id"], "secret": secret}


@_for_account
async def limits(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """The rate limits, what they let through and what they refused; DELETE begins to count anew."""
    if request.method == "DELETE":
        account.rate_limits.clear()
    return account.rate_limits.to_json(account.settings)


async def report(request: Request) -> Response:
    """What is served and what is not, for each service of the SDK."""
    return JSONResponse(contract_report())


@_for_account
async def idle(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """
    Answer when no delivery is under way or queued; 408 after `timeout` seconds (30). Held ones do not count.

    `planned` is how many there ever were: who is told the same number twice knows that nothing was sent in between.
    """
    try:
        timeout = min(float(request.query_params.get("timeout", "30")), _LONGEST_WAIT)
    except ValueError as error:
        raise invalid("timeout is a number of seconds.", param="timeout") from error
    end = clock.precise() + timeout
    while runtime.delivery.under_way(account) or _clock_is_advancing(account):
        if clock.precise() >= end:
            pending = runtime.delivery.under_way(account)
            raise invalid(f"Not idle after {timeout} s: {pending} deliveries are under way.", status=408)
        await clock.sleep(_POLL)
    return {"idle": True, "held": runtime.delivery.held(account), "planned": runtime.delivery.planned(account)}


def _clock_is_advancing(account: Account) -> bool:
    return any(each["status"] == "advancing" for each in account.all("test_helpers.test_clock"))


@_for_account
async def settings(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Show the settings of the account; with PUT, change some first."""
    if request.method == "PUT":
        account.settings.update(await _body(request))
        runtime.delivery.obey(account)
    return dict(vars(account.settings))


@_for_account
async def add_fault(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Ask for a fault."""
    return account.faults.add(await _body(request), seed=account.settings.seed).to_json()


@_for_account
async def faults(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """The faults, each with how often it has hit."""
    return {"data": account.faults.all()}


@_for_account
async def remove_faults(request: Request, runtime: Runtime, account: Account) -> JsonObject:
    """Delete one fault, or all, and let go of the calls that are held."""
    account.faults.remove(request.path_params.get("id"))
    return {"data": account.faults.all()}


def _simulation_endpoint(function: Simulation) -> Callable[[Request], Awaitable[Response]]:
    @_for_account
    async def happen(request: Request, runtime: Runtime, account: Account) -> JsonObject:
        try:
            return account.render(function(account, request.path_params["id"], await _body(request)))
        finally:
            runtime.settle(account, method="POST", path=request.url.path)

    return happen


async def _body(request: Request) -> JsonObject:
    text = await request.body()
    try:
        found = json.loads(text or b"{}")
    except ValueError as error:
        raise invalid("The body is not JSON.") from error
    if not isinstance(found, dict):
        raise invalid("The body is not a JSON object.")
    return found


async def _fields(request: Request, *known: str) -> JsonObject:
    """
    Return the body of a request that takes these fields.

    :raises StripeError: 400 for any other.
    """
    found = await _body(request)
    for name in found:
        if name not in known:
            raise invalid(f"Unknown field: {name}. There are {', '.join(known)}.", param=name)
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
    Route("/_sandbox/limits", limits, methods=["GET", "DELETE"]),
    Route("/_sandbox/report", report),
    Route("/_sandbox/events/{id}/deliver", deliver, methods=["POST"]),
    *[Route(f"/_sandbox/{path}", _simulation_endpoint(each), methods=["POST"]) for path, each in SIMULATIONS.items()],
    Route("/_sandbox/idle", idle),
    Route("/_sandbox/settings", settings, methods=["GET", "PUT"]),
    Route("/_sandbox/faults", faults, methods=["GET"]),
    Route("/_sandbox/faults", add_fault, methods=["POST"]),
    Route("/_sandbox/faults", remove_faults, methods=["DELETE"]),
    Route("/_sandbox/faults/{id}", remove_faults, methods=["DELETE"]),
]
