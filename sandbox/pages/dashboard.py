"""The dashboard at `/`: an account's objects, events and deliveries, and controls for tests."""

import math
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.constants import DEFAULT_KEY
from sandbox.errors import StripeError, invalid
from sandbox.faults.faults import ACTIONS
from sandbox.http.api import account_for
from sandbox.http.routing import Call
from sandbox.json_types import Json, JsonObject
from sandbox.pages import access
from sandbox.pages.dashboard_data import format_time, outline, overview
from sandbox.resources import test_clocks
from sandbox.runtime import Runtime
from sandbox.store.accounts import Account

_HERE = Path(__file__).parent
_TEMPLATES = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined)
_TEMPLATES.filters["when"] = format_time
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_STEPS = {"3600": "1 hour", "86400": "1 day", "604800": "1 week", "2592000": "30 days", "31536000": "365 days"}

Action = Callable[[Runtime, Account, FormData], Awaitable[str]]
"""Performs the action of a form and returns a message about it."""


async def show(request: Request) -> Response:
    """Show an account or one of its objects."""
    refused = access.denial(request)
    if refused is not None:
        return refused
    runtime: Runtime = request.app.state.runtime
    try:
        account = account_for(runtime, request.query_params.get("key") or DEFAULT_KEY)
    except StripeError as error:
        return _page(request, runtime, runtime.accounts.get(DEFAULT_KEY), error=error.message, status=400)
    runtime.run_due_jobs(account)
    object_id = request.query_params.get("object")
    if object_id:
        return _object_page(request, runtime, account, object_id)
    return _page(request, runtime, account, done=request.query_params.get("done", "")[:200])


def _action(function: Action) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a form. It redirects to the dashboard, or shows the error on it."""

    @wraps(function)
    async def endpoint(request: Request) -> Response:
        refused = access.denial(request)
        if refused is not None:
            return refused
        runtime: Runtime = request.app.state.runtime
        form = await request.form()
        account = runtime.accounts.get(DEFAULT_KEY)
        try:
            account = account_for(runtime, _text(form, "key"))
            done = await function(runtime, account, form)
        except StripeError as error:
            return _page(request, runtime, account, error=error.message, status=error.status)
        return RedirectResponse(f"/?{urlencode({'key': account.key, 'done': done})}", 303, _HEADERS)

    return endpoint


@_action
async def replay(runtime: Runtime, account: Account, form: FormData) -> str:
    """Redeliver an event."""
    event = account.get("event", _text(form, "event"))
    endpoints = [each for each in account.all("webhook_endpoint") if each["status"] == "enabled"]
    if not endpoints:
        raise invalid("This account has no enabled webhook endpoint.")
    made = [await runtime.delivery.send(account, event, each) for each in endpoints]
    return f"Redelivered {event['type']}: {', '.join(str(each['status'] or each['error']) for each in made)}."


@_action
async def advance(runtime: Runtime, account: Account, form: FormData) -> str:
    """Advance a test clock through the API."""
    clock = account.get("test_helpers.test_clock", _text(form, "clock"))
    step = _number(form, "seconds")
    params: JsonObject = {"frozen_time": int(clock["frozen_time"] + step)}
    try:
        test_clocks.advance(Call(account=account, params=params, ids={"test_clock": clock["id"]}, base_url=""))
    finally:
        runtime.publish_events(account, method="POST", path="/_sandbox/page/advance")
    return f"The test clock is advancing to {format_time(params['frozen_time'])}."


@_action
async def wind(runtime: Runtime, account: Account, form: FormData) -> str:
    """Advance the time of webhook retries."""
    before = len(account.deliveries)
    await runtime.delivery.advance(account, int(_number(form, "seconds")))
    return f"Webhook retries advanced. New attempts: {len(account.deliveries) - before}."


@_action
async def settings(runtime: Runtime, account: Account, form: FormData) -> str:
    """Change the settings of webhook delivery and rate limits."""
    account.settings.update(
        {
            **{name: _text(form, name) == "on" for name in ("deliver", "equal_seconds", "rate_limits")},
            **{name: _text(form, name) for name in ("order", "retry_schedule")},
            **{name: _number(form, name) for name in ("duplicates", "loss", "delay_seconds")},
            "seed": int(_number(form, "seed")),
        }
    )
    runtime.delivery.apply_settings(account)
    return "Settings saved."


@_action
async def add_fault(runtime: Runtime, account: Account, form: FormData) -> str:
    """Add a fault."""
    wanted: JsonObject = {name: _text(form, name) for name in ("action", "path", "method")}
    if _text(form, "when"):
        wanted["when"] = _text(form, "when")
    for name in ("times", "status"):
        if _text(form, name):
            wanted[name] = int(_number(form, name))
    for name in ("seconds", "probability"):
        if _text(form, name):
            wanted[name] = _number(form, name)
    fault = account.faults.add(wanted, seed=account.settings.seed)
    return f"Fault {fault.id} added."


@_action
async def remove_fault(runtime: Runtime, account: Account, form: FormData) -> str:
    """Delete a fault."""
    account.faults.remove(_text(form, "fault"))
    return f"Fault {_text(form, 'fault')} deleted."


async def script(request: Request) -> Response:
    """Return the script that refreshes the dashboard."""
    return Response(
        (_HERE / "static" / "live.js").read_bytes(),
        media_type="text/javascript",
        headers={"Cache-Control": "max-age=60"},
    )


async def style(request: Request) -> Response:
    """Return the dashboard's style sheet."""
    return Response(
        (_HERE / "static" / "dashboard.css").read_bytes(),
        media_type="text/css",
        headers={"Cache-Control": "max-age=60"},
    )


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def _number(form: FormData, name: str) -> float:
    try:
        number = float(_text(form, name))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise invalid(f"{name} must be a number.", param=name)
    return int(number) if number.is_integer() else number


def _common(runtime: Runtime, account: Account) -> dict[str, Json]:
    return {"key": account.key, "keys": sorted({DEFAULT_KEY, account.key, *runtime.accounts.by_key})}


def _page(
    request: Request, runtime: Runtime, account: Account, *, done: str = "", error: str = "", status: int = 200
) -> Response:
    return _rendered(
        "dashboard.html",
        status,
        **_common(runtime, account),
        account=account,
        base_url=str(request.base_url),
        settings=account.settings,
        shown=overview(runtime, account),
        clocks=account.all("test_helpers.test_clock"),
        steps=_STEPS,
        faults=account.faults.all(),
        actions=ACTIONS,
        choices=[(name, name) for name in ACTIONS],
        limits=account.rate_limits.to_json(account.settings),
        violations=[found for found in runtime.violations if found["account"] == account.key],
        done=done,
        error=error,
    )


def _object_page(request: Request, runtime: Runtime, account: Account, object_id: str) -> Response:
    found = account.find_by_id(object_id)
    if found is None:
        return _page(request, runtime, account, error=f"No such object in this account: {object_id}", status=404)
    shown = account.render(found)
    return _rendered(
        "object.html", 200, **_common(runtime, account), shown=shown, lines=outline(account, shown), object_id=object_id
    )


def _rendered(template: str, status: int, **values: Json) -> Response:
    return HTMLResponse(_TEMPLATES.get_template(template).render(values), status, _HEADERS)


routes = [
    Route("/", show, methods=["GET"]),
    Route("/_sandbox/page/live.js", script),
    Route("/_sandbox/page/dashboard.css", style),
    Route("/_sandbox/page/replay", replay, methods=["POST"]),
    Route("/_sandbox/page/advance", advance, methods=["POST"]),
    Route("/_sandbox/page/wind", wind, methods=["POST"]),
    Route("/_sandbox/page/settings", settings, methods=["POST"]),
    Route("/_sandbox/page/faults", add_fault, methods=["POST"]),
    Route("/_sandbox/page/faults/delete", remove_fault, methods=["POST"]),
]
