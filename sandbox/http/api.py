"""
The life of an API request.

The steps in order: authenticate, apply rate limits and faults, find the route, validate the parameters, check the
idempotency key, run the handler, validate the response. Handlers are plain functions, so no two run at the same time.
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
from sandbox.faults.responses import DroppedConnection
from sandbox.http import rate_limits
from sandbox.http.expand import check, expand
from sandbox.http.forms import decode
from sandbox.http.idempotency import Reply
from sandbox.http.pagination import page, truncate_lines
from sandbox.http.routing import ROUTES, Call, Page
from sandbox.json_types import JsonObject
from sandbox.runtime import Runtime
from sandbox.store.accounts import Account, RequestContext, new_id

_TEST_KEY = re.compile(r"^[sr]k_test_\w{1,200}$", re.ASCII)
_log = logging.getLogger("sandbox")


def account_of(runtime: Runtime, request: Request) -> Account:
    """
    Return the account of the secret key in a request.

    :raises StripeError: 401 without a key, or for a key that is not a test secret key.
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
    return account_for(runtime, key)


def account_for(runtime: Runtime, key: str) -> Account:
    """
    Return the account of a secret key.

    :raises StripeError: 401 unless it is a test secret key.
    """
    if not _TEST_KEY.match(key):
        note = " The sandbox does not accept live keys." if "_live_" in key else ""
        raise invalid(f"Invalid API Key provided: {key[:8]}{'*' * 12}.{note}", status=401)
    return runtime.accounts.get(key)


@dataclass(kw_only=True)
class _RequestState:
    """The state of one request."""

    runtime: Runtime
    request: Request
    account: Account
    log: JsonObject
    request_id: str
    key: str | None
    replayed: Reply | None = None
    new: bool = False
    """Whether this request was the first to use its idempotency key."""

    @property
    def path(self) -> str:
        return self.request.url.path

    def record_violations(self, faults: list[str]) -> None:
        self.runtime.record_violations(self.account, faults, method=self.request.method, path=self.path)


async def handle(request: Request) -> Response:
    """Respond to a request below `/v1` or `/v2` (which is not supported)."""
    runtime: Runtime = request.app.state.runtime
    request_id = new_id("req", length=14)
    try:
        account = account_of(runtime, request)
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
    state = _RequestState(runtime=runtime, request=request, account=account, log=log, request_id=request_id, key=key)
    try:
        response = await _respond(state)
    except StripeError as error:
        if state.new and key:
            account.idempotency_keys.release(key)
        response = _response(error.status, error.body(), _headers(state))
    log["status"] = None if isinstance(response, DroppedConnection) else response.status_code
    log["dropped"] = isinstance(response, DroppedConnection)
    return response


async def _respond(state: _RequestState) -> Response:
    account, request = state.account, state.request
    state.runtime.run_due_jobs(account)
    try:
        text = (await request.body()).decode()
    except (ClientDisconnect, UnicodeDecodeError) as error:
        raise invalid("Invalid request: the body is not UTF-8.") from error
    refused = _check_rate_limit(state)
    if refused is not None:
        return refused
    before = account.faults.match(request.method, state.path, "before")
    if before is not None and before.action in ("drop", "html", "outage"):
        return _reply_without_effect(state, before)
    route, ids, params = _parse(state, text)
    if state.key:
        endpoint = f"{request.method} {state.path}"
        state.replayed = account.idempotency_keys.begin(state.key, endpoint=endpoint, params=params)
        state.new = state.replayed is None
        state.log["replayed"] = not state.new
    if before is not None and before.action == "hold":
        await before.hold()
    reply = state.replayed or _fault_reply(before, state) or _execute(state, route, ids, params)
    _store_reply(state, reply)
    after = account.faults.match(request.method, state.path, "after")
    if after is not None:
        return await _apply_fault(state, reply, after)
    return _response(reply.status, reply.body, _headers(state, before))


def _check_rate_limit(state: _RequestState) -> Response | None:
    """Return a 429 if a rate limit is exceeded, before anything else is checked."""
    account, method = state.account, state.request.method
    if account.settings.rate_limits is False:
        return None
    found = match(method, state.path)
    reason = account.rate_limits.take(account.settings, f"{method} {found[0].path if found else state.path}")
    if reason is None:
        return None
    error = rate_limits.rate_limit_error()
    return _response(error.status, error.body(), {**_headers(state), "Stripe-Rate-Limited-Reason": reason})


def _reply_without_effect(state: _RequestState, fault: Fault) -> Response:
    """Return the response to a request that a fault keeps from having an effect."""
    if fault.action == "drop":
        return DroppedConnection()
    if fault.action == "html":
        return responses.html_page(fault)
    return _response(fault.status, fault.reply(), _headers(state, fault))


async def _apply_fault(state: _RequestState, reply: Reply, fault: Fault) -> Response:
    """Return the response that a fault makes of the real one."""
    if fault.action in ("drop", "html"):
        return _reply_without_effect(state, fault)
    if fault.action == "hold":
        await fault.hold()
    reply = _fault_reply(fault, state) or reply
    whole = _response(reply.status, reply.body, _headers(state, fault))
    if fault.action == "truncate":
        return responses.truncated(whole)
    if fault.action in ("cut", "stall"):
        return responses.BrokenOffResponse(whole, stalled=fault if fault.action == "stall" else None)
    return responses.slow(whole, fault) if fault.action == "slow" else whole


def _parse(state: _RequestState, text: str) -> tuple[ContractRoute, dict[str, str], JsonObject]:
    """Return the route, the IDs in the path and the validated parameters."""
    request = state.request
    version = request.headers.get("stripe-version")
    if version not in (None, API_VERSION):
        raise invalid(f"Invalid Stripe API version: {version}. The sandbox supports {API_VERSION} only.")
    if "stripe-account" in request.headers or "stripe-context" in request.headers:
        raise unsupported("Connect (the Stripe-Account and Stripe-Context headers)")
    found = match(request.method, state.path)
    if found is None:
        if state.path.startswith("/v2/"):
            raise unsupported("Stripe's v2 API")
        raise invalid(
            f"Unrecognized request URL ({request.method}: {state.path}). Please see https://stripe.com/docs or we "
            "can help at https://support.stripe.com/.",
            status=404,
        )
    route, ids = found
    params = contract_requests.check(route, decode("&".join(part for part in (request.url.query, text) if part)))
    served = ROUTES.get((route.method, route.path))
    if served is None:
        raise unsupported(f"{route.method} {route.path}")
    for name in params:
        if name not in served.takes:
            raise unsupported(f"the parameter {name} on {route.method} {route.path}")
    check(route, params.get("expand", []))
    return route, ids, params


def _execute(state: _RequestState, route: ContractRoute, ids: dict[str, str], params: JsonObject) -> Reply:
    """Run the handler and return its response or error."""
    account = state.account
    call = Call(account=account, params=params, ids=ids, base_url=str(state.request.base_url).rstrip("/"))
    account.request_context = RequestContext(state.request_id, state.key)
    try:
        result = ROUTES[route.method, route.path].handler(call)
        body = _serialize(account, result, params, state.path)
        _check_contract(state, route, body)
        status = 200
    except StripeError as error:
        status, body = error.status, error.body()
    except Exception as error:
        _log.exception("Handler failed")
        state.record_violations([f"{type(error).__name__}: {error}"])
        status, body = 500, StripeError(500, "api_error", f"The sandbox failed: {type(error).__name__}: {error}").body()
    finally:
        account.request_context = RequestContext()
        state.runtime.publish_events(account, method=state.log["method"], path=state.path)
    if status >= 400:
        body["error"]["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{state.request_id}"
    return Reply(status=status, body=body, request_id=state.request_id)


def _serialize(account: Account, result: JsonObject | Page, params: JsonObject, path: str) -> JsonObject:
    if isinstance(result, Page):
        things, more = page(result.items, params)
        data = [account.render(thing) for thing in things]
        body: JsonObject = {"object": "list", "data": data, "has_more": more, "url": path}
    else:
        body = account.render(result)
    truncate_lines(body)
    expand(account, body, params.get("expand", []))
    return body


def _check_contract(state: _RequestState, route: ContractRoute, body: JsonObject) -> None:
    faults = contract_responses.response_errors(route, body) if state.runtime.validate else []
    if faults:
        state.record_violations(faults)
        message = f"The sandbox's response does not match the SDK's types: {'; '.join(faults)}"
        raise StripeError(500, "api_error", message, code="sandbox_contract_violation")


def _fault_reply(fault: Fault | None, state: _RequestState) -> Reply | None:
    """Return the error response that a fault injects, if any."""
    if fault is None or fault.action != "status":
        return None
    return Reply(status=fault.status, body=fault.reply(), request_id=state.request_id)


def _store_reply(state: _RequestState, reply: Reply) -> None:
    """Store the response of an idempotent request. As at Stripe, conflicts and rate limits are not stored."""
    if state.new and state.key:
        if reply.status in (401, 409, 429, 501):
            state.account.idempotency_keys.release(state.key)
        else:
            state.account.idempotency_keys.finish(state.key, reply)


def _headers(state: _RequestState, fault: Fault | None = None) -> dict[str, str]:
    headers = {"Request-Id": state.request_id, "Stripe-Version": API_VERSION, **(fault.headers if fault else {})}
    if state.key:
        headers["Idempotency-Key"] = state.key
    if state.replayed is not None:
        headers["Idempotent-Replayed"] = "true"
        headers["Original-Request"] = state.replayed.request_id
    return headers


def _response(status: int, body: JsonObject, headers: dict[str, str]) -> Response:
    return JSONResponse(body, status, headers)


def served_routes() -> list[str]:
    """Return all supported routes as `METHOD path`, sorted by path."""
    return [f"{method} {path}" for method, path in sorted(ROUTES, key=lambda route: (route[1], route[0]))]


def load_routes() -> None:
    """Load the route table before the first request needs it."""
    all_routes()
