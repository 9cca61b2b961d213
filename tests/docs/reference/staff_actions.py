"""docs/staff/actions.md, from the console's forms: what staff can do, with which role, and with which route of the API."""

import json
import re
from collections.abc import Iterator

from app.console import app as console
from app.console.access_control import NamedRoute
from tests.docs.reference.markdown import NOTE, table
from tests.operations.processes import ROOT

INTRODUCTION = """\
# Actions

Everything that staff can change in the console, the role that it needs, and the route of the
[API](../reference/api.md) that does the same.
"""
LEFT_OUT = """
## In the API only

These actions have no page yet. Use the API or the command line.
"""
# The form of the console -> the operation of the API.
ACTIONS: dict[str, str] = {
    "/queue/{item}/assign": "POST /v1/support/queue/{item}/assign",
    "/queue/{item}/snooze": "POST /v1/support/queue/{item}/snooze",
    "/queue/{item}/note": "POST /v1/support/queue/{item}/note",
    "/queue/{item}/dismiss": "POST /v1/support/attention/{object_id}/dismiss",
    "/payments/{payment}/refund": "POST /v1/support/refunds",
    "/approvals/{request}/approve": "POST /v1/support/approvals/{request_id}/approve",
    "/approvals/{request}/reject": "POST /v1/support/approvals/{request_id}/reject",
    "/refunds/{refund}/approve": "POST /v1/support/refunds/{refund_id}/approve",
    "/refunds/{refund}/reject": "POST /v1/support/refunds/{refund_id}/reject",
    "/subscriptions/{subscription}/cancel": "POST /v1/support/subscriptions/{subscription_id}/cancel",
    "/subscriptions/{subscription}/cancel-now": "POST /v1/support/subscriptions/{subscription_id}/cancel",
    "/subscriptions/{subscription}/resume": "POST /v1/support/subscriptions/{subscription_id}/resume",
    "/subscriptions/{subscription}/extend": "POST /v1/support/subscriptions/{subscription_id}/extend",
    "/subscriptions/{subscription}/print": "PUT /v1/support/subscriptions/{subscription_id}/print-edition",
    "/readers/{reader}/comp": "POST /v1/support/comps",
    "/comps/new/confirm": "POST /v1/support/comps",
    "/readers/{reader}/address": "PUT /v1/support/subscribers/{subscriber_id}/address",
    "/readers/{reader}/temporary-address": "PUT /v1/support/subscribers/{subscriber_id}/address",
    "/readers/{reader}/addresses/{address}/remove": (
        "DELETE /v1/support/subscribers/{subscriber_id}/address/temporary/{address_id}"
    ),
    "/readers/{reader}/holds": "POST /v1/support/subscribers/{subscriber_id}/holds",
    "/readers/{reader}/holds/{hold}/lift": "DELETE /v1/support/subscribers/{subscriber_id}/holds/{hold_id}",
    "/subscriptions/{subscription}/issues/{number}/claim": "POST /v1/support/claims",
    "/subscriptions/{subscription}/back-issue": "POST /v1/support/back-issues",
    "/issues/{number}/circulation": "PUT /v1/issues/{number}/circulation",
    "/issues/{number}/confirm": "PUT /v1/issues/{number}",
    "/issues/{number}/label-run": "POST /v1/issues/{number}/label-run",
    "/issues/{number}/supplement": "POST /v1/issues/{number}/label-run/supplements",
    "/comps/{comp}/take-back": "DELETE /v1/support/comps/{comp_id}",
    "/events/replay": "POST /v1/support/events/replay",
    "/events/{event}/replay": "POST /v1/support/events/{event_id}/replay",
    "/price-migrations/{migration}/stop": "POST /v1/support/price-migrations/{migration_id}/stop",
    "/liability/close": "POST /v1/reports/liability/closings",
    "/readers/{reader}/erase": "POST /v1/support/subscribers/{subscriber_id}/erase",
    "/staff/end-sessions": "POST /v1/support/staff-sessions/end",
    "/api-keys": "POST /v1/api-keys",
    "/api-keys/{key}/rotate": "POST /v1/api-keys/{key_id}/rotate",
    "/api-keys/{key}/revoke": "DELETE /v1/api-keys/{key_id}",
    "/webhook-endpoints": "POST /v1/webhook-endpoints",
    "/webhook-endpoints/{endpoint}/rotate": "POST /v1/webhook-endpoints/{endpoint_id}/rotate",
    "/webhook-endpoints/{endpoint}/disable": "POST /v1/webhook-endpoints/{endpoint_id}/disable",
    "/webhook-endpoints/{endpoint}/enable": "POST /v1/webhook-endpoints/{endpoint_id}/enable",
    "/webhook-endpoints/{endpoint}/test": "POST /v1/webhook-endpoints/{endpoint_id}/test",
    "/webhook-endpoints/{endpoint}/replay": "POST /v1/webhook-endpoints/{endpoint_id}/replay",
    "/webhook-endpoints/{endpoint}/delete": "DELETE /v1/webhook-endpoints/{endpoint_id}",
}
# Forms that change nothing: they lead to the form that does.
STEPS = frozenset(
    {
        "/payments/{payment}/refund/confirm",
        "/readers/{reader}/comp/confirm",
        "/comps/new",
        "/issues/new",
        "/issues/{number}/edit",
        "/sign-out",
    }
)
# Operations without a page, with what they do.
WITHOUT_PAGE: dict[str, str] = {}
STAFF_PATHS = ("/v1/support/", "/v1/issues", "/v1/print/", "/v1/reports/", "/v1/api-keys", "/v1/webhook-endpoints")


def forms() -> Iterator[NamedRoute]:
    """Yield the console's forms that change something."""
    for route in console.application().routes:
        if isinstance(route, NamedRoute) and "POST" in (route.methods or ()) and route.path not in STEPS:
            yield route


def operations() -> set[str]:
    """Return the API's operations with which staff change something."""
    document = json.loads((ROOT / "tests" / "openapi" / "openapi.json").read_text())
    return {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith(STAFF_PATHS) and method in {"post", "put", "delete"}
    }


def page() -> str:
    """Return the page."""
    rows = ((_described(route), _role_of(route), f"`{ACTIONS[route.path]}`") for route in forms())
    rest = ((what, f"`{operation}`") for operation, what in WITHOUT_PAGE.items())
    return "\n".join(
        [
            NOTE,
            INTRODUCTION,
            table(["action", "role", "API"], rows),
            *([LEFT_OUT, table(["action", "API"], rest)] if WITHOUT_PAGE else []),
        ]
    )


def _described(route: NamedRoute) -> str:
    return re.sub(r"\s+", " ", (route.page.__doc__ or "").strip()).split(". ")[0].rstrip(".")


def _role_of(route: NamedRoute) -> str:
    return (route.name or "").partition(":")[0].replace("any", "any role")
