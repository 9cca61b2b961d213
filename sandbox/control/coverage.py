"""Coverage report: which of Stripe's routes and parameters the sandbox supports."""

import stripe

import sandbox.resources  # noqa: F401  # registers every handler
from sandbox.constants import API_VERSION
from sandbox.contract.requests import names
from sandbox.contract.routes import ContractRoute, all_routes
from sandbox.http.routing import ROUTES
from sandbox.json_types import JsonObject


def report() -> JsonObject:
    """Return the supported and unsupported routes of each service of the SDK."""
    services: dict[str, JsonObject] = {}
    for key, route in sorted(all_routes().items(), key=lambda found: (found[1].service, found[0][1], found[0][0])):
        group = services.setdefault(route.service, {"service": route.service, "served": [], "not_served": []})
        if key in ROUTES:
            group["served"].append(_served(route))
        else:
            group["not_served"].append(" ".join(key))
    return {
        "api_version": API_VERSION,
        "sdk": f"stripe-python {stripe.VERSION}",
        "served": len(ROUTES),
        "not_served": len(all_routes()) - len(ROUTES),
        "services": list(services.values()),
    }


def _served(route: ContractRoute) -> JsonObject:
    known, takes = names(route), ROUTES[route.method, route.path].takes
    return {
        "route": f"{route.method} {route.path}",
        "parameters": sorted(known & takes),
        "parameters_not_served": sorted(known - takes),
    }


def as_text(found: JsonObject) -> str:
    """Return the report as text."""
    services = found["services"]
    lines = [
        f"{found['sdk']}, API {found['api_version']}: {found['served']} routes supported, {found['not_served']} not.",
        "Unsupported routes and parameters return 501.",
        "",
        "SUPPORTED",
    ]
    for group in services:
        if group["served"]:
            lines.append(f"  {group['service']}: {len(group['served'])} of {_all(group)}")
            for one in group["served"]:
                without = ", ".join(one["parameters_not_served"])
                lines.append(f"    {one['route']}" + (f"\n        without {without}" if without else ""))
    lines += ["", "NOT SUPPORTED"]
    for group in services:
        if group["not_served"]:
            lines.append(f"  {group['service']}: {len(group['not_served'])} of {_all(group)}")
            lines += [f"    {route}" for route in group["not_served"]]
    return "\n".join(lines)


def _all(group: JsonObject) -> int:
    return len(group["served"]) + len(group["not_served"])
