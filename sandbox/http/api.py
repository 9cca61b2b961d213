"""
A request to the API, from the socket to its handler and back.

In this order: who asks, which route, do the parameters fit, is the idempotency key known, the effect, does the reply
fit. Handlers are plain functions, so no two of them are ever at work at once.
"""

import base64
import binascii
import logging
import re
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

import sandbox.resources  # noqa: F401  # registers every handler
from sandbox.constants import API_VERSION
from sandbox.contract import requests as contract_requests
from sandbox.contract import responses as contract_responses
from sandbox.contract.routes import ContractRoute, all_routes, match
from sandbox.errors import StripeError, invalid, unsupported
from sandbox.faults import responses
from sandbox.faults.faults import Fault
from sandbox.faults.responses import Dropped
from sandbox.http import rate_limits
from sandbox.http.expand import check, expand
from sandbox.http.forms import decode
from sandbox.http.idempotency import Reply
from sandbox.http.pagination import embed_some, page
from sandbox.http.routing import SERVED, Call, Page
from sandbox.json_types import JsonObject
from sandbox.runtime import World
from sandbox.store.accounts import Account, Cause, new_id

_KEY = re.compile(r"^[sr]k_test_\w{1,200}$", re.ASCII)
_log = logging.getLogger("sandbox")


def account_of(world: World, request: Request) -> Account:
    """
    Return the account whose secret key the request carries.

    :raises StripeError: 401 without a key, with a live one or with one of another kind.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    key = given.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key, validate=True).decode().split(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    elif scheme.lower() != "bearer":
        key = ""
    if not key:
        raise invalid(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            status=401,
        )
    return account_for(world, key)


def account_for(world: World, key: str) -> Account:
    """
    Return the account of a secret key.

    :raises StripeError: 401 for a live key or one of another kind.
    """
    if not _KEY.match(key):
        note = " The sandbox never takes a live key." if "_live_" in key else ""
        raise invalid(f"Invalid API Key provided: {key[:8]}{'*' * 12}.{note}", status=401)
    return world.accounts.of(key)


@dataclass(kw_only=True)
class _Exchange:
    """One request while it is being answered."""

    world: World
    request: Request
    account: Account
    log: JsonObject
    request_id: str
    key: str | None
    replayed: Reply | None = None
    new: bool = False
    """Whether the idempotency key was taken into use by this request."""

    @property
    def path(self) -> str:
        return self.request.url.path

    def violated(self, faults: list[str]) -> None:
        self.world.violated(self.account, faults, method=self.request.method, path=self.path)


async def api(request: Request) -> Response:
    """Answer any request below `/v1` (or `/v2`, which is not served)."""
    world: World = request.app.state.world
    request_id = new_id("req", length=14)
    try:
        account = account_of(world, request)
    except StripeError as error:
        return _response(error.status, error.body(), {"Request-Id": request_id})
    key = request.headers.get("idempotency-key") if request.method == "POST" else None
    log: JsonObject = {
        "method": request.method,
        "path": request.url.path,
        "idempotency_key": key,
        "status": None,
        "replayed": False,
        "dropped": False,
        "request_id": request_id,
    }
    account.requests.append(log)
    exchange = _Exchange(world=world, request=request, account=account, log=log, request_id=request_id, key=key)
    try:
        response = await _answer(exchange)
    except StripeError as error:
        if exchange.new and key:
            account.idempotency_keys.release(key)
        response = _response(error.status, error.body(), _headers(exchange))
    log["status"] = None if isinstance(response, Dropped) else response.status_code
    log["dropped"] = isinstance(response, Dropped)
    return response


async def _answer(exchange: _Exchange) -> Response:
    account, request = exchange.account, exchange.request
    exchange.world.catch_up(account)
    try:
        text = (await request.body()).decode()
    except (ClientDisconnect, UnicodeDecodeError) as error:
        raise invalid("Invalid request: the body is not UTF-8.") from error
    refused = _limited(exchange)
    if refused is not None:
        return refused
    before = account.faults.take(request.method, exchange.path, "before")
    if before is not None and before.action in ("drop", "html", "outage"):
        return _unbegun(exchange, before)
    route, ids, params = _understand(exchange, text)
    if exchange.key:
        endpoint = f"{request.method} {exchange.path}"
        exchange.replayed = account.idempotency_keys.begin(exchange.key, endpoint=endpoint, params=params)
        exchange.new = exchange.replayed is None
        exchange.log["replayed"] = not exchange.new
    if before is not None and before.action == "hold":
        await before.hold()
    reply = exchange.replayed or _faulty(before, exchange) or _effect(exchange, route, ids, params)
    _keep(exchange, reply)
    after = account.faults.take(request.method, exchange.path, "after")
    if after is not None:
        return await _spoilt(exchange, reply, after)
    return _response(reply.status, reply.body, _headers(exchange, before))


def _limited(exchange: _Exchange) -> Response | None:
    """Refuse a request that is one too many, before anything of it is looked at."""
    account, method = exchange.account, exchange.request.method
    if account.settings.rate_limits is False:
        return None
    found = match(method, exchange.path)
    reason = account.limits.take(account.settings, f"{method} {found[0].path if found else exchange.path}")
    if reason is None:
        return None
    error = rate_limits.refusal()
    return _response(error.status, error.body(), {**_headers(exchange), "Stripe-Rate-Limited-Reason": reason})


def _unbegun(exchange: _Exchange, fault: Fault) -> Response:
    """What a fault makes of a request that never reaches Stripe."""
    if fault.action == "drop":
        return Dropped()
    if fault.action == "html":
        return responses.page(fault)
    return _response(fault.status, fault.reply(), _headers(exchange, fault))


async def _spoilt(exchange: _Exchange, reply: Reply, fault: Fault) -> Response:
    """What a fault makes of a reply whose request had its effect."""
    if fault.action in ("drop", "html"):
        return _unbegun(exchange, fault)
    if fault.action == "hold":
        await fault.hold()
    reply = _faulty(fault, exchange) or reply
    whole = _response(reply.status, reply.body, _headers(exchange, fault))
    if fault.action == "truncate":
        return responses.truncated(whole)
    return responses.slow(whole, fault) if fault.action == "slow" else whole


def _understand(exchange: _Exchange, text: str) -> tuple[ContractRoute, dict[str, str], JsonObject]:
    """Find the route and type the parameters, or raise what Stripe says when it has not even begun."""
    request = exchange.request
    version = request.headers.get("stripe-version")
    if version not in (None, API_VERSION):
        raise invalid(f"Invalid Stripe API version: {version}. The sandbox speaks {API_VERSION} alone.")
    if "stripe-account" in request.headers or "stripe-context" in request.headers:
        raise unsupported("Connect (the Stripe-Account and Stripe-Context headers)")
    found = match(request.method, exchange.path)
    if found is None:
        if exchange.path.startswith("/v2/"):
            raise unsupported("Stripe's v2 API")
        raise invalid(
            f"Unrecognized request URL ({request.method}: {exchange.path}). Please see https://stripe.com/docs or we "
            "can help at https://support.stripe.com/.",
            status=404,
        )
    route, ids = found
    params = contract_requests.check(route, decode("&".join(part for part in (request.url.query, text) if part)))
    served = SERVED.get((route.method, route.path))
    if served is None:
        raise unsupported(f"{route.method} {route.path}")
    for name in params:
        if name not in served.takes:
            raise unsupported(f"the parameter {name} on {route.method} {route.path}")
    check(route, params.get("expand", []))
    return route, ids, params


def _effect(exchange: _Exchange, route: ContractRoute, ids: dict[str, str], params: JsonObject) -> Reply:
    """Run the handler and return its reply, which may be an error of its making."""
    account = exchange.account
    call = Call(account=account, params=params, ids=ids, base_url=str(exchange.request.base_url).rstrip("/"))
    account.cause = Cause(exchange.request_id, exchange.key)
    try:
        result = SERVED[route.method, route.path].handler(call)
        body = _shown(account, result, params, exchange.path)
        _hold_to_contract(exchange, route, body)
        status = 200
    except StripeError as error:
        status, body = error.status, error.body()
    except Exception as error:
        _log.exception("a handler failed")
        exchange.violated([f"{type(error).__name__}: {error}"])
        status, body = 500, StripeError(500, "api_error", f"The sandbox failed: {type(error).__name__}: {error}").body()
    finally:
        account.cause = Cause()
        exchange.world.settle(account, method=exchange.log["method"], path=exchange.path)
    if status >= 400:
        body["error"]["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{exchange.request_id}"
    return Reply(status=status, body=body, request_id=exchange.request_id)


def _shown(account: Account, result: JsonObject | Page, params: JsonObject, path: str) -> JsonObject:
    if isinstance(result, Page):
        things, more = page(result.everything, params)
        data = [account.render(thing) for thing in things]
        body: JsonObject = {"object": "list", "data": data, "has_more": more, "url": path}
    else:
        body = account.render(result)
    embed_some(body)
    expand(account, body, params.get("expand", []))
    return body


def _hold_to_contract(exchange: _Exchange, route: ContractRoute, body: JsonObject) -> None:
    faults = contract_responses.faults_of_reply(route, body) if exchange.world.validate else []
    if faults:
        exchange.violated(faults)
        message = f"The sandbox's reply does not fit the SDK's types: {'; '.join(faults)}"
        raise StripeError(500, "api_error", message, code="sandbox_contract_violation")


def _faulty(fault: Fault | None, exchange: _Exchange) -> Reply | None:
    """The reply that a fault puts in the place of the real one."""
    if fault is None or fault.action != "status":
        return None
    return Reply(status=fault.status, body=fault.reply(), request_id=exchange.request_id)


def _keep(exchange: _Exchange, reply: Reply) -> None:
    """Stripe keeps any reply of a request that began; a conflict or a limit stops it before."""
    if exchange.new and exchange.key:
        if reply.status in (401, 409, 429, 501):
            exchange.account.idempotency_keys.release(exchange.key)
        else:
            exchange.account.idempotency_keys.finish(exchange.key, reply)


def _headers(exchange: _Exchange, fault: Fault | None = None) -> dict[str, str]:
    headers = {"Request-Id": exchange.request_id, "Stripe-Version": API_VERSION, **(fault.headers if fault else {})}
    if exchange.key:
        headers["Idempotency-Key"] = exchange.key
    if exchange.replayed is not None:
        headers["Idempotent-Replayed"] = "true"
        headers["Original-Request"] = exchange.replayed.request_id
    return headers


def _response(status: int, body: JsonObject, headers: dict[str, str]) -> Response:
    return JSONResponse(body, status, headers)


def served_routes() -> list[str]:
    """Return each route that is served, as `METHOD path`, in alphabetical order of the paths."""
    return [f"{method} {path}" for method, path in sorted(SERVED, key=lambda route: (route[1], route[0]))]


def warm_up() -> None:
    """Read the table of routes before the first request needs it."""
    all_routes()
